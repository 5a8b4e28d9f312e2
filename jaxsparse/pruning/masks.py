"""Masks: from scores and counts to pruned parameters.

There is one order over the weights of a group: ascending score, and among equal scores
row-major (in, out) order; where a group spans matrices, sorted path, then layer, then
that. A count prunes the first so many, so the masks of one method are nested across
sparsities, and one small integer per weight, its survival, holds all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from jaxsparse.pruning.allocation import Counts
from jaxsparse.pruning.thresholds import Threshold, thresholds
from jaxsparse.trees import flatten, matrices, unflatten
from jaxsparse.types import Array, Params, Tree

Scores = Float32[np.ndarray, "in out"]
Survival = UInt8[np.ndarray, "in out"]


def masks(scores: Tree, counts: Counts) -> dict[str, Any]:
    """The weights to keep: a bool tree, True = kept, None where not prunable."""
    one_level = survival(scores, [counts])
    return jax.tree.map(lambda leaf: leaf.view(np.bool_), one_level)


def survival(
    scores: Tree,
    levels: Sequence[Counts],
    done: Callable[[int], object] = lambda matrices: None,
) -> dict[str, Any]:
    """The number of levels at which each weight is kept; `level_masks` reads it.

    Args:
        scores: float32 host arrays, None where not prunable.
        levels: counts of one scope in ascending sparsity, from 1 to 255 of them.
        done: is told how many more matrices are done.

    Returns:
        A uint8 tree, None where not prunable.

    Raises:
        ValueError: levels that are too many, mixed in scope or not ascending.
    """
    _check(levels)
    leaves = flatten(scores)
    kept = {
        path: None if leaf is None else np.zeros(leaf.shape, np.uint8)
        for path, leaf in leaves.items()
    }
    for group, counts in _groups(leaves, kept, levels):
        cuts = thresholds([matrix for matrix, _ in group], counts)
        _add_kept(group, cuts)
        done(len(group))
    return unflatten(kept)


def level_masks(survival: Tree, level: int | Array) -> Any:
    """The masks of one level, which may be a traced integer."""
    return jax.tree.map(lambda leaf: leaf > level, survival)


def apply_masks(params: Params, masks: Tree) -> Any:
    """Zeroes the weights that are not kept, by selection: 0 · inf would be NaN.

    Leaves without a mask come back as the same object. Works under jit and vmap.

    Raises:
        ValueError: the two trees differ in structure.
    """
    return jax.tree.map(_select, masks, params, is_leaf=lambda mask: mask is None)


def apply_level(params: Params, survival: Tree, level: int | Array) -> Any:
    """The parameters as pruned at one level, which may be a traced integer."""
    return apply_masks(params, level_masks(survival, level))


def achieved(survival: Tree, total: int, level: int = 0) -> tuple[float, float]:
    """The sparsity of the prunable set and of all `total` parameters, at one level.

    Both are quotients of exact integers. Masks may be given instead of survival.
    """
    leaves = [leaf for leaf in flatten(survival).values() if leaf is not None]
    prunable = sum(leaf.size for leaf in leaves)
    pruned = prunable - sum(map(sum, kept(survival, level).values()))
    return pruned / prunable, pruned / total


def kept(survival: Tree, level: int = 0) -> dict[str, tuple[int, ...]]:
    """How many weights of each matrix are kept at one level, by path and layer."""
    return {
        path: tuple(int(np.count_nonzero(one > level)) for one in matrices(leaf))
        for path, leaf in flatten(survival).items()
        if leaf is not None
    }


def _select(mask: Any, leaf: Any) -> Any:
    return leaf if mask is None else jnp.where(mask, leaf, 0)


def _check(levels: Sequence[Counts]) -> None:
    if not 1 <= len(levels) <= 255:
        raise ValueError(f"{len(levels)} levels; survival holds 1 to 255")
    if len(scopes := {level.scope for level in levels}) > 1:
        raise ValueError(f"levels of different scopes: {sorted(scopes)}")
    for path in levels[0].pruned:
        ascent = np.array([level.pruned[path] for level in levels])
        if np.any(np.diff(ascent, axis=0) < 0):
            raise ValueError(f"levels are not in ascending sparsity at {path!r}")


Pairs = list[tuple[np.ndarray, np.ndarray]]  # scores and survival of each matrix


def _groups(
    leaves: dict[str, Any], kept: dict[str, Any], levels: Sequence[Counts]
) -> Iterator[tuple[Pairs, list[int]]]:
    """The matrices that share one order, and what each level prunes of them."""
    pairs = {
        path: list(zip(matrices(leaf), matrices(kept[path]), strict=True))
        for path, leaf in leaves.items()
        if leaf is not None
    }
    if levels[0].scope == "global":
        everything = [pair for leaf_pairs in pairs.values() for pair in leaf_pairs]
        yield everything, [level.pruned[""][0] for level in levels]
        return
    for path, leaf_pairs in pairs.items():
        for layer, pair in enumerate(leaf_pairs):
            yield [pair], [level.pruned[path][layer] for level in levels]


def _add_kept(group: Pairs, cuts: Sequence[Threshold]) -> None:
    """Adds one to the survival of each weight for every cut that keeps it."""
    budgets = [cut.budget for cut in cuts]
    for scores, kept in group:
        for level, cut in enumerate(cuts):
            kept += scores > cut.value
            if cut.ties > cut.budget:
                budgets[level] -= _keep_ties(scores, kept, cut.value, budgets[level])


def _keep_ties(scores: Scores, kept: Survival, value: np.float32, budget: int) -> int:
    """Keeps the scores equal to `value` but for the first `budget`; returns its use."""
    ties = np.flatnonzero(scores == value)
    kept.reshape(-1)[ties[budget:]] += 1
    return min(budget, ties.size)
