"""Allocation: which fraction of each matrix is kept, so that of all the wanted is.

What is said here is exact before counts are rounded, matrix by matrix.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64

from jaxsparse.pruning.groups import Place

ALLOCATIONS = ("uniform", "erk", "owl")
OUTLIERS = 5  # times the mean score: what is above is an outlier
SPREAD = 0.08  # a block's fraction may differ by so much from the mean

Fractions = Float64[np.ndarray, " part"]


def erk(shapes: Sequence[tuple[int, int]], sparsity: float) -> Fractions:
    """The fraction that each matrix keeps: in proportion to (in + out) / (in · out),
    and at most all; what that leaves over goes to the others in the same proportion.

    Source: Evci et al. (2020), "Rigging the Lottery", section 3, Erdős–Rényi.
    """
    sizes = np.array([rows * columns for rows, columns in shapes], np.float64)
    raw = np.array([rows + columns for rows, columns in shapes], np.float64) / sizes
    fractions = np.ones_like(raw)
    wanted = (1 - sparsity) * sizes.sum()
    descending = np.argsort(-raw, kind="stable")
    for capped in range(len(raw)):
        rest = descending[capped:]
        left = wanted - sizes[descending[:capped]].sum()
        factor = left / (raw[rest] * sizes[rest]).sum()
        if factor * raw[rest[0]] <= 1:
            fractions[rest] = np.maximum(factor, 0) * raw[rest]
            break
    return fractions


def owl(
    shares: Sequence[float], sizes: Sequence[int], sparsity: float
) -> tuple[Fractions, float]:
    """The fraction that each transformer block keeps: more where more scores are
    outliers, all the same where the shares are.

    Args:
        shares: of each block's scores, those that are outliers; see `outlier_share`.
        sizes: how many prunable weights each block has.

    Returns:
        the fractions, and λ: `SPREAD`, or as much of it as leaves all in [0, 1].

    Source: Yin et al. (2024), "Outlier Weighed Layerwise Sparsity (OWL)", section 4.2;
    blocks are weighted by size, so that the whole has the wanted sparsity.
    """
    outliers = np.asarray(shares, np.float64)
    kept = 1 - sparsity
    width = np.ptp(outliers)
    if not width:
        return np.full(len(outliers), kept), SPREAD
    away = 2 * (outliers - np.average(outliers, weights=sizes)) / width
    spread = min(SPREAD, kept / -away.min(), sparsity / away.max())
    return np.clip(kept + spread * away, 0, 1), float(spread)


def outlier_share(scores: Sequence[Float[np.ndarray, "_in _out"]]) -> float:
    """Of all scores of a block's matrices, the fraction above `OUTLIERS` times their
    mean."""
    size = sum(matrix.size for matrix in scores)
    mean = sum(float(matrix.sum(dtype=np.float64)) for matrix in scores) / size
    above = sum(int(np.count_nonzero(m > OUTLIERS * mean)) for m in scores)
    return above / size


def erk_sparsities(
    shapes: Mapping[str, Sequence[int]], sparsities: Sequence[float]
) -> dict[Place, list[float]]:
    """The sparsities of each matrix of leaves of these shapes, by path and layer."""
    places = [
        ((path, layer), (shape[-2], shape[-1]))
        for path, shape in sorted(shapes.items())
        for layer in range(shape[0] if len(shape) == 3 else 1)
    ]
    levels = [erk([shape for _, shape in places], level) for level in sparsities]
    return {
        place: [1 - float(kept[number]) for kept in levels]
        for number, (place, _) in enumerate(places)
    }


def owl_sparsities(
    blocks: Sequence[Sequence[Place]],
    scores: Callable[[str, int], Float[np.ndarray, "in out"]],
    sparsities: Sequence[float],
    note: Callable[[str], object],
) -> dict[Place, list[float]]:
    """The sparsities of each matrix of these blocks.

    Args:
        scores: those of Wanda, of a matrix.
        note: is told where λ had to shrink.
    """
    shares, sizes = [], []
    for places in blocks:
        of_block = [scores(*place) for place in places]
        shares.append(outlier_share(of_block))
        sizes.append(sum(matrix.size for matrix in of_block))
    own: dict[Place, list[float]] = {place: [] for block in blocks for place in block}
    for sparsity in sparsities:
        kept, spread = owl(shares, sizes, sparsity)
        if spread < SPREAD:
            note(
                f"owl at sparsity {sparsity:g}: λ is {spread:.4g}, not {SPREAD}, so "
                "that no block keeps less than nothing or more than all"
            )
        for places, fraction in zip(blocks, kept, strict=True):
            for place in places:
                own[place].append(1 - float(fraction))
    return own
