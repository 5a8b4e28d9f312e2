"""Attention over rows with branches, and over whole rows; float32 weights always."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Bool, Float, Int

from jaxsparse.device import Form
from jaxsparse.types import Array

KEPT = "attention"  # the name of what is not computed again for a gradient
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(6, 7))
def _by_blocks(
    query, key, value, mask, scale, bias, causal, form
) -> Float[Array, "b q h d"]:
    """Head by head and a block of queries at a time, so that a CPU's caches hold the
    weights, which would else go through memory at every step."""
    mixed, _, _ = _forward(query, key, value, mask, scale, bias, causal, form)
    return mixed


def _forward(query, key, value, mask, scale, bias, causal, form):
    """What comes out, and by which every query's weights are made: the largest of their
    logarithms and the sum of their exponentials, of shape (heads, b, q)."""

    def one_head(head):
        query, key, value, bias = head
        blocks = []
        for rows, keys in _blocks(query.shape[1], causal, form):
            weights = _logarithms(query, key, mask, scale, bias, rows, keys)
            largest = weights.max(axis=-1, keepdims=True)
            weights = jnp.exp(weights - largest)
            total = sum_of_last(weights, form)
            mixed = jnp.einsum(
                "bqk,bkd->bqd",
                weights.astype(value.dtype),
                value[:, keys],
                preferred_element_type=jnp.float32,
            )
            # Normalised last, where there is less to divide (Dao et al. 2022).
            mixed = (mixed / total[..., None]).astype(value.dtype)
            blocks.append((mixed, largest[..., 0], total))
        return tuple(jnp.concatenate(parts, 1) for parts in zip(*blocks, strict=True))

    heads = (*map(_head_first, (query, key, value)), _bias_by_head(bias))
    mixed, largest, total = jax.lax.map(one_head, heads)
    return jnp.moveaxis(mixed, 0, 2), largest, total


def _forward_for_gradient(query, key, value, mask, scale, bias, causal, form):
    found = _forward(query, key, value, mask, scale, bias, causal, form)
    mixed, *sums = (checkpoint_name(array, KEPT) for array in found)
    return mixed, (query, key, value, mask, scale, bias, mixed, *sums)


def _backward(causal, form, kept, gradient):
    """The weights are computed again, which takes less than to keep them in memory
    (Dao et al. 2022, algorithm 4)."""
    query, key, value, mask, scale, bias, mixed, largest, total = kept

    def one_head(head):
        query, key, value, bias, gradient, mixed, largest, total = head
        of_query, of_key, of_value, of_bias = [], 0.0, 0.0, []
        along = jnp.sum(gradient * mixed, axis=-1, dtype=jnp.float32)
        for rows, keys in _blocks(query.shape[1], causal, form):
            behind = ((0, 0), (0, key.shape[1] - key[:, keys].shape[1]), (0, 0))
            logarithms = _logarithms(query, key, mask, scale, bias, rows, keys)
            weights = jnp.exp(logarithms - largest[:, rows, None])
            weights = weights / total[:, rows, None]
            given = gradient[:, rows]
            part = _product("bqk,bqd->bkd", weights.astype(given.dtype), given)
            of_value += jnp.pad(part, behind)
            of_weights = _product("bqd,bkd->bqk", given, value[:, keys])
            of_weights = weights * (of_weights - along[:, rows, None])
            of_weights = jnp.where(_seen(mask, rows, keys), of_weights, 0.0)
            if bias is not None:
                batch = of_weights if bias.shape[0] > 1 else of_weights.sum(0)[None]
                hidden = bias.shape[2] - batch.shape[2]
                of_bias.append(jnp.pad(batch, ((0, 0), (0, 0), (0, hidden))))
            of_weights = of_weights.astype(query.dtype)
            of_query.append(_product("bqk,bkd->bqd", of_weights, key[:, keys]))
            part = _product("bqk,bqd->bkd", of_weights, query[:, rows])
            of_key += jnp.pad(part, behind)
        of_query = jnp.concatenate(of_query, 1)
        of_scale = jnp.sum(of_query * query)
        of_bias = jnp.concatenate(of_bias, 1) if of_bias else None
        return of_query * scale, of_key * scale, of_value, of_scale, of_bias

    by_head = map(_head_first, (query, key, value))
    heads = (*by_head, _bias_by_head(bias), *map(_head_first, (gradient, mixed)))
    *parts, of_scale, of_bias = jax.lax.map(one_head, (*heads, largest, total))
    parts = [
        jnp.moveaxis(part, 0, 2).astype(whole.dtype)
        for part, whole in zip(parts, (query, key, value), strict=True)
    ]
    of_mask = np.zeros(mask.shape, jax.dtypes.float0)
    of_scale = (
        jnp.sum(of_scale).astype(jnp.result_type(scale)).reshape(jnp.shape(scale))
    )
    of_bias = None if of_bias is None else jnp.moveaxis(of_bias, 0, 1)
    return *parts, of_mask, of_scale, of_bias


_by_blocks.defvjp(_forward_for_gradient, _backward)


def _blocks(queries: int, causal: bool, form: Form) -> Iterator[tuple[slice, slice]]:
    """The rows of each block, and the keys that they may see."""
    block = form.attention_block
    assert block, "only where there are blocks"
    for begin in range(0, queries, block):
        yield slice(begin, begin + block), slice(begin + block if causal else None)


def _logarithms(query, key, mask, scale, bias, rows, keys) -> Float[Array, "b q k"]:
    """Of the weights of one head and block, not yet normalised."""
    weights = _product("bqd,bkd->bqk", query[:, rows], key[:, keys]) * scale
    if bias is not None:
        weights = weights + bias[:, rows, keys]
    return jnp.where(_seen(mask, rows, keys), weights, jnp.finfo(jnp.float32).min)


def _seen(mask: Bool[Array, "b #q k"], rows: slice, keys: slice) -> Bool[Array, "..."]:
    return mask[:, rows if mask.shape[1] > 1 else slice(None), keys]


def _product(letters: str, one: Array, other: Array) -> Float[Array, "..."]:
    return jnp.einsum(letters, one, other, preferred_element_type=jnp.float32)


def _head_first(array: Float[Array, "b q h d"]) -> Float[Array, "h b q d"]:
    return jnp.moveaxis(array, 2, 0)


def _bias_by_head(bias: Float[Array, "#b h q k"] | None) -> Array | None:
    return None if bias is None else jnp.moveaxis(bias, 1, 0)


def log_sum_exp(
    logits: Float[Array, "*rows vocab"], form: Form
) -> Float[Array, "*rows"]:
    """The logarithm of the sum of exponentials over the last axis."""
    if not form.sums_as_products:
        return jax.nn.logsumexp(logits, axis=-1)
    largest = logits.max(axis=-1)
    return largest + jnp.log(sum_of_last(jnp.exp(logits - largest[..., None]), form))


def sum_of_last(values: Float[Array, "*rows n"], form: Form) -> Float[Array, "*rows"]:
    if form.sums_as_products:
        return values @ jnp.ones(values.shape[-1], values.dtype)
    return values.sum(axis=-1)


def split_heads(hidden: Float[Array, "b q m"], heads: int) -> Float[Array, "b q h d"]:
    return hidden.reshape(*hidden.shape[:-1], heads, -1)


def merge_heads(hidden: Float[Array, "b q h d"]) -> Float[Array, "b q m"]:
    return hidden.reshape(*hidden.shape[:-2], -1)
