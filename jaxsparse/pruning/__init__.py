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
    HEADS,
    LAYERS,
    NEURONS,
    STRUCTURED,
    UNSTRUCTURED,
    Place,
    check_inputs,
    count,
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
from jaxsparse.pruning.units import by_unit, kept_layers, kept_units, unit_scores

# Raised with every change of what is pruned: a journal tells old scores by it.
REVISION = 2

__all__ = [
    "ALLOCATIONS",
    "HEADS",
    "LAYERS",
    "METHODS",
    "NEEDS",
    "NEURONS",
    "NONE",
    "ORDERS",
    "REVISION",
    "STRUCTURED",
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
    "by_unit",
    "check_inputs",
    "count",
    "counts",
    "erk",
    "erk_sparsities",
    "groups",
    "kept_layers",
    "kept_units",
    "mask_at",
    "n_of_m",
    "nested_masks",
    "outlier_share",
    "owl",
    "owl_sparsities",
    "prune_matrix",
    "scores",
    "unit_scores",
]
