"""What a walk computes, jitted: rows into a stack, through a block, and the sums of
what its linear layers are given.

Sums are float32. Within a batch a product of matrices makes them; from batch to batch
they are compensated: what an addition rounds off is summed apart, and added in the end
(Neumaier 1974). Inputs of bfloat16 models are widened first.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float, Float32, Int

from jaxsparse import parallel
from jaxsparse.models import Stack
from jaxsparse.models.statistics import Parts
from jaxsparse.types import Array, Leaves

# mean, squares or gram -> a sum, and what rounding took from it
Sums = dict[str, tuple[Float32[Array, "..."], Float32[Array, "..."]]]


@dataclass(frozen=True)
class Steps:
    """Compiled once for all layers of a stack: their number is an argument."""

    enter: Callable[..., Any]  # stack, params, inputs, leaving -> hidden states
    advance: Callable[..., Any]  # see `Parts.block`; the old hidden states' memory goes
    compare: Callable[..., Any]  # the same, and the sum of cosines of old and new
    gather: Callable[..., dict[str, Sums]]


@functools.lru_cache(maxsize=8)
def steps_of(parts: Parts, mesh: Mesh | None) -> Steps:
    """The functions of a configuration; the next walk finds them compiled."""
    rows = None if mesh is None else NamedSharding(mesh, PartitionSpec("data"))
    jit = functools.partial(
        jax.jit, compiler_options=parts.form.compiler_options(parts.dtype)
    )

    def enter(stack: Stack, *arguments: Any) -> Array:
        return parts.entering(stack, *arguments)[0]

    def advance(stack: Stack, *arguments: Any) -> Array:
        return parts.block(stack, *arguments)[0]

    def compare(stack: Stack, *arguments: Any) -> tuple[Array, Array]:
        *_, inputs, _, before = arguments
        after = parts.block(stack, *arguments)[0]
        real = parts.attended(f"{stack.path}/", inputs)
        return after, jnp.sum(cosines(before, after), where=real)

    everywhere = parallel.everywhere(mesh)
    return Steps(
        enter=jit(enter, static_argnums=0, out_shardings=rows),
        advance=jit(advance, static_argnums=0, donate_argnums=6, out_shardings=rows),
        compare=jit(
            compare,
            static_argnums=0,
            donate_argnums=6,
            out_shardings=(rows, everywhere),
        ),
        gather=jit(
            functools.partial(gather, parts),
            static_argnums=(0, 1),
            donate_argnums=2,
            out_shardings=everywhere,
        ),
    )


def cosines(
    first: Float[Array, "row position hidden"],
    second: Float[Array, "row position hidden"],
) -> Float32[Array, "row position"]:
    """Of the angles between hidden states; 0 where one of them is zero."""
    first, second = (states.astype(jnp.float32) for states in (first, second))
    lengths = jnp.linalg.norm(first, axis=-1) * jnp.linalg.norm(second, axis=-1)
    product = jnp.sum(first * second, axis=-1)
    return jnp.where(lengths > 0, product / jnp.where(lengths > 0, lengths, 1), 0)


def gather(
    parts: Parts,
    stack: Stack | None,
    layers: tuple[str, ...],
    sums: dict[str, Sums],
    params: Leaves,
    leaves: Leaves,
    number: Int[Array, ""] | int | None,
    inputs: Any,
    leaving: Leaves,
    hidden: Float[Array, "row position hidden"] | None,
) -> dict[str, Sums]:
    """Adds a batch to the sums of linear layers: of a block, see `Parts.block`, or,
    without a stack, of those around the stacks."""
    if stack is None or hidden is None:
        given = parts.linear_inputs({**params, **leaves}, inputs, leaving)
    else:
        block = stack, params, leaves, number, inputs, leaving, hidden
        given = parts.block(*block)[1]  # pyright: ignore[reportArgumentType]
    return {
        path: _added(sums[path], given[path], parts.attended(path, inputs))
        for path in layers
    }


def no_sums(width: int, gram: bool) -> Sums:
    """Of so many inputs, before any was seen.

    Squares are summed apart even where a Gram matrix has them: whoever asks for them
    is to have the same to the last bit, whatever others ask for.
    """
    shapes = {"mean": (width,), "squares": (width,)}
    shapes |= {"gram": (width, width)} if gram else {}
    return {
        need: (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        for need, shape in shapes.items()
    }


def _added(
    sums: Sums,
    given: Float[Array, "row position in"],
    real: Bool[Array, "row position"],
) -> Sums:
    kept = jnp.where(real[..., None], given.astype(jnp.float32), 0)
    tokens = kept.reshape(-1, kept.shape[-1])
    of_batch: dict[str, Callable[[], jax.Array]] = {
        "mean": lambda: tokens.sum(axis=0),
        "squares": lambda: jnp.square(tokens).sum(axis=0),
        "gram": lambda: jnp.matmul(tokens.T, tokens, precision="highest"),
    }
    return {need: _compensated(*pair, of_batch[need]()) for need, pair in sums.items()}


def _compensated(
    total: Float32[Array, "..."],
    lost: Float32[Array, "..."],
    more: Float32[Array, "..."],
) -> tuple[Array, Array]:
    """The sum rounded, and what all roundings took (Knuth's exact difference)."""
    rounded = total + more
    taken = rounded - total
    return rounded, lost + ((total - (rounded - taken)) + (more - taken))


@jax.jit
def totals_of(sums: Sums) -> dict[str, Float32[Array, "..."]]:
    return {need: total + lost for need, (total, lost) in sums.items()}


@jax.jit
def layer_of(
    stacked: dict[str, Array], number: Int[Array, ""] | int
) -> dict[str, Array]:
    """One layer of leaves that are stacked on axis 0."""
    return {path: leaf[number] for path, leaf in stacked.items()}
