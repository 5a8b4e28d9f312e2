"""T5's biases for distances between positions (Raffel et al. 2020, section 2.1)."""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Int

from jaxsparse.models.t5_config import T5Config
from jaxsparse.types import Array


class RelativeBias(nn.Module):
    """What a head adds for the distance between two positions; shared by all layers."""

    config: T5Config
    bidirectional: bool

    @nn.compact
    def __call__(
        self,
        queries: Int[Array, "#b q"],
        keys: Int[Array, "#b k"],
    ) -> Float[Array, "#b h q k"]:
        config = self.config
        relative = keys[:, None, :] - queries[:, :, None]
        buckets = config.buckets // 2 if self.bidirectional else config.buckets
        table = jnp.asarray(bucket_table(buckets, config.max_distance))
        if self.bidirectional:
            distance, ahead = jnp.abs(relative), (relative > 0) * buckets
        else:
            distance, ahead = jnp.maximum(-relative, 0), 0
        bucket = table[jnp.minimum(distance, config.max_distance)] + ahead
        bias = nn.Embed(config.buckets, config.heads, name="relative_bias")
        nn.share_scope(self, bias)
        return jnp.einsum("bqkh->bhqk", bias(bucket).astype(jnp.float32))


def bucket_table(buckets: int, max_distance: int) -> np.ndarray:
    """The bucket of each distance 0 … max_distance in one direction; int32.

    Half of the buckets hold one distance each, the others logarithmic ranges
    (Raffel et al. 2020, section 2.1). Computed in float32, as torch does: at the edges
    of ranges the rounding decides, and this is settled once on the host.
    """
    exact = buckets // 2
    distance = np.arange(max_distance + 1, dtype=np.float32)
    ratio = _log(np.maximum(distance, 1) / np.float32(exact))
    large = exact + (
        ratio / np.float32(math.log(max_distance / exact)) * np.float32(buckets - exact)
    ).astype(np.int32)
    return np.where(distance < exact, distance, np.minimum(large, buckets - 1)).astype(
        np.int32
    )


def _log(x: np.ndarray) -> np.ndarray:
    """Logarithms in float32, with the rounding errors of torch's on CPUs.

    Those of mantissa (1 + r) and exponent are added in float32. With 36 buckets for 98
    distances, log(42/18) / log(98/18) is one half: numpy's logarithms fall short of it.
    """
    exponent = np.floor(np.log2(1.5 * x)).astype(np.float32)
    r = np.ldexp(x, -exponent.astype(np.int32)) - np.float32(1)
    high = np.float32(45426 / 65536)  # of log(2): its product with exponents is exact
    low = np.float32(math.log(2) - float(high))
    wide = np.where(r == 0, 1, r).astype(np.float64)
    rest = ((np.log1p(wide) - wide) / wide**2).astype(np.float32)
    return (r + r * rest * r) + exponent * low + exponent * high
