"""What is kept of a pruned block, fitted by gradient steps to what the dense one gives.

    dense model    rows  ─▶ attention ─▶ target ─▶ feed-forward ─▶ target
    pruned model   rows′ ─▶ attention, fitted ──▶ feed-forward, fitted ──▶ rows″

A sublayer holds a nonlinearity, so that its matrices make up for one another's losses;
and it makes up for the losses of all before it. Biases and norms stay.

Source: Guo et al. (2024), "EBFT: Effective and Block-Wise Fine-Tuning for Sparse LLMs";
Wagner et al. (2025), "A Free Lunch in LLM Compression: Revisiting Retraining after
Pruning", for attention and feed-forward apart.
"""

import dataclasses
import fnmatch
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float, Float32, Int

from jaxsparse import hosts
from jaxsparse.models import Stack, Sublayer
from jaxsparse.models.statistics import Parts
from jaxsparse.types import Array, InputError, Leaves

TOKENS = 1024  # of the rows of a step
STEPS = 64  # of each sublayer at least; more where one pass of all rows takes more
RATE = 0.4  # the highest; times what was taken from a matrix, see `_limits`
WARMUP = 0.1  # of the steps

ADAM = optax.scale_by_adam(b2=0.99)
# One batch: its inputs, what has left the stacks before, the hidden states at a block.
Batch = tuple[Any, Leaves, Float[Array, "row position hidden"]]


@dataclass(frozen=True)
class Fitting:
    """Compiled once for all layers of a stack: their number is an argument."""

    target: Callable[..., Float32[Array, "row position hidden"]]
    step: Callable[..., tuple[Any, Float32[Array, ""]]]


@functools.lru_cache(maxsize=8)
def fitting_of(parts: Parts, mesh: Mesh | None) -> Fitting:
    """The functions of a configuration, in float32 whatever its dtype."""
    rows = None if mesh is None else NamedSharding(mesh, PartitionSpec("data"))
    wide = dataclasses.replace(parts, dtype="float32")
    return Fitting(
        target=jax.jit(
            functools.partial(_behind, wide), static_argnums=(0, 1), out_shardings=rows
        ),
        step=jax.jit(
            functools.partial(_step, wide), static_argnums=(0, 1), donate_argnums=2
        ),
    )


def fitted(
    functions: Fitting,
    stack: Stack,
    layer: int,
    params: Leaves,
    dense: Leaves,
    pruned: Leaves,
    batches: Sequence[Batch],
    dense_batches: Sequence[Batch],
) -> dict[str, Float32[np.ndarray, "in out"]]:
    """The pruned kernels of a block, with what is not zero in them fitted.

    Args:
        params: the whole model's.
        dense: the block's leaves, by full path, not stacked.
        pruned: those of its kernels that are pruned, likewise.
        batches: of all rows, each the rows of a step.
        dense_batches: the same rows as the dense model has them at this block.

    Raises:
        InputError: outputs that are not finite.
    """
    dense = {path: jnp.asarray(leaf, jnp.float32) for path, leaf in dense.items()}
    # Copied, since the steps reuse their memory.
    wide = {path: jnp.array(leaf, jnp.float32) for path, leaf in pruned.items()}
    leaves = {**dense, **wide}
    for sublayer in stack.sublayers:
        paths = [path for path in pruned if _is_of(sublayer, stack, path)]
        place = sublayer, stack, params
        targets = [functions.target(*place, dense, layer, *b) for b in dense_batches]
        kernels = {path: leaves.pop(path) for path in paths}
        fixed = params, leaves, _limits(kernels, dense), layer
        state = kernels, ADAM.init(kernels)
        for rate, number in _schedule(len(batches)):
            batch = (*batches[number], targets[number])
            state, loss = functions.step(sublayer, stack, state, rate, *fixed, *batch)
            # Waited for, since pretended devices block one another with many in flight.
            if not math.isfinite(float(loss)):
                raise InputError(
                    f"{stack.path}/{layer}: its outputs at calibration rows are not "
                    "finite while it is fitted; other text, or float32 weights, may "
                    "keep them so"
                )
        leaves |= state[0]
    return {path: hosts.gathered(leaves[path]) for path in pruned}


def _is_of(sublayer: Sublayer, stack: Stack, path: str) -> bool:
    inner = path.removeprefix(f"{stack.path}/")
    return any(fnmatch.fnmatchcase(inner, pattern) for pattern in sublayer.kernels)


@jax.jit
def _limits(
    kernels: Leaves, dense: Leaves
) -> dict[str, tuple[Bool[Array, "in out"], Float32[Array, ""]]]:
    """Which weights may move, and how far a rate of 1 moves each: the root mean square
    of what was taken from its matrix. Where little was, large steps do harm."""
    taken = {path: dense[path] - kernel for path, kernel in kernels.items()}
    return {
        path: (kernel != 0, jnp.sqrt(jnp.mean(jnp.square(taken[path]))))
        for path, kernel in kernels.items()
    }


def _schedule(batches: int) -> Iterator[tuple[float, int]]:
    """The rate of each step, linear warm-up and cosine decay, and its batch."""
    steps = max(STEPS, batches)
    for step in range(steps):
        warmth = min((step + 1) / (WARMUP * steps), 1)
        decay = (1 + math.cos(math.pi * step / steps)) / 2
        yield RATE * warmth * decay, step % batches


def _behind(
    parts: Parts,
    sublayer: Sublayer,
    stack: Stack,
    params: Leaves,
    leaves: Leaves,
    layer: Int[Array, ""] | int,
    inputs: Any,
    leaving: Leaves,
    hidden: Float[Array, "row position hidden"],
) -> Float32[Array, "row position hidden"]:
    """What stands behind a sublayer of a block, in float32."""
    wide = hidden.astype(jnp.float32)
    return parts.behind(sublayer, stack, params, leaves, layer, inputs, leaving, wide)


def _step(
    parts: Parts,
    sublayer: Sublayer,
    stack: Stack,
    state: tuple[Leaves, Any],
    rate: Float[Array, ""] | float,
    params: Leaves,
    leaves: Leaves,
    limits: Leaves,
    layer: Int[Array, ""] | int,
    inputs: Any,
    leaving: Leaves,
    hidden: Float[Array, "row position hidden"],
    target: Float32[Array, "row position hidden"],
) -> tuple[tuple[Leaves, Any], Float32[Array, ""]]:
    """One step of Adam, and the loss before it: the mean over real tokens of the
    squared distance. What is pruned stays exactly zero.

    Args:
        state: the kernels that are fitted, and the optimizer's.
        leaves: the block's others.
    """
    real = parts.attended(f"{stack.path}/", inputs)

    def loss(kernels: Leaves) -> jax.Array:
        block = stack, params, {**leaves, **kernels}, layer, inputs, leaving, hidden
        found = _behind(parts, sublayer, *block)
        squares = jnp.sum(jnp.square(found - target), axis=-1)
        return jnp.sum(squares, where=real) / jnp.maximum(jnp.sum(real), 1)

    kernels, moments = state
    value, gradients = jax.value_and_grad(loss)(kernels)
    updates, moments = ADAM.update(gradients, moments)
    by_path: Any = updates
    moved = {}
    for path, kernel in kernels.items():
        kept, size = limits[path]
        moved[path] = jnp.where(kept, kernel - rate * size * by_path[path], 0)
    return (moved, moments), value
