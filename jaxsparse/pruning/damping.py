"""What makes a Gram matrix one that can be factored: damping, and 1 for dead inputs."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32

from jaxsparse.types import Array, InputError

MOST_TRIES = 6

Solved = TypeVar("Solved")


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


def raising_damping(
    solve: Callable[[float], tuple[Solved, Bool[Array, ""]]], share: float
) -> tuple[Solved, int]:
    """Solves with a damping, and with ten times as much as long as factoring fails.

    Args:
        solve: from the share of the mean diagonal that is added, to what is solved and
            whether the matrix could be factored.

    Returns:
        what is solved, and how many times damping was raised.

    Raises:
        InputError: factoring failed six times.
    """
    for raised in range(MOST_TRIES):
        solved, factored = solve(share * 10**raised)
        if factored:
            return solved, raised
    raise InputError(
        f"its Gram matrix cannot be factored, not even with {share * 10**raised:g} "
        "times its mean diagonal added; use another `calibration`"
    )
