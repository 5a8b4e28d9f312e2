"""What suits a device: tokens of a batch, and levels that one call evaluates.

More levels at once keep an accelerator busy where one would not; they cost their pruned
leaves and their activations. On a CPU one at a time is fastest: vmapped, five levels
take 1.1 to 2.5 times as long.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from jaxsparse import hosts, parallel, trees
from jaxsparse.model import Apply, Model
from jaxsparse.scoring import Shape
from jaxsparse.types import Params

# On a CPU more only leave the caches, an accelerator wants many.
CPU_BATCH_TOKENS, ACCELERATOR_BATCH_TOKENS = 2048, 32768
SHARE = 0.8  # of a device's memory; what is left is for what XLA adds


def batch_tokens(mesh: Mesh | None) -> int:
    """Tokens of a batch, so many for each device that has rows of its own."""
    cpu = jax.default_backend() == "cpu"
    one = CPU_BATCH_TOKENS if cpu else ACCELERATOR_BATCH_TOKENS
    return one * parallel.rows_multiple(mesh)


def in_parts(apply: Apply) -> Apply:
    """The same for a few rows after another, as many as a CPU's caches hold: what a
    batch must hold together (a question has up to dozens of rows) is more than that."""

    def apply_in_parts(params: Params, inputs: Any) -> jax.Array:
        rows, length = inputs.tokens.shape
        length += getattr(inputs, "encoder_tokens", inputs.tokens[:, :0]).shape[1]
        few = max(CPU_BATCH_TOKENS // length, 1)
        part = max(n for n in range(1, few + 1) if rows % n == 0)
        if part == rows:
            return apply(params, inputs)
        parts = jax.tree.map(lambda x: x.reshape(-1, part, *x.shape[1:]), inputs)
        outputs = jax.lax.map(lambda some: apply(params, some), parts)
        return outputs.reshape(rows, *outputs.shape[2:])

    return apply_in_parts


def levels_at_once(
    model: Model, prunable: Sequence[str], shapes: Iterable[Shape], most: int
) -> int:
    """As many of at most `most` levels as the memory of a device takes beside the dense
    parameters; one where the device does not say what it has."""
    memory = parallel.memory()
    if jax.default_backend() == "cpu" or not memory:
        return 1
    leaves = trees.flatten(model.params)
    dense = sum(map(_bytes_of_device, leaves.values()))
    pruned = [_bytes_of_device(leaves[path]) for path in prunable]
    level = sum(pruned) + max(activations(model, shape) for shape in shapes)
    # A leaf of all levels is stacked beside the leaves of each.
    free = SHARE * memory - dense
    fitting = int(free // (level + max(pruned)))
    return hosts.number_from_first(min(max(fitting, 1), most))


def activations(model: Model, shape: Shape) -> int:
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
