"""What makes a Gram matrix one that can be factored: damping, and 1 for dead inputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32

from jaxsparse.pruning.solution import Solution
from jaxsparse.types import Array, InputError

MOST_TRIES = 6

Solved = tuple[Float32[Array, "in out"], Bool[Array, "in out"], Bool[Array, ""]]


def dead_inputs(gram: Float32[jax.Array, "in in"]) -> Bool[jax.Array, " in"]:
    """The inputs that are always zero."""
    return jnp.diagonal(gram) == 0


def damped(
    gram: Float32[jax.Array, "in in"], share: float | jax.Array
) -> Float32[jax.Array, "in in"]:
    """Adds a share of the mean diagonal to the diagonal; dead inputs count as 1."""
    diagonal = jnp.diagonal(gram)
    counted = jnp.where(diagonal == 0, 1, diagonal)
    raised = counted + share * jnp.mean(counted)
    return jnp.fill_diagonal(gram, raised, inplace=False)


def raising_damping(solve: Callable[[float], Solved], share: float) -> Solution:
    """Solves with a damping, and with ten times as much as long as factoring fails.

    Args:
        solve: from the share of the mean diagonal that is added, to values, mask, and
            whether the matrix could be factored.

    Raises:
        InputError: factoring failed six times.
    """
    for raised in range(MOST_TRIES):
        values, mask, factored = solve(share * 10**raised)
        if factored:
            return Solution(values, mask, damping_raised=raised)
    raise InputError(
        f"its Gram matrix cannot be factored, not even with {share * 10**raised:g} "
        "times its mean diagonal added; use another `calibration`"
    )
