"""What is pruned and how: the recipe of a curve, and what it took of each matrix."""

from dataclasses import dataclass

from jaxsparse.pruning.groups import UNSTRUCTURED
from jaxsparse.pruning.scores import METHODS, method_named
from jaxsparse.types import InputError

PATTERNS = (UNSTRUCTURED,)


@dataclass(frozen=True)
class Recipe:
    """All that decides which weights go, but for how many."""

    method: str
    scope: str = ""  # becomes the method's own
    prunable: str = "blocks"
    pattern: str = UNSTRUCTURED
    seed: int | None = 0  # None of a method that draws nothing, whatever is given

    def __post_init__(self):
        method = METHODS.get(self.method)  # a table may name one of a newer version
        if method and not self.scope:
            object.__setattr__(self, "scope", method.scopes[0])
        if method and not method.draws:
            object.__setattr__(self, "seed", None)

    def check(self) -> None:
        """Raises InputError for what cannot be pruned so."""
        method = method_named(self.method)
        if self.scope not in method.scopes:
            raise InputError(
                f"`scope={self.scope}`: method {self.method} defines "
                f"{', '.join(method.scopes)}"
            )
        if self.pattern not in PATTERNS:
            raise InputError(
                f"`pattern={self.pattern}`: there are {', '.join(PATTERNS)}"
            )
        if method.draws and not (isinstance(self.seed, int) and self.seed >= 0):
            raise InputError(f"`seed={self.seed}`: not an integer from 0 on")


@dataclass(frozen=True)
class MatrixSparsity:
    """What is pruned of one matrix."""

    path: str
    layer: int
    weights: int
    pruned: int
