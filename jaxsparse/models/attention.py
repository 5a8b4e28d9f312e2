"""Attention over rows with branches, and over whole rows; float32 weights always."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from jaxsparse.types import Array

PADDING = -1  # the branch id of a padded position
PREFIX = 0  # the branch id of the shared prefix; branches count from 1

BLOCK = 128  # queries at a time on a CPU; 64 and 256 take a tenth longer


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
) -> Float[Array, "b q h d"]:
    """Softmax attention; a query that sees nothing is finite.

    Args:
        causal: query i sees no key after i, whatever else `mask` says, so that what is
            behind the diagonal need not be computed.
    """
    in_blocks = query.shape[1] > BLOCK and jax.default_backend() == "cpu"
    how = by_blocks if in_blocks else plain
    return how(query, key, value, mask, scale, bias, causal)


def plain(query, key, value, mask, scale, bias, causal) -> Float[Array, "b q h d"]:
    """All heads and queries at once, as accelerators like it; `mask` is enough."""
    del causal
    weights = jnp.einsum(
        "bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32
    )
    weights = weights * scale
    if bias is not None:
        weights = weights + bias
    weights = jnp.where(mask[:, None], weights, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(weights, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


def by_blocks(query, key, value, mask, scale, bias, causal) -> Float[Array, "b q h d"]:
    """Head by head and a block of queries at a time, so that a CPU's caches hold the
    weights, which would else go through memory at every step."""

    def one_head(head) -> Float[Array, "b q d"]:
        query, key, value, bias = head
        mixed = []
        for begin in range(0, query.shape[1], BLOCK):
            rows = slice(begin, begin + BLOCK)
            keys = slice(begin + BLOCK if causal else None)
            seen = mask[:, rows if mask.shape[1] > 1 else slice(None), keys]
            mixed.append(
                _block(
                    query[:, rows],
                    key[:, keys],
                    value[:, keys],
                    seen,
                    scale,
                    None if bias is None else bias[:, rows, keys],
                )
            )
        return jnp.concatenate(mixed, axis=1)

    heads = (
        *(jnp.moveaxis(array, 2, 0) for array in (query, key, value)),
        None if bias is None else jnp.moveaxis(bias, 1, 0),
    )
    return jnp.moveaxis(jax.lax.map(one_head, heads), 0, 2)


def _block(query, key, value, mask, scale, bias) -> Float[Array, "b q d"]:
    """One head; normalised last, where there is less to divide (Dao et al. 2022)."""
    weights = jnp.einsum("bqd,bkd->bqk", query, key, preferred_element_type=jnp.float32)
    weights = weights * scale
    if bias is not None:
        weights = weights + bias
    weights = jnp.where(mask, weights, jnp.finfo(jnp.float32).min)
    weights = jnp.exp(weights - weights.max(axis=-1, keepdims=True))
    total = _sum_of_last(weights)
    mixed = jnp.einsum(
        "bqk,bkd->bqd",
        weights.astype(value.dtype),
        value,
        preferred_element_type=jnp.float32,
    )
    return (mixed / total[..., None]).astype(value.dtype)


def log_sum_exp(logits: Float[Array, "*rows vocab"]) -> Float[Array, "*rows"]:
    """The logarithm of the sum of exponentials over the last axis."""
    if jax.default_backend() != "cpu":
        return jax.nn.logsumexp(logits, axis=-1)
    largest = logits.max(axis=-1)
    return largest + jnp.log(_sum_of_last(jnp.exp(logits - largest[..., None])))


def _sum_of_last(values: Float[Array, "*rows n"]) -> Float[Array, "*rows"]:
    """As a product with ones: XLA's sums of exponentials are scalar code on CPUs."""
    return values @ jnp.ones(values.shape[-1], values.dtype)


def split_heads(hidden: Float[Array, "b q m"], heads: int) -> Float[Array, "b q h d"]:
    return hidden.reshape(*hidden.shape[:-1], heads, -1)


def merge_heads(hidden: Float[Array, "b q h d"]) -> Float[Array, "b q m"]:
    return hidden.reshape(*hidden.shape[:-2], -1)
