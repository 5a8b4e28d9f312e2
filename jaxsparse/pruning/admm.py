"""ADMM: masks and values by turns, while the sparsity grows.

Source: Boža (2024), "Fast and Effective Weight Update for Pruned Large Language
Models", algorithms 1 and 2. The mask grows as the paper has it; the code published with
it starts at the full sparsity.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float32, Int32

from jaxsparse.pruning.damping import damped, raising_damping
from jaxsparse.pruning.device_selection import smallest
from jaxsparse.pruning.groups import UNSTRUCTURED, check_inputs, count, n_of_m
from jaxsparse.pruning.solution import Solution
from jaxsparse.types import Array

DAMPING = 0.1  # times the mean of the scaled Gram matrix' diagonal, which is 1
STEPS = 20
GROWING = 15  # of them
INVERTED = 512  # inputs up to which a matrix is inverted through a factorization


def admm(
    weights: Float32[Array, "in out"],
    gram: Float32[Array, "in in"],
    sparsity: float,
    pattern: str = UNSTRUCTURED,
) -> Solution:
    """Prunes and updates a matrix in 20 steps, of which 15 choose the mask.

    All weights compete by |V + U| in units of their inputs' norms. Of an N:M pattern,
    only the M - N smallest of each output and M consecutive inputs do. Weights that are
    zero already go first and stay zero; weights of inputs that are always zero score 0.

    Args:
        gram: of the matrix' inputs, XᵀX.
        sparsity: a fraction; without meaning for N:M, which has its own.

    Raises:
        InputError: no such sparsity or pattern; M does not divide the inputs; G cannot
            be factored, even with more damping.
    """
    consecutive = n_of_m(pattern)
    check_inputs({"`weights`": weights.shape}, pattern)
    if consecutive:
        sparsity = 1 - consecutive[0] / consecutive[1]
    numbers = growing_counts(weights.size, sparsity)
    attempt = partial(solve, weights, gram, counts=numbers, consecutive=consecutive)
    return raising_damping(attempt, DAMPING)


def growing_counts(size: int, sparsity: float) -> Int32[np.ndarray, " step"]:
    """How many weights are pruned after each of the growing steps: a cubic."""
    shares = [1 - (1 - step / GROWING) ** 3 for step in range(1, GROWING + 1)]
    return np.array([count(size, sparsity * share) for share in shares], np.int32)


@partial(jax.jit, static_argnames="consecutive")
@jax.default_matmul_precision("highest")
def solve(
    weights: Float32[jax.Array, "in out"],
    gram: Float32[jax.Array, "in in"],
    damping: float | jax.Array,
    counts: Int32[jax.Array, " step"],
    consecutive: tuple[int, int] | None = None,
) -> tuple[
    Float32[jax.Array, "in out"], Bool[jax.Array, "in out"], Bool[jax.Array, ""]
]:
    """Values, mask, and whether G could be factored; can be vmapped over layers.

    The state is S = V + U. Since (Ĝ + I)⁻¹ Ĝ = I - (Ĝ + I)⁻¹, a step is
    V = Ŵ - (Ĝ + I)⁻¹ (Ŵ - Z + U) with Z = mask · S and U = S - Z.

    Args:
        damping: share of the mean diagonal.
        counts: of `growing_counts`.
        consecutive: N and M.
    """
    diagonal = jnp.diagonal(gram)
    dead = diagonal == 0
    norms = jnp.sqrt(jnp.where(dead, 1, diagonal))[:, None]
    scaled = norms * weights
    matrix = damped(gram / (norms * norms.T), damping)
    inverse = _inverse(matrix + jnp.eye(len(matrix)))

    def choose(state: jax.Array, number: jax.Array) -> jax.Array:
        scores = jnp.where(dead[:, None], 0, jnp.abs(state))
        scores = jnp.where(weights == 0, -jnp.inf, scores)
        if consecutive:
            scores = jnp.where(_competing(scores, *consecutive), scores, jnp.inf)
        gone = smallest(scores.reshape(-1), number).reshape(scores.shape)
        return ~gone & (weights != 0)

    def step(state: jax.Array, mask: jax.Array) -> jax.Array:
        kept = jnp.where(mask, state, 0)
        lost = state - kept
        return scaled - inverse @ (scaled - kept + lost) + lost

    def growing(state: jax.Array, number: jax.Array):
        mask = choose(state, number)
        return step(state, mask), mask

    state, masks = lax.scan(growing, scaled, counts)
    mask = masks[-1]
    state = lax.fori_loop(GROWING, STEPS, lambda _, state: step(state, mask), state)
    values = jnp.where(mask, state / norms, 0)
    return values, mask, jnp.all(jnp.isfinite(jnp.diagonal(inverse)))


def _competing(
    scores: Float32[jax.Array, "in out"], kept: int, width: int
) -> Bool[jax.Array, "in out"]:
    """The smallest of each output and `width` consecutive inputs, but for `kept`."""
    groups = scores.reshape(-1, width, scores.shape[1])
    return smallest(groups, width - kept, axis=1).reshape(scores.shape)


def _inverse(matrix: Float32[jax.Array, "in in"]) -> Float32[jax.Array, "in in"]:
    """Inverts a positive definite matrix by halves; NaN where it is none.

    Nearly all of it is matrix products, which all devices do best.
    """
    size = len(matrix)
    if size <= INVERTED:
        lower = lax.linalg.cholesky(matrix, symmetrize_input=False)
        root = lax.linalg.triangular_solve(
            lower, jnp.eye(size), left_side=True, lower=True
        )
        return root.T @ root
    half = size // 2
    first, across, last = (
        matrix[:half, :half],
        matrix[:half, half:],
        matrix[half:, half:],
    )
    first = _inverse(first)
    passing = first @ across
    last = _inverse(last - across.T @ passing)
    across = passing @ last
    return jnp.block([[first + across @ passing.T, -across], [-across.T, last]])
