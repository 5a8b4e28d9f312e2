"""Masks against brute force, against torch, and their properties."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsparse.pruning import (
    achieved,
    apply_level,
    apply_masks,
    counts,
    level_masks,
    masks,
    scores,
    survival,
)
from jaxsparse.trees import flatten
from tests.oracle import Conv1D, prune, torch

TORCH_LEVELS = (0.1, 0.5, 0.9, 0.99)
SCOPES = ("matrix", "global")

# Few distinct values, both zeros among them: nearly every threshold cuts through ties.
TIED = st.sampled_from([np.float32(x) for x in (-1, -0.0, 0.0, 1e-40, 0.5, 2)])
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
SHAPES = st.sampled_from([(1, 1), (3, 5), (7, 2), (2, 3, 4), (3, 1, 5)])
LEAVES = st.tuples(SHAPES, st.sampled_from([TIED, FINITE])).flatmap(
    lambda drawn: arrays(np.float32, drawn[0], elements=drawn[1])
)
TREES = st.fixed_dictionaries(
    {"h": st.fixed_dictionaries({"b": LEAVES, "a": LEAVES}), "e": LEAVES}
)
SPARSITIES = st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted)
property_test = settings(deadline=None, max_examples=40)


def _levels(scored, sparsities, scope):
    return [counts(scored, sparsity, scope) for sparsity in sparsities]


def _brute_force(groups, sparsity):
    """Masks by a stable argsort of each group, a list of arrays in order."""
    kept = []
    for group in groups:
        order = np.concatenate([leaf.ravel() for leaf in group])
        mask = np.ones(order.size, bool)
        ranked = np.argsort(order, kind="stable")
        mask[ranked[: round(sparsity * order.size)]] = False
        kept.append(mask)
    return np.concatenate(kept)


def _brute_force_groups(scored, scope):
    leaves = [leaf for _, leaf in sorted(flatten(scored).items())]
    if scope == "global":
        return [leaves]
    return [[m] for x in leaves for m in x.reshape(-1, *x.shape[-2:])]


def _in_order(tree):
    return np.concatenate([leaf.ravel() for _, leaf in sorted(flatten(tree).items())])


@property_test
@given(TREES, SPARSITIES, st.sampled_from(SCOPES))
def test_survival_is_a_stable_argsort_at_every_level(scored, sparsities, scope):
    counted = survival(scored, _levels(scored, sparsities, scope))
    groups = _brute_force_groups(scored, scope)
    for level, sparsity in enumerate(sparsities):
        expected = _brute_force(groups, sparsity)
        at_level = level_masks(counted, level)
        np.testing.assert_array_equal(_in_order(at_level), expected)
        alone = masks(scored, counts(scored, sparsity, scope))
        np.testing.assert_array_equal(_in_order(alone), expected)


@property_test
@given(LEAVES, st.floats(0, 1))
def test_counts_are_exact_and_nothing_pruned_outranks_a_kept_score(leaf, sparsity):
    scored = {"w": leaf}
    kept = masks(scored, counts(scored, sparsity, "matrix"))["w"]
    assert kept.dtype == bool
    assert kept.shape == leaf.shape
    shape = (-1, *leaf.shape[-2:])
    for mask, matrix in zip(kept.reshape(shape), leaf.reshape(shape), strict=True):
        assert np.sum(~mask) == round(sparsity * mask.size)
        lost, left = matrix[~mask], matrix[mask]
        assert not lost.size or not left.size or lost.max() <= left.min()


@property_test
@given(TREES, SPARSITIES, st.sampled_from(SCOPES))
def test_masks_are_nested(scored, sparsities, scope):
    nested = [_in_order(masks(scored, c)) for c in _levels(scored, sparsities, scope)]
    for more, fewer in pairwise(nested):
        assert np.all(more[fewer])


@property_test
@given(LEAVES, st.floats(0, 1), st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**20]))
def test_magnitude_masks_do_not_depend_on_scale(leaf, sparsity, scale):
    leaf = np.where(np.abs(leaf) < 2.0**-100, 0, np.clip(leaf, -(2**90), 2**90))
    leaf = leaf.astype(np.float32)  # so that scaling by powers of two is exact
    plain, scaled = (
        scores({"w": w}, ["w"], "magnitude", 0)
        for w in (leaf, leaf * np.float32(scale))
    )
    allowance = counts(plain, sparsity, "matrix")
    np.testing.assert_array_equal(
        masks(plain, allowance)["w"], masks(scaled, allowance)["w"]
    )


@property_test
@given(arrays(np.float32, (3, 4, 5), elements=TIED), SPARSITIES)
def test_stacked_is_unstacked(stacked, sparsities):
    unstacked = {str(layer): matrix for layer, matrix in enumerate(stacked)}
    for scope in SCOPES:
        one = survival({"w": stacked}, _levels({"w": stacked}, sparsities, scope))
        many = survival(unstacked, _levels(unstacked, sparsities, scope))
        for layer in range(3):
            np.testing.assert_array_equal(one["w"][layer], many[str(layer)])


def test_the_earlier_of_equal_scores_is_pruned_first():
    scored = {"b": np.zeros((2, 2), np.float32), "a": -np.zeros((2, 1, 2), np.float32)}
    per_matrix = masks(scored, counts(scored, 0.5, "matrix"))
    assert per_matrix["b"].tolist() == [[False, False], [True, True]]
    assert per_matrix["a"].tolist() == [[[False, True]], [[False, True]]]
    overall = masks(scored, counts(scored, 0.625, "global"))
    assert overall["a"].tolist() == [[[False, False]], [[False, False]]]
    assert overall["b"].tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize("scope", SCOPES)
def test_bfloat16_weights_with_their_many_ties(scope):
    rng = np.random.default_rng(0)
    params = {
        "a": jnp.asarray(rng.normal(size=(2, 60, 40)), jnp.bfloat16),
        "b": jnp.asarray(rng.normal(size=(50, 70)), jnp.bfloat16),
    }
    scored = scores(params, ["a", "b"], "magnitude", 0)
    assert len(np.unique(scored["a"])) < scored["a"].size / 2
    counted = survival(scored, _levels(scored, TORCH_LEVELS, scope))
    for level, sparsity in enumerate(TORCH_LEVELS):
        expected = _brute_force(_brute_force_groups(scored, scope), sparsity)
        at_level = _in_order(level_masks(counted, level))
        np.testing.assert_array_equal(at_level, expected)


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


@pytest.mark.parametrize(("level", "sparsity"), list(enumerate(TORCH_LEVELS)))
def test_matrix_scope_is_l1_unstructured(level, sparsity):
    modules, kernels = _torch_modules()
    scored = scores(kernels, list(kernels), "magnitude", 0)
    ours = level_masks(survival(scored, _levels(scored, TORCH_LEVELS, "matrix")), level)
    for name, module in modules.items():
        prune.l1_unstructured(module, "weight", amount=sparsity)
        np.testing.assert_array_equal(ours[name], _torch_mask(module))


@pytest.mark.parametrize(("level", "sparsity"), list(enumerate(TORCH_LEVELS)))
def test_global_scope_is_global_unstructured(level, sparsity):
    modules, kernels = _torch_modules()
    scored = scores(kernels, list(kernels), "magnitude", 0)
    ours = level_masks(survival(scored, _levels(scored, TORCH_LEVELS, "global")), level)
    prune.global_unstructured(
        [(module, "weight") for module in modules.values()],
        pruning_method=prune.L1Unstructured,
        amount=sparsity,
    )
    for name, module in modules.items():
        np.testing.assert_array_equal(ours[name], _torch_mask(module))


def _example():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 6, 4)).astype(np.float32)
    params = {"h": {"kernel": jnp.asarray(kernel), "bias": jnp.ones((2, 4))}}
    scored = scores(params, ["h/kernel"], "magnitude", 0)
    return params, survival(scored, _levels(scored, (0.0, 0.25, 1.0), "matrix"))


def test_pruned_infinities_and_nans_become_zero():
    weights = {"w": jnp.array([[jnp.inf, jnp.nan], [-jnp.inf, 3]], jnp.bfloat16)}
    kept = {"w": np.array([[False, False], [False, True]])}
    pruned = apply_masks(weights, kept)["w"]
    assert pruned.dtype == jnp.bfloat16
    assert pruned.tolist() == [[0, 0], [0, 3]]


def test_leaves_without_a_mask_are_passed_through():
    params, counted = _example()
    pruned = apply_level(params, counted, 1)
    assert pruned["h"]["bias"] is params["h"]["bias"]
    assert int(jnp.sum(pruned["h"]["kernel"] == 0)) == 12
    with pytest.raises(ValueError, match="bias"):
        apply_masks(params, {"h": {"kernel": counted["h"]["kernel"]}})


def test_levels_agree_under_jit_and_vmap_with_one_trace():
    params, counted = _example()
    traces = []

    @jax.jit
    def at(level):
        traces.append(level)
        return apply_level(params, counted, level)["h"]["kernel"]

    one_by_one = [at(level) for level in range(3)]
    assert len(traces) == 1
    together = jax.vmap(at)(jnp.arange(3))
    for level, kernel in enumerate(one_by_one):
        kept = level_masks(counted, level)
        expected = apply_masks(params, kept)["h"]["kernel"]
        np.testing.assert_array_equal(kernel, expected)
        np.testing.assert_array_equal(together[level], expected)
    np.testing.assert_array_equal(one_by_one[0], params["h"]["kernel"])
    assert not np.any(one_by_one[2])


def test_masks_and_survival_are_arguments_of_a_jitted_function():
    params, counted = _example()
    by_level = jax.jit(apply_level)(params, counted, 1)
    by_mask = jax.jit(apply_masks)(params, level_masks(counted, 1))
    np.testing.assert_array_equal(by_level["h"]["kernel"], by_mask["h"]["kernel"])
    np.testing.assert_array_equal(by_level["h"]["bias"], params["h"]["bias"])


def test_achieved_sparsities_are_quotients_of_counts():
    _, counted = _example()  # 48 prunable weights of 56
    for level, pruned in enumerate((0, 12, 48)):
        expected = (pruned / 48, pruned / 56)
        assert achieved(counted, 56, level) == expected
        assert achieved(level_masks(counted, level), 56) == expected
        assert achieved(jax.tree.map(jnp.asarray, counted), 56, level) == expected


def test_levels_that_survival_cannot_hold_are_refused():
    scored = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    half, all_of_it = _levels(scored, (0.5, 1.0), "matrix")
    assert np.all(survival(scored, [half] * 255)["w"] == [[0] * 3, [255] * 3])
    with pytest.raises(ValueError, match="256 levels"):
        survival(scored, [half] * 256)
    with pytest.raises(ValueError, match="0 levels"):
        survival(scored, [])
    with pytest.raises(ValueError, match="ascending"):
        survival(scored, [all_of_it, half])
    with pytest.raises(ValueError, match="scopes"):
        survival(scored, [half, counts(scored, 1.0, "global")])
