"""Allocations meet their target before counts are rounded, and are the papers'."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.pruning import erk, erk_sparsities, nested_masks, outlier_share, owl

SHAPES = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=8
)
FRACTION = st.floats(0, 1)


def by_bisection(shapes, sparsity):
    """The factor at which min(1, factor · raw) keeps as much as is wanted."""
    sizes = np.array([a * b for a, b in shapes], float)
    raw = np.array([(a + b) / (a * b) for a, b in shapes])
    low, high = 0.0, 1 / raw.min()
    for _ in range(200):
        middle = (low + high) / 2
        kept = (np.minimum(middle * raw, 1) * sizes).sum()
        low, high = (
            (middle, high) if kept < (1 - sparsity) * sizes.sum() else (low, middle)
        )
    return np.minimum(low * raw, 1)


@given(SHAPES, FRACTION)
def test_erk_is_in_proportion_capped_and_keeps_what_is_wanted(shapes, sparsity):
    kept = erk(shapes, sparsity)
    sizes = np.array([a * b for a, b in shapes], float)
    assert ((kept >= 0) & (kept <= 1)).all()
    np.testing.assert_allclose(
        (kept * sizes).sum(), (1 - sparsity) * sizes.sum(), rtol=1e-12, atol=1e-9
    )
    np.testing.assert_allclose(kept, by_bisection(shapes, sparsity), atol=1e-9)


def test_erk_of_gpt2_small_by_hand():
    """At 0.9 nothing is capped; at 0.1 the small ones are."""
    shapes = [(768, 2304), (768, 768), (768, 3072), (3072, 768)]
    raw = np.array([3072 / (768 * 2304), 1536 / 768**2, *[3840 / (768 * 3072)] * 2])
    sizes = np.array([a * b for a, b in shapes])
    factor = 0.1 * sizes.sum() / (raw * sizes).sum()
    np.testing.assert_allclose(erk(shapes, 0.9), factor * raw, rtol=1e-12)
    low = erk(shapes, 0.1)
    assert low[1] == 1
    assert low[0] > low[2] == low[3]


@given(
    st.lists(st.tuples(FRACTION, st.integers(1, 10**9)), min_size=1, max_size=12),
    FRACTION,
)
def test_owl_keeps_what_is_wanted_and_spreads_as_far_as_it_can(blocks, sparsity):
    shares, sizes = map(list, zip(*blocks, strict=True))
    kept, spread = owl(shares, sizes, sparsity)
    assert ((kept >= 0) & (kept <= 1)).all()
    weights = np.array(sizes) / sum(sizes)
    assert (kept * weights).sum() == pytest.approx(1 - sparsity, abs=1e-9)
    assert 0 <= spread <= 0.08
    if max(shares) == min(shares):
        assert set(kept) == {1 - sparsity}
    else:
        assert np.ptp(kept) == pytest.approx(2 * spread, abs=1e-9)
        assert (np.diff(kept[np.argsort(shares)]) >= 0).all()
        if spread < 0.08:  # one of them is at an end
            assert min(kept.min(), 1 - kept.max()) == pytest.approx(0, abs=1e-9)


def test_owl_by_hand():
    kept, spread = owl([0.02, 0.05, 0.01], [2, 1, 1], 0.7)
    mean = (2 * 0.02 + 0.05 + 0.01) / 4
    expected = [0.3 + 0.16 * (share - mean) / 0.04 for share in (0.02, 0.05, 0.01)]
    np.testing.assert_allclose(kept, expected)
    assert spread == 0.08
    kept, spread = owl([0.0, 1.0], [1, 1], 0.97)
    np.testing.assert_allclose(kept, [0, 0.06], atol=1e-12)
    assert spread == pytest.approx(0.03)


@given(st.lists(FRACTION, min_size=2, max_size=6), st.lists(FRACTION, min_size=2))
def test_what_owl_keeps_shrinks_with_every_sparsity(shares, levels):
    kept = [owl(shares, [1] * len(shares), level)[0] for level in sorted(levels)]
    assert (np.diff(kept, axis=0) <= 1e-12).all()


def test_outliers_are_above_five_times_the_mean_of_the_block():
    block = [np.ones((4, 5), np.float32), np.full((2, 10), 1, np.float32)]
    block[1][0, :3] = 100
    mean = (20 + 17 + 300) / 40
    assert outlier_share(block) == 3 / 40
    block[1][0, 0] = 5 * mean / 1.5
    assert outlier_share(block) == 2 / 40
    assert outlier_share([np.zeros((3, 3), np.float32)]) == 0


def test_every_matrix_has_sparsities_of_its_own_and_masks_nest():
    shapes = {"h/w": (3, 16, 8), "e": (20, 4)}
    own = erk_sparsities(shapes, [0.2, 0.6, 0.9])
    assert list(own) == [("e", 0), ("h/w", 0), ("h/w", 1), ("h/w", 2)]
    draw = np.random.default_rng(0)
    scored = {path: draw.random(shape, np.float32) for path, shape in shapes.items()}
    nested = nested_masks(scored, own, "matrix")
    for (path, layer), levels in own.items():
        matrix = nested[path].reshape(-1, *shapes[path][-2:])[layer]
        for index, sparsity in enumerate(levels):
            pruned = np.count_nonzero(matrix <= index)
            assert pruned == round(sparsity * matrix.size)
    with pytest.raises(ValueError, match="of their own"):
        nested_masks(scored, own, "global")
