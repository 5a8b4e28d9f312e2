"""Masks: from scores to the weights that are kept, and to pruned leaves.

There is one order over the weights of a group: ascending score, and among equal scores
as `groups` puts them. A count prunes the first so many, so the masks of one method are
nested across sparsities, and one small integer per weight holds all of them: at how
many of the sparsities it is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsparse.pruning.groups import UNSTRUCTURED, Group, Place, counts, groups
from jaxsparse.pruning.scores import ZERO
from jaxsparse.pruning.selection import keep_by_radix, keep_by_sort
from jaxsparse.types import Array, Leaves

MOST = 255  # sparsities that an uint8 can count
FEW = 1 << 16  # weights of a group below which sorting is the faster


def nested_masks(
    scores: Mapping[str, np.ndarray],
    sparsities: Sequence[float] | Mapping[Place, Sequence[float]],
    scope: str,
    pattern: str = UNSTRUCTURED,
    done: Callable[[int], object] = lambda matrices: None,
) -> dict[str, np.ndarray]:
    """The number of sparsities at which each weight is kept; `mask_at` reads it.

    Weights whose score is `ZERO` are kept nowhere: zeros of the file count as pruned,
    even where there are more of them than a sparsity asks for.

    Args:
        scores: float32 host arrays, no NaN.
        sparsities: fractions in ascending order, from 1 to 255 of them; the same of
            all, or of each matrix (path, layer) its own, unless the scope is global.
        done: is told how many more matrices are done.

    Returns:
        uint8 arrays of the scores' shapes.

    Raises:
        ValueError: sparsities that are too many or not ascending; a matrix's own of a
            global scope.
        InputError: what `groups` and `counts` refuse.
    """
    nested = {path: np.zeros(leaf.shape, np.uint8) for path, leaf in scores.items()}
    pairs = zip(
        groups(scores, scope, pattern), groups(nested, scope, pattern), strict=True
    )
    for (group, places), (kept, _) in pairs:
        ascending, *others = {_of(sparsities, place) for place in places}
        if others:
            raise ValueError("matrices that compete have sparsities of their own")
        _keep(group, kept, [counts(group, sparsity) for sparsity in ascending])
        done(len(places))
    for path, leaf in scores.items():
        nested[path][leaf == ZERO] = 0
    return nested


def _of(
    sparsities: Sequence[float] | Mapping[Place, Sequence[float]], place: Place
) -> tuple[float, ...]:
    own = sparsities[place] if isinstance(sparsities, Mapping) else sparsities
    if not 1 <= len(own) <= MOST:
        raise ValueError(f"{len(own)} sparsities; masks nest for 1 to {MOST}")
    if list(own) != sorted(own):
        raise ValueError(f"sparsities are not in ascending order: {own}")
    return tuple(own)


def _keep(group: Group, kept: Group, numbers: Sequence[int]) -> None:
    """For few large groups a radix select, for many small ones a sort."""
    if len(group) == 1 and group[0].shape[-1] < FEW:
        keep_by_sort(group[0], kept[0], numbers)
    else:
        keep_by_radix(group, kept, numbers)


def mask_at(nested: Array, index: int | Array) -> Any:
    """The mask (True = kept) at one of the sparsities; the index may be traced."""
    return nested > index


def apply_masks(leaves: Leaves, masks: Leaves) -> dict[str, Any]:
    """Zeroes the weights that are not kept, by selection: 0 · inf would be NaN.

    Leaves without a mask come back as the same object. Works under jit and vmap.

    Raises:
        KeyError: a mask without a leaf.
    """
    return {
        **leaves,
        **{path: jnp.where(mask, leaves[path], 0) for path, mask in masks.items()},
    }
