"""Pruning in pure functions over flat leaves: scores, groups, counts, masks, apply."""

from jaxsparse.pruning.groups import UNSTRUCTURED, counts, groups
from jaxsparse.pruning.masks import apply_masks, mask_at, nested_masks
from jaxsparse.pruning.recipe import PATTERNS, MatrixSparsity, Recipe
from jaxsparse.pruning.scores import METHODS, ZERO, LeafStatistics, Method, scores
from jaxsparse.pruning.statistics import NEEDS, NONE, Statistics

# Raised with every change of what is pruned: a journal tells old scores by it.
REVISION = 2

__all__ = [
    "METHODS",
    "NEEDS",
    "NONE",
    "PATTERNS",
    "REVISION",
    "UNSTRUCTURED",
    "ZERO",
    "MatrixSparsity",
    "LeafStatistics",
    "Method",
    "Recipe",
    "Statistics",
    "apply_masks",
    "counts",
    "groups",
    "mask_at",
    "nested_masks",
    "scores",
]
