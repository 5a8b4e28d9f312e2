"""PCG: the kept weights of a mask move so that the outputs change least.

Source: Meng et al. (2024), "ALPS: Improved Optimization for Highly Sparse One-Shot
Pruning for Large Language Models", algorithm 2.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float32

from jaxsparse.pruning.damping import damped
from jaxsparse.pruning.solution import Solution
from jaxsparse.types import Array

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
    reach what eight or nine would. So each is made orthogonal to those before, which
    are kept: `steps` times the size of the weights.
    """
    matrix = damped(gram, DAMPING)
    inverse_diagonal = 1 / jnp.diagonal(matrix)[:, None]
    start = jnp.where(mask, weights, 0)
    residual = jnp.where(mask, matrix @ (weights - start), 0)
    direction = inverse_diagonal * residual
    first = jnp.sum(residual * direction, 0)

    def apart(number: jax.Array, before: tuple[jax.Array, ...], residual: jax.Array):
        """A residual without its share of those before, in the preconditioned sense."""
        residuals, squares = before

        def without(at: jax.Array, residual: jax.Array) -> jax.Array:
            share = jnp.sum(inverse_diagonal * residuals[at] * residual, 0)
            there = squares[at] > 0
            share = jnp.where(there, share, 0) / jnp.where(there, squares[at], 1)
            return residual - share * residuals[at]

        return lax.fori_loop(0, number, without, residual)

    def step(number: jax.Array, state: tuple[Any, ...]):
        values, residual, direction, squares, before = state
        moving = squares > SOLVED * first
        product = matrix @ direction
        curvature = jnp.sum(direction * product, 0)
        length = jnp.where(moving, squares, 0) / jnp.where(moving, curvature, 1)
        values += length * direction
        before = before[0].at[number].set(residual), before[1].at[number].set(squares)
        residual = jnp.where(mask, residual - length * product, 0)
        residual = apart(number + 1, before, residual)
        conditioned = inverse_diagonal * residual
        following = jnp.sum(residual * conditioned, 0)
        turn = jnp.where(moving, following, 0) / jnp.where(moving, squares, 1)
        return values, residual, conditioned + turn * direction, following, before

    room = max(steps, 1)
    before = jnp.zeros((room, *residual.shape)), jnp.zeros((room, len(first)))
    state = start, residual, direction, first, before
    return lax.fori_loop(0, steps, step, state)[0]
