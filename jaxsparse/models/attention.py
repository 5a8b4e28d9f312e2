"""Attention over rows with branches, and over whole rows; float32 weights always."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from jaxsparse.device import Form
from jaxsparse.types import Array

PADDING = -1  # the branch id of a padded position
PREFIX = 0  # the branch id of the shared prefix; branches count from 1


def branch_mask(
    branches: Int[Array, "row position"],
) -> Bool[Array, "row position position"]:
    """True where a query position (axis 1) may attend to a key position (axis 2).

    prefix   p0 p1 … pC
    branch 1 └▶ a0 a1 a2     sees p0 … pC and what precedes it in its own branch
    branch 2 └▶ b0 b1        never sees branch 1
    """
    order = jnp.arange(branches.shape[1])
    keys, queries = branches[:, None, :], branches[:, :, None]
    causal = order[None, None, :] <= order[None, :, None]
    return causal & ((keys == PREFIX) | (keys == queries)) & (keys != PADDING)


def attention(
    query: Float[Array, "b q h d"],
    key: Float[Array, "b k h d"],
    value: Float[Array, "b k h d"],
    mask: Bool[Array, "b #q k"],
    scale: float | Array = 1.0,
    bias: Float[Array, "#b h q k"] | None = None,
    causal: bool = False,
    *,
    form: Form,
) -> Float[Array, "b q h d"]:
    """Softmax attention; a query that sees nothing is finite.

    Args:
        causal: query i sees no key after i, whatever else `mask` says, so that what is
            behind the diagonal need not be computed.
        form: by blocks, where there is more than one, or all at once.
    """
    if form.attention_block and query.shape[1] > form.attention_block:
        return _by_blocks(query, key, value, mask, scale, bias, causal, form)
    return _at_once(query, key, value, mask, scale, bias)


def _at_once(query, key, value, mask, scale, bias) -> Float[Array, "b q h d"]:
    """All heads and queries, as accelerators like it; `mask` is enough."""
    weights = jnp.einsum(
        "bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32
    )
    weights = weights * scale
    if bias is not None:
        weights = weights + bias
    weights = jnp.where(mask[:, None], weights, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(weights, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


def _by_blocks(
    query, key, value, mask, scale, bias, causal, form
) -> Float[Array, "b q h d"]:
    """Head by head and a block of queries at a time, so that a CPU's caches hold the
    weights, which would else go through memory at every step."""
    block = form.attention_block

    def one_head(head) -> Float[Array, "b q d"]:
        query, key, value, bias = head
        mixed = []
        for begin in range(0, query.shape[1], block):
            rows = slice(begin, begin + block)
            keys = slice(begin + block if causal else None)
            seen = mask[:, rows if mask.shape[1] > 1 else slice(None), keys]
            mixed.append(
                _block(
                    query[:, rows],
                    key[:, keys],
                    value[:, keys],
                    seen,
                    scale,
                    None if bias is None else bias[:, rows, keys],
                    form,
                )
            )
        return jnp.concatenate(mixed, axis=1)

    heads = (
        *(jnp.moveaxis(array, 2, 0) for array in (query, key, value)),
        None if bias is None else jnp.moveaxis(bias, 1, 0),
    )
    return jnp.moveaxis(jax.lax.map(one_head, heads), 0, 2)


def _block(query, key, value, mask, scale, bias, form) -> Float[Array, "b q d"]:
    """One head; normalised last, where there is less to divide (Dao et al. 2022)."""
    weights = jnp.einsum("bqd,bkd->bqk", query, key, preferred_element_type=jnp.float32)
    weights = weights * scale
    if bias is not None:
        weights = weights + bias
    weights = jnp.where(mask, weights, jnp.finfo(jnp.float32).min)
    weights = jnp.exp(weights - weights.max(axis=-1, keepdims=True))
    total = _sum_of_last(weights, form)
    mixed = jnp.einsum(
        "bqk,bkd->bqd",
        weights.astype(value.dtype),
        value,
        preferred_element_type=jnp.float32,
    )
    return (mixed / total[..., None]).astype(value.dtype)


def log_sum_exp(
    logits: Float[Array, "*rows vocab"], form: Form
) -> Float[Array, "*rows"]:
    """The logarithm of the sum of exponentials over the last axis."""
    if not form.sums_as_products:
        return jax.nn.logsumexp(logits, axis=-1)
    largest = logits.max(axis=-1)
    return largest + jnp.log(_sum_of_last(jnp.exp(logits - largest[..., None]), form))


def _sum_of_last(values: Float[Array, "*rows n"], form: Form) -> Float[Array, "*rows"]:
    if form.sums_as_products:
        return values @ jnp.ones(values.shape[-1], values.dtype)
    return values.sum(axis=-1)


def split_heads(hidden: Float[Array, "b q m"], heads: int) -> Float[Array, "b q h d"]:
    return hidden.reshape(*hidden.shape[:-1], heads, -1)


def merge_heads(hidden: Float[Array, "b q h d"]) -> Float[Array, "b q m"]:
    return hidden.reshape(*hidden.shape[:-2], -1)
