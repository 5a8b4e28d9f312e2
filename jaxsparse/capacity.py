"""What suits a device: tokens of a batch, and levels that one call evaluates.

More levels at once keep an accelerator busy where one would not; they cost their pruned
leaves and their activations. On a CPU one at a time is fastest: vmapped, five levels
take 1.1 to 2.5 times as long.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxsparse import hosts, parallel
from jaxsparse.model import Model
from jaxsparse.models.apply import Apply
from jaxsparse.scoring import BatchShape
from jaxsparse.types import Leaves

# On a CPU more only leave the caches, an accelerator wants many.
CPU_BATCH_TOKENS, ACCELERATOR_BATCH_TOKENS = 2048, 32768
SHARE = 0.8  # of a device's memory; what is left is for what XLA adds


def batch_tokens(model: Model, prunable: str) -> int:
    """Tokens of a batch, so many for each device that has rows of its own: on an
    accelerator half as many, and again, until one level fits into its memory."""
    tokens, memory = ACCELERATOR_BATCH_TOKENS, parallel.memory()
    if jax.default_backend() == "cpu":
        tokens = CPU_BATCH_TOKENS
    leaves = model.params
    weights = sum(map(_bytes_of_device, leaves.values()))
    weights += sum(_bytes_of_device(leaves[path]) for path in model.prunable(prunable))
    devices = parallel.rows_multiple(model.mesh)
    while memory and tokens > CPU_BATCH_TOKENS:
        if weights + activations(model, _typical(tokens * devices)) <= SHARE * memory:
            break
        tokens //= 2
    return hosts.number_from_first(tokens) * devices


def _typical(tokens: int) -> BatchShape:
    """A batch of so many tokens, in rows as real questions have them."""
    lengths = (("tokens", 512), ("scored", 160))
    return BatchShape(1, max(tokens // 512, 1), lengths, 160, 10, 16)


def in_parts(apply: Apply) -> Apply:
    """The same for a few rows after another, as many as a CPU's caches hold: what a
    batch must hold together (a question has up to dozens of rows) is more than that."""

    def apply_in_parts(params: Leaves, inputs: Any) -> jax.Array:
        rows, length = inputs.tokens.shape
        length += getattr(inputs, "encoder_tokens", inputs.tokens[:, :0]).shape[1]
        few = max(CPU_BATCH_TOKENS // length, 1)
        if rows <= few:
            return apply(params, inputs)
        count = -(-rows // few)
        part = -(-rows // count)

        def divided(field: jax.Array) -> jax.Array:
            missing = [(0, count * part - rows)] + [(0, 0)] * (field.ndim - 1)
            return jnp.pad(field, missing).reshape(count, part, *field.shape[1:])

        parts = jax.tree.map(divided, inputs)
        outputs = jax.lax.map(lambda some: apply(params, some), parts)
        return outputs.reshape(-1, *outputs.shape[2:])[:rows]

    return apply_in_parts


def levels_at_once(
    model: Model, prunable: Sequence[str], shapes: Iterable[BatchShape], most: int
) -> int:
    """As many of at most `most` levels as the memory of a device takes beside the dense
    parameters; one where the device does not say what it has."""
    leaves = model.params
    dense = sum(map(_bytes_of_device, leaves.values()))
    pruned = [_bytes_of_device(leaves[path]) for path in prunable]
    level = sum(pruned) + max(activations(model, shape) for shape in shapes)
    # A leaf of all levels is stacked beside the leaves of each.
    free = SHARE * parallel.memory() - dense
    fitting = int(free // (level + max(pruned)))
    accelerator = jax.default_backend() != "cpu"
    return hosts.number_from_first(min(max(fitting, 1), most) if accelerator else 1)


def activations(model: Model, shape: BatchShape) -> int:
    """Bytes of a device for one level of a batch: the widest layer's, attention weights
    twice, logits twice. An estimate from above, since XLA reuses what it can."""
    config, lengths = model.config, dict(shape.lengths)
    rows = -(-shape.rows // parallel.rows_multiple(model.mesh))
    longest = max(lengths["tokens"], lengths.get("encoder_tokens", 0))
    wide = longest * (8 * config.hidden + 2 * config.ffn)
    attention = 2 * config.heads * longest**2
    logits = 2 * lengths["scored"] * config.vocab
    return 4 * rows * (wide + attention + logits)


def _bytes_of_device(leaf: jax.Array) -> int:
    """Of a leaf, what one device holds."""
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
