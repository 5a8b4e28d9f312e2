"""One-shot pruning of a model by any recipe: a variant for each sparsity."""

from jaxsparse.one_shot.pruner import OneShot, prune

__all__ = ["OneShot", "prune"]
