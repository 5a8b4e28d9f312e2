"""Attention of sparse execution is that of dense execution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse import sparse
from jaxsparse.device import CPU
from jaxsparse.models.attention import attention, branch_mask

# rows, queries, keys, heads, features: whole panels and odd ones, one of everything,
# more keys than a block, fewer queries than keys.
SHAPES = (
    (2, 64, 64, 3, 16), (1, 1, 1, 1, 1), (2, 7, 7, 2, 5), (1, 65, 300, 2, 64),
    (3, 24, 130, 2, 8), (1, 129, 129, 1, 33), (2, 33, 257, 4, 20), (1, 96, 31, 2, 17),
)  # fmt: skip


def arrays(shape, seed=0):
    rows, queries, keys, heads, size = shape
    generator = np.random.default_rng(seed)
    for length in (queries, keys, keys):
        yield generator.standard_normal((rows, length, heads, size), np.float32)


def in_float64(query, key, value, mask, scale, bias):
    """The definition; what sees nothing is not looked at."""
    query, key, value = (array.astype(np.float64) for array in (query, key, value))
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) * scale
    scores = scores + (0 if bias is None else bias)
    scores = np.where(mask[:, None], scores, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


def check(shape, mask, scale=0.3, bias=None):
    given = list(arrays(shape))
    ours = np.asarray(sparse.attention(*given, mask, scale, bias))
    assert ours.dtype == np.float32
    assert np.isfinite(ours).all()
    sees = np.broadcast_to(mask.any(-1), ours.shape[:2])
    expected = in_float64(*given, mask, scale, bias)
    # Scores reach 20, of which float32 has six digits behind the point.
    np.testing.assert_allclose(ours[sees], expected[sees], rtol=1e-5, atol=1e-5)
    return ours


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [1.0, 0.9, 0.1])
def test_every_query_has_a_mask_of_its_own(shape, share):
    rows, queries, keys, _, _ = shape
    mask = np.random.default_rng(1).random((rows, queries, keys)) < share
    check(shape, mask)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_mask_serves_all_queries_of_a_row(shape):
    rows, _, keys, _, _ = shape
    mask = np.random.default_rng(2).random((rows, 1, keys)) < 0.5
    mask[..., 0] = True
    check(shape, mask)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shared", [True, False])
def test_a_bias_is_added(shape, shared):
    rows, queries, keys, heads, _ = shape
    generator = np.random.default_rng(3)
    of_rows = 1 if shared else rows
    bias = generator.standard_normal((of_rows, heads, queries, keys), np.float32) * 3
    mask = generator.random((rows, queries, keys)) < 0.8
    check(shape, mask, bias=bias)


def test_a_query_that_sees_nothing_changes_no_other():
    shape = (2, 70, 90, 2, 8)
    mask = np.random.default_rng(4).random((2, 70, 90)) < 0.5
    before = check(shape, mask)
    blind = mask.copy()
    blind[0, 5] = blind[1] = False  # one of a panel, and a whole row
    after = check(shape, blind)
    np.testing.assert_array_equal(np.delete(after[0], 5, 0), np.delete(before[0], 5, 0))


def test_large_scores_neither_overflow_nor_vanish():
    query, key, value = arrays((1, 40, 50, 2, 16), seed=5)
    mask = np.ones((1, 1, 50), bool)
    for scale in (1e3, 1e-3):
        ours = np.asarray(sparse.attention(query, key, value, mask, scale))
        expected = in_float64(query, key, value, mask, scale, None)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_branches_are_those_of_dense_execution():
    branches = np.zeros((2, 200), np.int32)
    for branch in range(5):
        branches[:, 140 + 10 * branch : 150 + 10 * branch] = branch + 1
    branches[1, 190:] = -1
    mask = branch_mask(jnp.asarray(branches))
    query, key, value = arrays((2, 200, 200, 4, 16), seed=6)
    dense = attention(query, key, value, mask, 0.25, causal=True, form=CPU)
    ours = jax.jit(sparse.attention)(query, key, value, mask, 0.25)
    real = branches >= 0
    np.testing.assert_allclose(
        np.asarray(ours)[real], np.asarray(dense)[real], rtol=1e-5, atol=1e-6
    )
