"""What is pruned and how: the recipe of a curve, and what it took of each matrix."""

from dataclasses import dataclass

from jaxsparse.pruning.scores import effective_seed


@dataclass(frozen=True)
class Recipe:
    """All that decides which weights go, but for how many."""

    method: str
    scope: str
    prunable: str = "blocks"
    pattern: str = "unstructured"
    seed: int | None = 0  # None of a method that draws nothing, whatever is given

    def __post_init__(self):
        object.__setattr__(self, "seed", effective_seed(self.method, self.seed))


@dataclass(frozen=True)
class MatrixSparsity:
    """What a point prunes of one matrix."""

    path: str
    layer: int
    weights: int
    pruned: int
