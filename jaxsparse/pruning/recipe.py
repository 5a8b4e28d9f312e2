"""A recipe: all that decides which weights go, but for how many."""

from dataclasses import dataclass

from jaxsparse.pruning.groups import UNSTRUCTURED
from jaxsparse.pruning.scores import METHODS, method_named
from jaxsparse.types import InputError

PATTERNS = (UNSTRUCTURED,)


@dataclass(frozen=True)
class Recipe:
    """How a model is pruned; what is not said becomes what the method has by default.

    Raises:
        InputError: no such method or pattern, or a scope that the method does not
            define.
    """

    method: str
    scope: str | None = None  # None: the method's own
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
        object.__setattr__(self, "scope", scope)
        object.__setattr__(self, "seed", self.seed if method.draws else None)
