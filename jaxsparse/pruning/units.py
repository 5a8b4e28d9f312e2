"""Feed-forward units, heads and whole layers: what is removed as a whole.

The score of a unit is the sum of its weights' scores. Weights that are zero already
add nothing; a unit that has no others goes first, whatever the criterion.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from jaxsparse.pruning.groups import count
from jaxsparse.pruning.scores import ZERO

Kept = Int64[np.ndarray, "layer kept"]  # numbers of units, ascending


def by_unit(
    values: Shaped[np.ndarray, "*layer in out"], axis: int, units: int
) -> Shaped[np.ndarray, "layer weight unit"]:
    """The weights of each unit, where a kernel's inputs (axis -2) or outputs (-1) fall
    into so many units one after another."""
    layered = values if values.ndim == 3 else values[None]
    along = np.moveaxis(layered, axis, 1)
    layers, size, others = along.shape
    parted = along.reshape(layers, units, size // units * others)
    return np.moveaxis(parted, 1, 2)


def unit_scores(
    kernels: Iterable[tuple[Shaped[np.ndarray, "... _in _out"], int]],
    units: int,
    alike: bool = False,
) -> Float64[np.ndarray, "layer unit"]:
    """The sums of scores of every unit, in float64.

    Args:
        kernels: scores of weights, and the axis on which the units lie.
        alike: whether all layers lose the same units: their sums are added, and there
            is one row for all.
    """
    total = there = np.zeros((1, units))
    for scores, axis in kernels:
        of_units = by_unit(scores, axis, units)
        known = of_units != ZERO
        total = total + np.where(known, of_units, 0).sum(axis=1, dtype=np.float64)
        there = there + known.sum(axis=1)
    if alike:
        total, there = total.sum(0, keepdims=True), there.sum(0, keepdims=True)
    return np.where(there > 0, total, np.float64(ZERO))


def kept_units(scores: Float64[np.ndarray, "layer unit"], sparsity: float) -> Kept:
    """The units that stay in each layer; of equal scores, the earlier goes first."""
    gone = count(scores.shape[1], sparsity)
    order = np.argsort(scores, axis=1, kind="stable")
    return np.sort(order[:, gone:], axis=1).astype(np.int64)


def kept_layers(influences: Sequence[float], sparsity: float) -> list[int]:
    """The layers of a stack that stay: the least influential go, of equal ones the
    earlier first."""
    scores = np.asarray(influences, np.float64)[None]
    return kept_units(scores, sparsity)[0].tolist()
