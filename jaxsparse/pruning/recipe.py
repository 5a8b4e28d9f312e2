"""What is pruned and how: the recipe of a curve, and what it took of each matrix."""

from dataclasses import dataclass

from jaxsparse.pruning.groups import UNSTRUCTURED
from jaxsparse.pruning.scores import method_named
from jaxsparse.types import InputError

PATTERNS = (UNSTRUCTURED,)


@dataclass(frozen=True)
class Recipe:
    """All that decides which weights go, but for how many.

    Raises:
        InputError: no such method or pattern, a scope that the method does not define,
            or a seed that is none.
    """

    method: str
    scope: str = ""  # becomes the method's own
    prunable: str = "blocks"
    pattern: str = UNSTRUCTURED
    seed: int | None = 0  # None of a method that draws nothing, whatever is given

    def __post_init__(self):
        method = method_named(self.method)
        scope = self.scope or method.scopes[0]
        if scope not in method.scopes:
            raise InputError(
                f"`scope={scope}`: method {self.method} defines "
                f"{', '.join(method.scopes)}"
            )
        if self.pattern not in PATTERNS:
            raise InputError(
                f"`pattern={self.pattern}`: there are {', '.join(PATTERNS)}"
            )
        if method.draws and not (isinstance(self.seed, int) and self.seed >= 0):
            raise InputError(f"`seed={self.seed}`: not an integer from 0 on")
        object.__setattr__(self, "scope", scope)
        object.__setattr__(self, "seed", self.seed if method.draws else None)


@dataclass(frozen=True)
class MatrixSparsity:
    """What is pruned of one matrix."""

    path: str
    layer: int
    weights: int
    pruned: int
