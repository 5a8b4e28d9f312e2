"""SparseGPT: input after input, what is pruned is made good by the inputs to come.

Source: Frantar and Alistarh (2023), "SparseGPT: Massive Language Models Can Be
Accurately Pruned in One-Shot", algorithm 1.

The paper sends the error of each pruned weight to the later inputs through C, the upper
Cholesky factor of the inverse of H = G + λI. Here no inverse is made. With U upper and
U Uᵀ = H, C is U⁻¹, and the loss of a change Δ of the weights is

    tr(Δᵀ H Δ) = Σᵢ |Uᵢᵢ Δᵢ + Σ_{j<i} Uⱼᵢ Δⱼ|²

so that row i, when its turn comes, has moved by -Σ_{j<i} (Uⱼᵢ / Uᵢᵢ) Δⱼ, where Δⱼ is
what became of row j: the same values, from one factorization instead of three, and read
from the rows before instead of written to all rows behind.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float32, Int32

from jaxsparse.pruning.damping import damped, dead_inputs, raising_damping
from jaxsparse.pruning.device_selection import smallest
from jaxsparse.pruning.groups import UNSTRUCTURED, check_inputs, count, n_of_m
from jaxsparse.pruning.solution import Solution
from jaxsparse.types import Array

DAMPING = 0.01  # times the mean of the Gram matrix' diagonal
BLOCK = 128  # inputs whose weights compete
PANEL = 16  # inputs that pass their changes on row by row; a cache holds them


def sparsegpt(
    weights: Float32[Array, "in out"],
    gram: Float32[Array, "in in"],
    sparsity: float,
    pattern: str = UNSTRUCTURED,
) -> Solution:
    """Prunes and updates a matrix in blocks of 128 inputs, λ 0.01 of the mean diagonal.

    The weights of a block compete, all outputs together, by W² / Cᵢᵢ² as the blocks
    before have updated them; of an N:M pattern those of each output and M consecutive
    inputs, as all inputs before have. Weights that are zero already go first and stay
    zero; weights of inputs that are always zero score 0.

    Args:
        gram: of the matrix' inputs, XᵀX.
        sparsity: a fraction; without meaning for N:M, which has its own.

    Raises:
        InputError: no such sparsity or pattern; M does not divide the inputs; G cannot
            be factored, even with more damping.
    """
    consecutive = n_of_m(pattern)
    check_inputs({"`weights`": weights.shape}, pattern)
    numbers = block_counts(weights.shape, sparsity, consecutive)
    attempt = partial(solve, weights, gram, counts=numbers, consecutive=consecutive)
    return raising_damping(attempt, DAMPING)


def block_counts(
    shape: tuple[int, ...], sparsity: float, consecutive: tuple[int, int] | None = None
) -> Int32[np.ndarray, " block"]:
    """How many weights go of those that compete, block by block.

    The last block is filled up with zeros, which go first.
    """
    inputs, outputs = shape
    block, *_ = _sizes(consecutive)
    starts = range(0, inputs, block)
    if consecutive:
        return np.full(len(starts), consecutive[1] - consecutive[0], np.int32)
    real = [min(block, inputs - start) * outputs for start in starts]
    gone = [block * outputs - size + count(size, sparsity) for size in real]
    return np.array(gone, np.int32)


def _sizes(consecutive: tuple[int, int] | None) -> tuple[int, ...]:
    """Rows of a block, of a panel, of N:M's group, and one: each divides the former."""
    if not consecutive:
        return BLOCK, PANEL, 1
    _, unit = consecutive
    groups = BLOCK // unit
    fitting = [n for n in range(1, groups + 1) if groups % n == 0 and n * unit <= PANEL]
    panel = max(fitting, default=1) * unit
    return (groups * unit, *((panel,) if panel > unit else ()), unit, 1)


@partial(jax.jit, static_argnames="consecutive")
@jax.default_matmul_precision("highest")
def solve(
    weights: Float32[jax.Array, "in out"],
    gram: Float32[jax.Array, "in in"],
    damping: float | jax.Array,
    counts: Int32[jax.Array, " block"],
    consecutive: tuple[int, int] | None = None,
) -> tuple[
    Float32[jax.Array, "in out"], Bool[jax.Array, "in out"], Bool[jax.Array, ""]
]:
    """Values, mask, and whether G could be factored; can be vmapped over layers.

    Args:
        damping: share of the mean diagonal.
        counts: of `block_counts`.
        consecutive: N and M.
    """
    block, *_ = sizes = _sizes(consecutive)
    matrix = damped(gram, damping)
    upper = lax.linalg.cholesky(matrix[::-1, ::-1], symmetrize_input=False)[::-1, ::-1]
    diagonal = jnp.diagonal(upper)
    filled = (0, -len(weights) % block)
    weights = jnp.pad(weights, (filled, (0, 0)))
    rows = _Rows(
        weights,
        weights != 0,
        jnp.zeros_like(weights),
        jnp.pad((upper / diagonal).T, (filled, filled)),
        jnp.pad(jnp.where(dead_inputs(gram), 0, diagonal), filled),
    )
    values, mask = _prune(rows, sizes, consecutive[1] if consecutive else block, counts)
    real = slice(len(gram))
    return values[real], mask[real], jnp.all(jnp.isfinite(diagonal))


class _Rows(NamedTuple):
    """Consecutive rows of a matrix, one an input."""

    weights: Float32[jax.Array, "row out"]
    mask: Bool[jax.Array, "row out"]  # True: kept, as far as it is decided
    moved: Float32[jax.Array, "row out"]  # by the changes of the rows before them all
    passing: Float32[
        jax.Array, "row row"
    ]  # -Uⱼᵢ / Uᵢᵢ, how row i follows row j's change
    scale: Float32[jax.Array, " row"]  # 1 / Cᵢᵢ; 0 where the input is always zero

    def part(self, number: jax.Array, size: int, changes: jax.Array) -> "_Rows":
        """So many rows, moved by the changes of the rows before them as well."""

        def cut(array: jax.Array, axis: int = 0) -> jax.Array:
            return lax.dynamic_slice_in_dim(array, number * size, size, axis)

        passing = cut(self.passing)
        moved = cut(self.moved) - passing @ changes
        return _Rows(
            cut(self.weights), cut(self.mask), moved, cut(passing, 1), cut(self.scale)
        )


def _prune(
    rows: _Rows, sizes: tuple[int, ...], competing: int, counts: jax.Array
) -> tuple[Float32[jax.Array, "row out"], Bool[jax.Array, "row out"]]:
    """Prunes rows part by part, and each part by smaller ones down to single rows.

    Of a row, only what the smallest part holds is read once for each row; what larger
    parts hold, in matrix products.
    """
    if not sizes:
        return jnp.where(rows.mask, rows.weights + rows.moved, 0), rows.mask

    def prune_part(changes: jax.Array, number: jax.Array):
        part = rows.part(number, sizes[0], changes)
        count = counts[number] if counts.ndim else counts
        if sizes[0] == competing:
            part = part._replace(mask=_decide(part, count))
        values, mask = _prune(part, sizes[1:], competing, count)
        first = number * sizes[0], 0
        changed = lax.dynamic_update_slice(changes, values - part.weights, first)
        return changed, (values, mask)

    numbers = jnp.arange(len(rows.weights) // sizes[0])
    _, pruned = lax.scan(prune_part, jnp.zeros_like(rows.weights), numbers)
    values, mask = (array.reshape(rows.weights.shape) for array in pruned)
    return values, mask


def _decide(rows: _Rows, count: jax.Array) -> Bool[jax.Array, "row out"]:
    """The mask of rows whose weights compete, by what would be lost with each weight.

    N:M's few rows compete output by output.
    """
    moved = lax.linalg.triangular_solve(
        rows.passing, rows.moved, left_side=True, lower=True, unit_diagonal=True
    )
    losses = ((rows.weights + moved) * rows.scale[:, None]) ** 2
    losses = jnp.where(rows.weights == 0, -jnp.inf, losses)
    if len(rows.weights) == BLOCK:
        gone = smallest(losses.reshape(-1), count).reshape(losses.shape)
    else:
        gone = smallest(losses, count, axis=0)
    return rows.mask & ~gone
