"""One-shot pruning of a model by any recipe: a variant for each sparsity."""

from jaxsparse.one_shot.checks import check_recipe, leaf_shapes
from jaxsparse.one_shot.pruner import OneShot
from jaxsparse.one_shot.single import prune

__all__ = ["OneShot", "check_recipe", "leaf_shapes", "prune"]
