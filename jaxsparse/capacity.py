"""How much a device takes at once: tokens of a batch, and variants in one call.

More variants at once keep an accelerator busy where a single one would not; they cost
their pruned leaves and their activations.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxsparse import device, hosts, parallel, sparse
from jaxsparse.device import Form
from jaxsparse.model import Model
from jaxsparse.scoring import BatchShape

USABLE = 0.8  # of a device's memory; what is left is for what XLA adds
FEWEST_TOKENS = 2048  # of a batch: few rows
TYPICAL = (("tokens", 512), ("scored", 160))  # lengths of a row of real questions


@dataclass(frozen=True)
class Rows:
    """The rows of a batch, all of one length."""

    rows: int
    lengths: tuple[tuple[str, int], ...]  # of each field of a row


def batch_tokens(model: Model, prunable: str) -> int:
    """Tokens of a batch, so many for each device that has rows of its own."""
    weights = _bytes_of_variant(model, prunable)
    tokens = fitting_tokens(model.form, device.memory(), weights, model.config)
    return hosts.number_from_first(tokens) * parallel.rows_multiple(model.mesh)


def fitting_tokens(form: Form, memory: int, weights: int, config: Any) -> int:
    """What the form asks for, or half as many, and again, until one variant fits.

    Args:
        memory: bytes of a device; 0 where it does not say.
        weights: bytes of it that hold parameters.
    """
    tokens = form.batch_tokens
    while memory and tokens > FEWEST_TOKENS:
        rows = tokens // dict(TYPICAL)["tokens"]
        if weights + activations(config, TYPICAL, rows) <= USABLE * memory:
            break
        tokens //= 2
    return tokens


def rows_of_length(
    model: Model, prunable: str, lengths: Sequence[tuple[str, int]], tokens: int
) -> int:
    """How many rows of one length go in a batch of at most so many tokens: a multiple
    of what divides its rows among devices, one for each at least."""
    devices = parallel.rows_multiple(model.mesh)
    weights = _bytes_of_variant(model, prunable)
    rows = fitting_rows(
        model.form, device.memory(), weights, model.config, lengths, tokens // devices
    )
    return hosts.number_from_first(rows) * devices


def fitting_rows(
    form: Form,
    memory: int,
    weights: int,
    config: Any,
    lengths: Sequence[tuple[str, int]],
    tokens: int,
) -> int:
    """Rows of at most so many tokens and of as many logits as the form wants; half as
    many, and again, until one variant fits.

    Args:
        memory, weights: see `fitting_tokens`.
    """
    of_field = dict(lengths)
    rows = tokens // (of_field["tokens"] + of_field.get("encoder_tokens", 0))
    if form.logits:
        rows = min(rows, form.logits // (of_field["scored"] * config.vocab))
    while memory and rows > 1:
        if weights + activations(config, lengths, rows) <= USABLE * memory:
            break
        rows //= 2
    return max(rows, 1)


def levels_at_once(
    model: Model,
    changed: Iterable[str],
    shapes: Iterable[BatchShape | Rows],
    most: int,
) -> int:
    """As many of at most `most` variants as a device takes for all of these shapes.

    Args:
        changed: paths of the leaves that each variant has of its own.
    """
    leaves, devices = model.params, parallel.rows_multiple(model.mesh)
    dense = sum(map(_bytes_of_device, leaves.values()))
    pruned = [_bytes_of_device(leaves[path]) for path in changed]
    largest = max(
        activations(model.config, shape.lengths, -(-shape.rows // devices))
        for shape in shapes
    )
    fitting = fitting_variants(model.form, device.memory(), dense, pruned, largest)
    return hosts.number_from_first(min(fitting, most))


def fitting_variants(
    form: Form, memory: int, dense: int, pruned: Sequence[int], activations: int
) -> int:
    """As many variants as memory takes beside the dense parameters; one where the form
    wants no more, or the device does not say what it has.

    Args:
        memory, dense: bytes of a device, and of the parameters in it.
        pruned: bytes of each leaf of a variant.
        activations: bytes of those of a variant.
    """
    if not form.vmaps_variants:
        return 1
    # A leaf of all variants is stacked beside the leaves of each.
    variant = sum(pruned) + activations + max(pruned)
    return max(int((USABLE * memory - dense) // variant), 1)


def activations(config: Any, lengths: Iterable[tuple[str, int]], rows: int) -> int:
    """Bytes of one variant's rows: the widest layer's, attention weights twice, logits
    twice. An estimate from above, since XLA reuses what it can."""
    of_field = dict(lengths)
    longest = max(of_field["tokens"], of_field.get("encoder_tokens", 0))
    wide = longest * (8 * config.hidden + 2 * config.ffn)
    attention = 2 * config.heads * longest**2
    logits = 2 * of_field["scored"] * config.vocab
    return 4 * rows * (wide + attention + logits)


def _bytes_of_variant(model: Model, prunable: str) -> int:
    """What one device holds of the dense parameters and of one variant's own."""
    leaves = [*model.params.values()]
    leaves += [model.params[path] for path in model.prunable(prunable)]
    return sum(map(_bytes_of_device, leaves))


def _bytes_of_device(leaf: Any) -> int:
    """Of a leaf, what one device holds."""
    if isinstance(leaf, sparse.SparseKernel):
        return sum(array.nbytes for array in jax.tree.leaves(leaf))
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
