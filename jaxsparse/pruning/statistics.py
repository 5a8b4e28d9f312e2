"""What calibration knows of a matrix, for the methods that need it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from jaxsparse.types import Array

NEEDS = ("mean", "squares", "gram", "gradient", "fisher")


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of the inputs X of one matrix at real tokens, and of the loss of calibration
    rows. What was not gathered is None."""

    tokens: int = 0  # how many real ones were seen
    mean: Float32[Array, " in"] | None = None
    squares: Float32[Array, " in"] | None = None  # sums: the diagonal of `gram`
    gram: Float32[Array, "in in"] | None = None  # X transposed times X
    gradient: Float32[Array, "in out"] | None = None  # mean over rows, of a row's mean
    fisher: Float32[Array, "in out"] | None = None  # mean over rows, of its square

    @property
    def norms(self) -> Float32[np.ndarray, " in"]:
        """The Euclidean norm of each input over all tokens.

        Raises:
            ValueError: `squares` was not gathered.
        """
        if self.squares is None:
            raise ValueError("norms need `squares`, which were not gathered")
        return np.sqrt(np.asarray(self.squares))


NONE = Statistics()
