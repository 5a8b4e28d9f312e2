"""Allocation: how many weights each group loses, as exact host integers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxsparse.trees import flatten
from jaxsparse.types import InputError, Tree


@dataclass(frozen=True)
class Counts:
    """The number of weights to prune in each group of weights that share one order.

    Scope "matrix": `pruned[path][layer]`, one count per matrix of a leaf (layer 0 only
    if it is not stacked). Scope "global": `pruned[""][0]`, one count for all.
    """

    scope: str
    pruned: Mapping[str, tuple[int, ...]]


def counts(scores: Tree, sparsity: float, scope: str) -> Counts:
    """The counts that give every group the same sparsity: round(sparsity · size).

    Sizes are Python integers, the product is float64, and halves go to the even
    neighbour, which is the rule of torch.nn.utils.prune. Only shapes are read.

    Raises:
        InputError: sparsity is not in [0, 1].
        ValueError: a scope other than "matrix" or "global".
    """
    if not 0 <= sparsity <= 1:
        raise InputError(f"--sparsities: {sparsity} is not a fraction from 0 to 1")
    shapes = {
        path: np.shape(leaf)
        for path, leaf in flatten(scores).items()
        if leaf is not None
    }
    if scope == "global":
        everything = sum(math.prod(shape) for shape in shapes.values())
        return Counts(scope, {"": (_count(sparsity, everything),)})
    if scope != "matrix":
        raise ValueError(f"scope {scope!r} is neither 'matrix' nor 'global'")
    return Counts(scope, {path: _uniform(sparsity, s) for path, s in shapes.items()})


def _uniform(sparsity: float, shape: tuple[int, ...]) -> tuple[int, ...]:
    """One count per layer of a leaf of shape (in, out) or (layer, in, out)."""
    *layers, inputs, outputs = shape
    return (_count(sparsity, inputs * outputs),) * math.prod(layers)


def _count(sparsity: float, size: int) -> int:
    return round(float(sparsity) * size)
