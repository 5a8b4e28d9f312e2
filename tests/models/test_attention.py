"""Attention by blocks is attention; its sums are sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.device import ACCELERATOR, CPU
from jaxsparse.models import attention
from jaxsparse.models.attention import branch_mask, log_sum_exp

FORMS = pytest.mark.parametrize("form", [CPU, ACCELERATOR])
BLOCK = CPU.attention_block
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def heads(seed, queries, keys, rows=2):
    """Queries, keys and values of three heads."""
    one, two, three = jax.random.split(jax.random.key(seed), 3)
    shape = (3, 8)
    return (
        jax.random.normal(one, (rows, queries, *shape)),
        jax.random.normal(two, (rows, keys, *shape)),
        jax.random.normal(three, (rows, keys, *shape)),
    )


def plain(query, key, value, mask, scale=1.0, bias=0.0):
    """Written out in float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    weights = np.einsum("bqhd,bkhd->bhqk", query, key) * scale + np.asarray(bias)
    weights = np.where(np.asarray(mask)[:, None], weights, -np.inf)
    weights = np.exp(weights - weights.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


# No multiple of a block, one block and a bit, an exact multiple, no more than a block.
LENGTHS = (BLOCK + 1, 2 * BLOCK, 300, BLOCK)


@FORMS
@pytest.mark.parametrize("length", LENGTHS)
def test_rows_with_branches(length, form):
    branches = np.zeros((2, length), np.int32)
    branches[:, length // 2 :] = 1 + np.arange(length - length // 2) // 20
    branches[1, -30:] = attention.PADDING
    mask = branch_mask(branches)
    query, key, value = heads(0, length, length)
    found = attention.attention(query, key, value, mask, 0.3, causal=True, form=form)
    read = branches != attention.PADDING
    expected = plain(query, key, value, mask, 0.3)
    np.testing.assert_allclose(found[read], expected[read], **CLOSE)
    assert np.isfinite(found).all()


@FORMS
@pytest.mark.parametrize("length", LENGTHS)
def test_rows_with_a_bias_and_padded_keys(length, form):
    mask = np.ones((2, 1, 260), bool)
    mask[1, 0, 200:] = False
    query, key, value = heads(1, length, 260)
    bias = jax.random.normal(jax.random.key(2), (1, 3, length, 260))
    found = attention.attention(query, key, value, mask, bias=bias, form=form)
    np.testing.assert_allclose(
        found, plain(query, key, value, mask, bias=bias), **CLOSE
    )


def test_what_is_right_of_the_diagonal_is_not_computed():
    """Four blocks of queries see 1, 2, 3 and 4 blocks of keys: 10 of 16."""
    mask = np.tril(np.ones((1, 512, 512), bool))

    def operations(causal):
        def attend(*heads):
            return attention.attention(*heads, mask, causal=causal, form=CPU)

        compiled = jax.jit(attend).lower(*heads(3, 512, 512, rows=1)).compile()
        return compiled.cost_analysis()["flops"]

    assert operations(True) / operations(False) == pytest.approx(10 / 16, rel=0.05)


@FORMS
@pytest.mark.parametrize("shape", [(7,), (3, 1000), (2, 3, 50)])
def test_log_sum_exp(shape, form):
    logits = 30 * jax.random.normal(jax.random.key(4), shape)
    expected = np.log(np.sum(np.exp(np.asarray(logits, np.float64)), axis=-1))
    np.testing.assert_allclose(log_sum_exp(logits, form), expected, rtol=1e-6)
    far = log_sum_exp(jnp.asarray(logits) + 1e4, form)  # exp(1e4) would be infinite
    np.testing.assert_allclose(far, expected + 1e4, rtol=1e-6)


def branches(length):
    made = np.zeros((2, length), np.int32)
    made[:, length // 2 :] = 1 + np.arange(length - length // 2) // 20
    made[1, -30:] = attention.PADDING
    return branch_mask(made)


def padded_keys(keys):
    """The second row sees nothing at all."""
    mask = np.ones((2, 1, keys), bool)
    mask[0, 0, 200:] = mask[1] = False
    return mask


@pytest.mark.parametrize("bias", [None, 1, 2])
@pytest.mark.parametrize(
    ("mask", "keys", "causal"),
    [
        (branches(300), 300, True),
        (branches(256), 256, True),
        (padded_keys(260), 260, False),
    ],
)
def test_the_gradient_by_blocks_is_that_of_all_at_once(mask, keys, causal, bias):
    """JAX's own gradient, in all that attention depends on."""
    queries = mask.shape[1] if causal else 300
    given = heads(5, queries, keys)
    weights = jax.random.normal(jax.random.key(6), given[0].shape)
    if bias:
        bias = jax.random.normal(jax.random.key(7), (bias, 3, queries, keys))

    def slope(form):
        def loss(given, scale, bias):
            found = attention.attention(
                *given, mask, scale, bias, causal=causal, form=form
            )
            return jnp.sum(weights * jnp.tanh(found))

        return jax.jit(jax.grad(loss, (0, 1, 2)))(given, jnp.float32(0.3), bias)

    found, expected = (jax.tree.leaves(slope(form)) for form in (CPU, ACCELERATOR))
    assert len(found) == (5 if bias is not None else 4)
    for one, other in zip(found, expected, strict=True):
        largest = float(jnp.abs(other).max())
        assert largest > 0.01
        # The scale's is a sum of all in which most cancels: each way is 1e-5 off what
        # float64 gives.
        off = 1e-5 if one.ndim else 3e-5
        np.testing.assert_allclose(one, other, rtol=0, atol=off * largest)


def test_weights_are_not_kept_for_the_gradient():
    """Of twelve heads a gradient keeps less than the weights of four."""
    mask = branch_mask(np.zeros((1, 1024), np.int32))
    given = [jax.ShapeDtypeStruct((1, 1024, 12, 8), jnp.float32)] * 3

    def loss(*given):
        return jnp.sum(attention.attention(*given, mask, causal=True, form=CPU))

    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*given).compile()
    sizes = compiled.memory_analysis()
    assert sizes is not None
    assert sizes.temp_size_in_bytes < 4 * 4 * 1024 * 1024
