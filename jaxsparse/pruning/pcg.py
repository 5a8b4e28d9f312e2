"""PCG: the kept weights of a mask move so that the outputs change least.

Source: Meng et al. (2024), "ALPS: Improved Optimization for Highly Sparse One-Shot
Pruning for Large Language Models", algorithm 2.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float32

from jaxsparse.pruning.damping import damped
from jaxsparse.pruning.solution import Solution
from jaxsparse.types import Array

# Values, residual, direction, and of each output the residual's preconditioned square.
State = tuple[jax.Array, jax.Array, jax.Array, jax.Array]

DAMPING = 0.01  # times the mean of the Gram matrix' diagonal
STEPS = 10
SOLVED = float(np.finfo(np.float32).eps) ** 2  # of a squared residual, is rounding


def pcg(
    weights: Float32[Array, "in out"],
    mask: Bool[Array, "in out"],
    gram: Float32[Array, "in in"],
    steps: int = STEPS,
) -> Solution:
    """Minimises tr((W - W')ᵀ (G + λI) (W - W')) over the kept weights of W'.

    Conjugate gradients from mask · W, preconditioned by the diagonal; each output is a
    problem of its own. λ is 0.01 of the mean diagonal.

    Args:
        mask: True = kept. Weights that are zero already stay zero.
        gram: of the matrix' inputs, XᵀX.
    """
    kept = jnp.asarray(mask) & (jnp.asarray(weights) != 0)
    return Solution(solve(weights, kept, gram, steps), kept)


@partial(jax.jit, static_argnames="steps")
@jax.default_matmul_precision("highest")
def solve(
    weights: Float32[jax.Array, "in out"],
    mask: Bool[jax.Array, "in out"],
    gram: Float32[jax.Array, "in in"],
    steps: int = STEPS,
) -> Float32[jax.Array, "in out"]:
    """The values of `pcg`; can be vmapped.

    In float32, residuals that should be orthogonal soon are not, and ten steps then
    reach what eight or nine would. So each is made orthogonal to those before, up to
    ten, which are kept: ten times the size of the weights. (The first four would do for
    large matrices; small ones that ten steps solve exactly need all.)
    """
    matrix = damped(gram, DAMPING)
    inverse_diagonal = 1 / jnp.diagonal(matrix)[:, None]
    values = jnp.where(mask, weights, 0)
    residual = jnp.where(mask, matrix @ (weights - values), 0)
    direction = inverse_diagonal * residual
    squares = jnp.sum(residual * direction, 0)
    solved = SOLVED * squares

    def cycle(number: int, state: State) -> State:
        """So many steps."""
        values, residual, direction, squares = state
        before: list[tuple[jax.Array, jax.Array]] = []
        for _ in range(number):
            moving = squares > solved
            product = matrix @ direction
            curvature = jnp.sum(direction * product, 0)
            length = jnp.where(moving, squares, 0) / jnp.where(moving, curvature, 1)
            values += length * direction
            before.append((residual, squares))
            residual = jnp.where(mask, residual - length * product, 0)
            residual = _apart(residual, before, inverse_diagonal)
            conditioned = inverse_diagonal * residual
            following = jnp.sum(residual * conditioned, 0)
            turn = jnp.where(moving, following, 0) / jnp.where(moving, squares, 1)
            direction = conditioned + turn * direction
            squares = following
        return values, residual, direction, squares

    cycles = max(steps - 1, 0) // STEPS
    state = values, residual, direction, squares
    state = lax.fori_loop(0, cycles, lambda _, state: cycle(STEPS, state), state)
    return cycle(steps - cycles * STEPS, state)[0]


def _apart(
    residual: Float32[jax.Array, "in out"],
    before: Sequence[tuple[Float32[jax.Array, "in out"], Float32[jax.Array, " out"]]],
    inverse_diagonal: Float32[jax.Array, "in 1"],
) -> Float32[jax.Array, "in out"]:
    """A residual without its shares of those before, in the preconditioned sense."""
    conditioned = inverse_diagonal * residual
    for earlier, squares in before:
        there = squares > 0
        share = jnp.where(there, jnp.sum(earlier * conditioned, 0), 0)
        residual -= share / jnp.where(there, squares, 1) * earlier
    return residual
