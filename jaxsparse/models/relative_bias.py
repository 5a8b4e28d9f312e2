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
    (Raffel et al. 2020, section 2.1). Computed in float32, as torch does, of correctly
    rounded logarithms: at the edges of ranges the rounding decides. Torch's logarithms,
    and so its tables, differ between CPUs there.
    """
    exact = buckets // 2
    distance = np.arange(max_distance + 1, dtype=np.float32)
    ratio = np.maximum(distance, 1) / np.float32(exact)
    log = np.log(ratio.astype(np.float64)).astype(np.float32)
    large = exact + (
        log / np.float32(math.log(max_distance / exact)) * np.float32(buckets - exact)
    ).astype(np.int32)
    return np.where(distance < exact, distance, np.minimum(large, buckets - 1)).astype(
        np.int32
    )
