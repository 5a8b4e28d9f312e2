"""Pruning in pure functions over flat leaves: scores, groups, counts, masks, apply."""

from jaxsparse.pruning.allocation import (
    ALLOCATIONS,
    erk,
    erk_sparsities,
    outlier_share,
    owl,
    owl_sparsities,
)
from jaxsparse.pruning.groups import (
    UNSTRUCTURED,
    Place,
    check_inputs,
    counts,
    groups,
    n_of_m,
)
from jaxsparse.pruning.masks import apply_masks, mask_at, nested_masks
from jaxsparse.pruning.matrix import prune_matrix, scores
from jaxsparse.pruning.methods import METHODS, UPDATES, Update
from jaxsparse.pruning.recipe import ORDERS, MatrixSparsity, Recipe
from jaxsparse.pruning.scores import ZERO, Criterion
from jaxsparse.pruning.solution import Solution
from jaxsparse.pruning.statistics import NEEDS, NONE, Statistics

# Raised with every change of what is pruned: a journal tells old scores by it.
REVISION = 2

__all__ = [
    "ALLOCATIONS",
    "METHODS",
    "NEEDS",
    "NONE",
    "ORDERS",
    "REVISION",
    "UNSTRUCTURED",
    "UPDATES",
    "ZERO",
    "Criterion",
    "MatrixSparsity",
    "Place",
    "Recipe",
    "Solution",
    "Statistics",
    "Update",
    "apply_masks",
    "check_inputs",
    "counts",
    "erk",
    "erk_sparsities",
    "groups",
    "mask_at",
    "n_of_m",
    "nested_masks",
    "outlier_share",
    "owl",
    "owl_sparsities",
    "prune_matrix",
    "scores",
]
