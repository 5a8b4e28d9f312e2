"""Selection on the device: the smallest scores of each group, exactly, in jnp alone.

The order is that of `selection`: ascending score, and of equal scores the earlier index
first; 0.0 and -0.0 are equal. Works under jit and vmap; a count may be traced.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float32, Int32

from jaxsparse.types import Array

FEW = 32  # scores of a group up to which each is compared with all others


def smallest(
    scores: Float32[Array, "*group"], count: int | Array, axis: int = -1
) -> Bool[jax.Array, "*group"]:
    """Whether each score is one of the `count` smallest along an axis.

    Args:
        scores: no NaN; the other axes number groups.
        count: from 0 to the length of the axis, for all groups.
    """
    keys = jnp.moveaxis(_keys(jnp.asarray(scores)), axis, -1)
    if keys.shape[-1] <= FEW:
        found = _ranks(keys) < count
    else:
        found = _below_threshold(keys, jnp.int32(count))
    return jnp.moveaxis(found, -1, axis)


def _keys(scores: Float32[jax.Array, "*group"]) -> Int32[jax.Array, "*group"]:
    """Integers of the scores' order. Bits only: XLA on CPUs takes denormals for 0."""
    bits = lax.bitcast_convert_type(scores, jnp.int32)
    bits = jnp.where(bits == jnp.iinfo(jnp.int32).min, 0, bits)  # -0.0
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _ranks(
    keys: Int32[jax.Array, "*group weight"],
) -> Int32[jax.Array, "*group weight"]:
    """How many scores of its group go before each."""
    number = jnp.arange(keys.shape[-1])
    mine, other = keys[..., None, :], keys[..., :, None]
    earlier = number[:, None] < number
    return jnp.sum((other < mine) | ((other == mine) & earlier), -2, dtype=jnp.int32)


def _below_threshold(
    keys: Int32[jax.Array, "*group weight"], count: jax.Array
) -> Bool[jax.Array, "*group weight"]:
    """Bisects for the last key that goes, then for the last of the keys equal to it.

    Every step of a bisection is one pass that counts. The first ends as soon as a
    threshold parts as many as asked for; the second, if all that are equal go, has no
    steps.
    """
    lowest, highest = (find(keys, -1, keepdims=True) for find in (jnp.min, jnp.max))
    threshold = _bisect(lambda middle: keys <= middle, lowest, highest, count)
    below, equal = keys < threshold, keys == threshold
    lacking, tied = count - _number(below), _number(equal)
    index = jnp.arange(keys.shape[-1], dtype=jnp.int32)
    last = jnp.full_like(lacking, keys.shape[-1] - 1)
    lowest = jnp.where(lacking == tied, last, jnp.where(lacking == 0, -1, 0))
    highest = jnp.where(lacking == 0, -1, last)
    last = _bisect(lambda middle: equal & (index <= middle), lowest, highest, lacking)
    return below | (equal & (index <= last))


def _bisect(
    chosen: Callable[[jax.Array], jax.Array],
    lowest: Int32[jax.Array, "*group 1"],
    highest: Int32[jax.Array, "*group 1"],
    wanted: Int32[jax.Array, "..."],
) -> Int32[jax.Array, "*group 1"]:
    """A bound that chooses as many as wanted; else the lowest that chooses more."""

    def narrow(bounds: tuple[jax.Array, jax.Array]):
        low, high = bounds
        middle = (low & high) + ((low ^ high) >> 1)  # their sum may overflow
        number = _number(chosen(middle))
        above = jnp.where(number < wanted, middle + 1, low)
        low = jnp.where(number == wanted, middle, above)
        return low, jnp.where(number < wanted, high, middle)

    def apart(bounds: tuple[jax.Array, jax.Array]):
        return jnp.any(bounds[0] < bounds[1])

    return lax.while_loop(apart, narrow, (lowest, highest))[1]


def _number(chosen: Bool[jax.Array, "*group weight"]) -> Int32[jax.Array, "*group 1"]:
    return jnp.sum(chosen, -1, keepdims=True, dtype=jnp.int32)
