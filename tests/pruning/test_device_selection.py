"""Selection on the device against a stable argsort, and against masks of the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsparse.pruning import mask_at, nested_masks
from jaxsparse.pruning.device_selection import FEW, smallest

TIED = [np.float32(x) for x in (-np.inf, -1, -0.0, 0.0, 1e-40, 2, np.inf)]
ELEMENTS = st.sampled_from(
    [st.sampled_from(TIED), st.floats(allow_nan=False, width=32)]
)
# Few shapes, for each is compiled; groups on both sides of FEW.
SHAPES = st.sampled_from([(2, 1), (3, 5), (2, FEW), (3, FEW + 1), (2, 90)])
SCORES = st.tuples(SHAPES, ELEMENTS).flatmap(
    lambda drawn: arrays(np.float32, drawn[0], elements=drawn[1])
)
chosen = jax.jit(smallest, static_argnames="axis")


def by_argsort(rows, count):
    found = np.zeros(rows.shape, bool)
    for row, found_row in zip(rows, found, strict=True):
        found_row[np.argsort(row + np.float32(0), kind="stable")[:count]] = True
    return found


@settings(deadline=None, max_examples=150)
@given(SCORES, st.data())
def test_the_first_so_many_of_a_stable_argsort(scores, data):
    count = data.draw(st.integers(0, scores.shape[-1]))
    expected = by_argsort(scores, count)
    np.testing.assert_array_equal(chosen(scores, count), expected)
    np.testing.assert_array_equal(chosen(scores.T, count, axis=0), expected.T)
    together = jax.vmap(chosen, (0, None))(scores, count)
    np.testing.assert_array_equal(together, expected)


@pytest.mark.parametrize("sparsity", [0.0, 1e-4, 0.37, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("decimals", [1, 9], ids=["tied", "distinct"])
def test_masks_are_those_of_the_host(sparsity, decimals):
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(130, 70)), decimals).astype(np.float32)
    scores[rng.random(scores.shape) < 0.01] = -np.inf
    kept = mask_at(nested_masks({"w": scores}, [sparsity], "matrix")["w"], 0)
    gone = chosen(scores.reshape(-1), round(sparsity * scores.size))
    # The host keeps none of -inf, zeros of the file, whatever the count.
    expected = ~kept & ((scores > -np.inf) | np.asarray(gone).reshape(kept.shape))
    np.testing.assert_array_equal(gone.reshape(kept.shape), expected)
    assert np.sum(gone) == round(sparsity * scores.size)


def test_counts_of_every_group_one_trace():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=(6, 50)), jnp.float32)
    traces = []

    @jax.jit
    def counted(count):
        traces.append(count)
        return jnp.sum(smallest(scores, count), -1)

    for count in (0, 1, 25, 50):
        assert counted(count).tolist() == [count] * 6
    assert len(traces) == 1
