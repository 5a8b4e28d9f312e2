"""A solution: what pruning makes of one matrix, its mask and its values."""

from dataclasses import dataclass

from jaxtyping import Bool, Float32

from jaxsparse.types import Array


@dataclass(frozen=True, eq=False)
class Solution:
    """One matrix pruned; numpy or jax arrays."""

    values: Float32[Array, "in out"]  # exactly zero where the mask is False
    mask: Bool[Array, "in out"]  # True = kept
    bias: Float32[Array, " out"] | None = None  # to be added to the matrix's bias
    damping_raised: int = 0  # how many times damping had to be raised tenfold
