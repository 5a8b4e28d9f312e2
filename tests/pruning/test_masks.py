"""Masks against brute force, against torch, and their properties."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsparse.pruning import apply_masks, mask_at, nested_masks, scores
from jaxsparse.pruning import masks as masks_module
from tests.oracle import Conv1D, prune, torch

SPARSITIES_OF_TORCH = (0.1, 0.5, 0.9, 0.99)
SCOPES = ("matrix", "output", "global")

# Few distinct values, both zeros among them: nearly every threshold cuts through ties.
TIED = st.sampled_from([np.float32(x) for x in (-1, -0.0, 0.0, 1e-40, 0.5, 2)])
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
SHAPES = st.sampled_from([(1, 1), (3, 5), (7, 2), (2, 3, 4), (3, 1, 5)])
SCORES = st.tuples(SHAPES, st.sampled_from([TIED, FINITE])).flatmap(
    lambda drawn: arrays(np.float32, drawn[0], elements=drawn[1])
)
LEAVES = st.fixed_dictionaries({"h/b": SCORES, "h/a": SCORES, "e": SCORES})
SPARSITIES = st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted)
property_test = settings(deadline=None, max_examples=40)


@pytest.fixture(params=["sort", "radix"], autouse=True)
def selected_by(request, monkeypatch):
    """The test's groups are all small; every test is held for both ways."""
    if request.param == "radix":
        monkeypatch.setattr(masks_module, "FEW", 0)


def order(leaf, scope):
    """Numbers of a matrix' weights, a row for each of its groups."""
    numbers = np.arange(leaf.size).reshape(leaf.shape)
    return numbers.T if scope == "output" else numbers.reshape(1, -1)


def brute_force(leaves, sparsity, scope):
    """All masks in order, by a stable argsort of each group."""
    matrices = [
        matrix
        for path in sorted(leaves)
        for matrix in leaves[path].reshape(-1, *leaves[path].shape[-2:])
    ]
    if scope == "global":
        matrices = [np.concatenate([matrix.ravel() for matrix in matrices])[None]]
    kept = []
    for matrix in matrices:
        mask = np.ones(matrix.size, bool)
        for group in order(matrix, scope):
            ranked = np.argsort(matrix.ravel()[group] + 0.0, kind="stable")
            mask[group[ranked[: round(sparsity * len(group))]]] = False
        kept.append(mask)
    return np.concatenate(kept)


def in_order(leaves):
    return np.concatenate([leaves[path].ravel() for path in sorted(leaves)])


def masks(scored, sparsity, scope):
    (mask,) = [nested_masks(scored, [sparsity], scope)]
    return {path: mask_at(leaf, 0) for path, leaf in mask.items()}


@property_test
@given(LEAVES, SPARSITIES, st.sampled_from(SCOPES))
def test_masks_are_a_stable_argsort_at_every_sparsity(scored, sparsities, scope):
    nested = in_order(nested_masks(scored, sparsities, scope))
    for index, sparsity in enumerate(sparsities):
        expected = brute_force(scored, sparsity, scope)
        np.testing.assert_array_equal(mask_at(nested, index), expected)
        alone = in_order(masks(scored, sparsity, scope))
        np.testing.assert_array_equal(alone, expected)


@property_test
@given(SCORES, st.floats(0, 1))
def test_counts_are_exact_and_nothing_pruned_outranks_a_kept_score(leaf, sparsity):
    kept = masks({"w": leaf}, sparsity, "matrix")["w"]
    assert kept.dtype == bool
    assert kept.shape == leaf.shape
    shape = (-1, *leaf.shape[-2:])
    for mask, matrix in zip(kept.reshape(shape), leaf.reshape(shape), strict=True):
        assert np.sum(~mask) == round(sparsity * mask.size)
        lost, left = matrix[~mask], matrix[mask]
        assert not lost.size or not left.size or lost.max() <= left.min()


@property_test
@given(LEAVES, SPARSITIES, st.sampled_from(SCOPES))
def test_masks_are_nested(scored, sparsities, scope):
    nested = [in_order(masks(scored, sparsity, scope)) for sparsity in sparsities]
    for more, fewer in pairwise(nested):
        assert np.all(more[fewer])


@property_test
@given(SCORES, st.floats(0, 1), st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**20]))
def test_magnitude_masks_do_not_depend_on_scale(leaf, sparsity, scale):
    leaf = np.where(np.abs(leaf) < 2.0**-100, 0, np.clip(leaf, -(2**90), 2**90))
    leaf = leaf.astype(np.float32)  # so that scaling by powers of two is exact
    plain, scaled = (
        masks(scores({"w": w}, "magnitude"), sparsity, "matrix")["w"]
        for w in (leaf, leaf * np.float32(scale))
    )
    np.testing.assert_array_equal(plain, scaled)


@property_test
@given(arrays(np.float32, (3, 4, 5), elements=TIED), SPARSITIES)
def test_stacked_is_unstacked(stacked, sparsities):
    unstacked = {str(layer): matrix for layer, matrix in enumerate(stacked)}
    for scope in SCOPES:
        together = nested_masks({"w": stacked}, sparsities, scope)["w"]
        apart = nested_masks(unstacked, sparsities, scope)
        for layer in range(3):
            np.testing.assert_array_equal(together[layer], apart[str(layer)])


def test_the_earlier_of_equal_scores_is_pruned_first():
    scored = {"b": np.zeros((2, 2), np.float32), "a": -np.zeros((2, 1, 2), np.float32)}
    of_matrix = masks(scored, 0.5, "matrix")
    assert of_matrix["b"].tolist() == [[False, False], [True, True]]
    assert of_matrix["a"].tolist() == [[[False, True]], [[False, True]]]
    of_output = masks(scored, 0.5, "output")
    assert of_output["b"].tolist() == [[False, False], [True, True]]
    everything = masks(scored, 0.625, "global")
    assert everything["a"].tolist() == [[[False, False]], [[False, False]]]
    assert everything["b"].tolist() == [[False, True], [True, True]]


def test_zeros_of_the_file_are_kept_nowhere_however_few_are_to_go():
    weights = np.array([[0, -0.0, 3, 4]], np.float32)
    scored = scores({"w": weights}, "random", seed=1)
    nested = nested_masks(scored, [0.25, 0.75], "matrix")
    assert nested["w"][0, :2].tolist() == [0, 0]
    assert nested["w"].sum() == 3  # 0.25: two of what is left; 0.75: one


@pytest.mark.parametrize("scope", SCOPES)
def test_bfloat16_weights_with_their_many_ties(scope):
    rng = np.random.default_rng(0)
    leaves = {
        "a": jnp.asarray(rng.normal(size=(2, 60, 40)), jnp.bfloat16),
        "b": jnp.asarray(rng.normal(size=(50, 70)), jnp.bfloat16),
    }
    scored = scores(leaves, "magnitude")
    assert len(np.unique(scored["a"])) < scored["a"].size / 2
    nested = in_order(nested_masks(scored, SPARSITIES_OF_TORCH, scope))
    for index, sparsity in enumerate(SPARSITIES_OF_TORCH):
        expected = brute_force(scored, sparsity, scope)
        np.testing.assert_array_equal(mask_at(nested, index), expected)


def _torch_modules():
    """Modules of torch, and their weights as kernels of shape (in, out).

    The weights are normal with distinct magnitudes, for torch breaks ties in its own
    way (among 8320 plain float32 normals two pairs are equal).
    """
    modules = {
        "conv1d": Conv1D(150, 48),
        "linear": torch.nn.Linear(64, 130, bias=False),
        "wide": torch.nn.Linear(37, 11),
    }
    rng = np.random.default_rng(0)
    distinct = np.unique(np.abs(rng.normal(size=40_000).astype(np.float32)))
    rng.shuffle(distinct)
    kernels = {}
    for name, module in modules.items():
        size = module.weight.numel()
        drawn, distinct = distinct[:size], distinct[size:]
        signed = (drawn * rng.choice([-1, 1], size)).reshape(module.weight.shape)
        module.weight.data = torch.tensor(signed, dtype=torch.float32)
        kernels[name] = _kernel(module, signed.astype(np.float32))
    return modules, kernels


def _kernel(module, weight):
    """Conv1D holds (in, out) already, Linear (out, in)."""
    return weight if isinstance(module, Conv1D) else weight.T


def _torch_mask(module):
    return _kernel(module, module.weight_mask.numpy().astype(bool))


@pytest.mark.parametrize("scope", ["matrix", "global"])
def test_masks_are_those_of_torch(scope):
    kernels = _torch_modules()[1]
    nested = nested_masks(scores(kernels, "magnitude"), SPARSITIES_OF_TORCH, scope)
    for index, sparsity in enumerate(SPARSITIES_OF_TORCH):
        modules = _torch_modules()[0]
        weights = [(module, "weight") for module in modules.values()]
        if scope == "matrix":
            for weight in weights:
                prune.l1_unstructured(*weight, amount=sparsity)
        else:
            prune.global_unstructured(
                weights, pruning_method=prune.L1Unstructured, amount=sparsity
            )
        for name, module in modules.items():
            ours = mask_at(nested[name], index)
            np.testing.assert_array_equal(ours, _torch_mask(module))


def test_pruned_infinities_and_nans_become_zero():
    weights = {"w": jnp.array([[jnp.inf, jnp.nan], [-jnp.inf, 3]], jnp.bfloat16)}
    kept = {"w": np.array([[False, False], [False, True]])}
    pruned = apply_masks(weights, kept)["w"]
    assert pruned.dtype == jnp.bfloat16
    assert pruned.tolist() == [[0, 0], [0, 3]]


def example():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 6, 4)).astype(np.float32)
    leaves = {"h/kernel": jnp.asarray(kernel), "h/bias": jnp.ones((2, 4))}
    scored = scores({"h/kernel": kernel}, "magnitude")
    return leaves, nested_masks(scored, (0.0, 0.25, 1.0), "matrix")


def test_leaves_without_a_mask_are_passed_through():
    leaves, nested = example()
    pruned = apply_masks(leaves, {"h/kernel": mask_at(nested["h/kernel"], 1)})
    assert pruned["h/bias"] is leaves["h/bias"]
    assert int(jnp.sum(pruned["h/kernel"] == 0)) == 12
    with pytest.raises(KeyError, match="h/other"):
        apply_masks(leaves, {"h/other": nested["h/kernel"]})


def test_sparsities_agree_under_jit_and_vmap_with_one_trace():
    leaves, nested = example()
    traces = []

    @jax.jit
    def at(index):
        traces.append(index)
        masks = {"h/kernel": mask_at(jnp.asarray(nested["h/kernel"]), index)}
        return apply_masks(leaves, masks)["h/kernel"]

    one_by_one = [at(index) for index in range(3)]
    assert len(traces) == 1
    together = jax.vmap(at)(jnp.arange(3))
    for index, kernel in enumerate(one_by_one):
        kept = {"h/kernel": mask_at(nested["h/kernel"], index)}
        expected = apply_masks(leaves, kept)["h/kernel"]
        np.testing.assert_array_equal(kernel, expected)
        np.testing.assert_array_equal(together[index], expected)
    np.testing.assert_array_equal(one_by_one[0], leaves["h/kernel"])
    assert not np.any(one_by_one[2])


def test_sparsities_that_an_integer_cannot_count_are_refused():
    scored = {"w": np.arange(1, 7, dtype=np.float32).reshape(2, 3)}
    nested = nested_masks(scored, [0.5] * 255, "matrix")
    assert np.all(nested["w"] == [[0] * 3, [255] * 3])
    with pytest.raises(ValueError, match="256 sparsities"):
        nested_masks(scored, [0.5] * 256, "matrix")
    with pytest.raises(ValueError, match="0 sparsities"):
        nested_masks(scored, [], "matrix")
    with pytest.raises(ValueError, match="ascending"):
        nested_masks(scored, [1.0, 0.5], "matrix")
