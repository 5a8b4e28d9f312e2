"""Every criterion against numpy written from its paper, weight by weight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse import pruning
from jaxsparse.pruning import (
    METHODS,
    NEEDS,
    ZERO,
    Criterion,
    Recipe,
    Statistics,
    mask_at,
    nested_masks,
    scores,
)
from jaxsparse.types import InputError

INPUTS, OUTPUTS, TOKENS, ROWS = 32, 24, 50, 6
SHAPE = INPUTS, OUTPUTS
MASKED = [name for name, criterion in METHODS.items() if not criterion.solves]


def layer(seed):
    """Weights, inputs of two of which always zero, and gradients of rows."""
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal(SHAPE, np.float32)
    seen = draw.standard_normal((TOKENS, INPUTS), np.float32)
    seen *= draw.lognormal(0, 2, INPUTS).astype(np.float32)
    seen[:, [3, 17]] = 0
    rows = draw.standard_normal((ROWS, *SHAPE), np.float32)
    return weights, seen, rows


def statistics_of(seen, rows):
    gram = seen.T @ seen
    return Statistics(
        tokens=len(seen),
        mean=seen.mean(0),
        squares=np.ascontiguousarray(np.diag(gram)),
        gram=gram,
        gradient=rows.mean(0),
        fisher=np.square(rows).mean(0),
    )


def reference(name, weights, seen, rows):
    """The scores of the papers, weight by weight, in float64."""
    size = np.abs(weights.astype(np.float64))
    loss = rows.mean(0).astype(np.float64)  # as calibration hands it over
    expected = np.zeros(SHAPE)
    for i, j in np.ndindex(SHAPE):
        norm = np.sqrt(sum(float(x) ** 2 for x in seen[:, i]))
        if name == "magnitude":
            expected[i, j] = size[i, j]
        elif name == "gradient":
            expected[i, j] = abs(weights[i, j] * loss[i, j])
        elif name == "fisher":
            expected[i, j] = size[i, j] ** 2 * np.mean([row[i, j] ** 2 for row in rows])
        elif name == "wanda":
            expected[i, j] = size[i, j] * norm
        elif name == "ria":
            shares = size[i, j] / sum(size[:, j]) + size[i, j] / sum(size[i])
            expected[i, j] = shares * norm**0.5
    return expected


def scored(name, weights, statistics, **how):
    return scores({"w": weights}, name, lambda path, layer: statistics, **how)["w"]


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "3:8"])
@pytest.mark.parametrize("name", ["magnitude", "gradient", "fisher", "wanda", "ria"])
def test_masks_are_the_papers(name, pattern):
    weights, seen, rows = layer(1)
    ours = scored(name, weights, statistics_of(seen, rows))
    expected = reference(name, weights, seen, rows)
    np.testing.assert_allclose(ours, expected, rtol=3e-6)
    live = np.delete(expected, [3, 17], axis=0)
    assert name in ("magnitude", "gradient", "fisher") or not expected[[3, 17]].any()
    assert len(np.unique(live.astype(np.float32))) > 0.99 * live.size
    for scope in METHODS[name].scopes:
        recipe = Recipe(name, scope, pattern=pattern)
        levels = [recipe.own_sparsity or 0.6]
        kept = mask_at(nested_masks({"w": ours}, levels, scope, pattern)["w"], 0)
        np.testing.assert_array_equal(kept, brute_force(expected, levels[0], recipe))


def brute_force(expected, sparsity, recipe):
    """True where a weight is among the best of its group."""
    kept = np.zeros(SHAPE, bool)
    if recipe.pattern != "unstructured":
        most, width = map(int, recipe.pattern.split(":"))
        for start in range(0, INPUTS, width):
            for j in range(OUTPUTS):
                group = expected[start : start + width, j]
                best = np.argsort(group, kind="stable")[width - most :]
                kept[start + best, j] = True
    elif recipe.scope == "output":
        for j in range(OUTPUTS):
            order = np.argsort(expected[:, j], kind="stable")
            kept[order[round(sparsity * INPUTS) :], j] = True
    else:
        order = np.argsort(expected.ravel(), kind="stable")
        kept.ravel()[order[round(sparsity * expected.size) :]] = True
    return kept


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
@settings(max_examples=20)
@given(seed=st.integers(0, 99), zeros=st.floats(0, 1), drawn=st.data())
def test_counts_are_exact_zeros_go_first_and_masks_nest(
    name, pattern, seed, zeros, drawn
):
    weights, seen, rows = layer(seed)
    gone = np.random.default_rng(seed).random(SHAPE) < zeros
    weights[gone] = 0
    recipe = Recipe(name, pattern=pattern)
    levels = st.lists(st.floats(0, 1), min_size=1, max_size=3)
    own = recipe.own_sparsity
    ascending = [own] if own else sorted(drawn.draw(levels))
    ours = scored(name, weights, statistics_of(seen, rows), seed=seed)
    np.testing.assert_array_equal(ours == ZERO, gone)
    nested = nested_masks({"w": ours}, ascending, recipe.scope, pattern)["w"]
    before = ~gone
    for index, sparsity in enumerate(ascending):
        mask = mask_at(nested, index)
        assert (mask <= before).all()
        before = mask
        for group in in_groups(recipe):
            kept, of_group = mask.ravel()[group], ours.ravel()[group]
            most = len(group) - round(sparsity * len(group))
            assert kept.sum() == min(most, np.count_nonzero(of_group != ZERO))
            if kept.any() and not kept.all():
                assert of_group[~kept].max() <= of_group[kept].min()


def in_groups(recipe):
    numbers = np.arange(INPUTS * OUTPUTS).reshape(SHAPE)
    if recipe.pattern == "2:4":
        return numbers.T.reshape(-1, 4)
    return numbers.T if recipe.scope == "output" else numbers.reshape(1, -1)


def test_shares_of_nothing_are_nothing():
    """A row and a column of zeros, and none of ria's scores is no number."""
    weights, seen, rows = layer(2)
    weights[5], weights[:, 7] = 0, 0
    ours = scored("ria", weights, statistics_of(seen, rows))
    assert (ours[5] == ZERO).all()
    assert (ours[:, 7] == ZERO).all()
    assert np.isfinite(ours[weights != 0]).all()
    everything = scored("ria", np.zeros(SHAPE, np.float32), statistics_of(seen, rows))
    assert (everything == ZERO).all()


@pytest.mark.parametrize("name", MASKED)
def test_every_matrix_is_scored_by_what_is_known_of_it(name):
    """Layers of a leaf and leaves, in bfloat16 as they are loaded."""
    import jax.numpy as jnp

    kernel = jnp.asarray(np.stack([layer(n)[0] for n in range(3)]), jnp.bfloat16)
    known = {
        (path, n): statistics_of(*layer(n + ord(path))[1:])
        for path in "ab"
        for n in range(3)
    }
    together = scores(
        {"a": kernel, "b": kernel}, name, lambda *place: known[place], seed=5
    )
    assert not np.array_equal(together["a"], together["b"]) or name == "magnitude"
    for path, leaf in together.items():
        for n, ours in enumerate(leaf):
            wide = np.asarray(kernel[n], np.float32)
            if name != "random":
                alone = scored(name, wide, known[path, n])
                np.testing.assert_array_equal(ours, alone)


@pytest.mark.parametrize("need", NEEDS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_names_matrix_and_layer(need, value):
    weights, seen, rows = layer(4)
    known = statistics_of(seen, rows)
    getattr(known, need)[..., -1] = value
    methods = {
        "mean": "magnitude+bias", "squares": "wanda", "gradient": "gradient",
        "fisher": "fisher", "gram": "magnitude+pcg",
    }  # fmt: skip
    if need == "gram" and "pcg" not in pruning.UPDATES:
        pytest.skip("no update needs it yet")
    recipe = Recipe(methods[need])
    with pytest.raises(InputError, match=rf"^h/w, layer 3: {need} .* not finite"):
        pruning.prune_matrix(recipe, weights, known, 0.5, "h/w", 3)
    with pytest.raises(InputError, match=rf"^h/w, layer 3: .* needs {need}"):
        pruning.prune_matrix(recipe, weights, pruning.NONE, 0.5, "h/w", 3)


def test_a_criterion_is_one_function_and_one_entry(monkeypatch):
    """As BUILD.md says: nothing else knows it, and all takes it."""

    def by_input(weights, statistics, generator):
        return np.abs(weights) * np.abs(statistics.mean)[:, None]

    entry = Criterion(by_input, ("output", "matrix"), needs=("mean",))
    monkeypatch.setitem(METHODS, "by_input", entry)
    recipe = Recipe("by_input+bias", pattern="2:4")
    recipe.check()
    assert (recipe.scope, recipe.needs, recipe.statistics) == (
        "output", ("mean",), "sequential",
    )  # fmt: skip
    weights, seen, rows = layer(6)
    known = statistics_of(seen, rows)
    solution = pruning.prune_matrix(recipe, weights, known, 0.5, "w", 0)
    assert (solution.mask.reshape(-1, 4, OUTPUTS).sum(1) == 2).all()
