"""Pruning in four pure functions: scores, counts, masks (or survival), apply."""

from jaxsparse.pruning.allocation import Counts, counts
from jaxsparse.pruning.masks import (
    achieved,
    apply_level,
    apply_masks,
    kept,
    level_masks,
    masks,
    survival,
)
from jaxsparse.pruning.recipe import MatrixSparsity, Recipe
from jaxsparse.pruning.scores import (
    METHODS,
    ZERO,
    Method,
    effective_seed,
    resolve_scope,
    scores,
)

# Raised with every change of what is pruned: a journal tells old scores by it.
REVISION = 2

__all__ = [
    "REVISION",
    "METHODS",
    "ZERO",
    "Counts",
    "MatrixSparsity",
    "Method",
    "Recipe",
    "achieved",
    "apply_level",
    "apply_masks",
    "counts",
    "effective_seed",
    "kept",
    "level_masks",
    "masks",
    "resolve_scope",
    "scores",
    "survival",
]
