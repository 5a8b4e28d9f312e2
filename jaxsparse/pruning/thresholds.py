"""The scores at given ranks, exactly, without sorting or ranking anything.

A radix select of two digits. Float32 maps to int32 in the same order; one pass counts
the high 16 bits, a second the low 16 bits within the few bins where a rank falls.
Memory does not grow with the number of scores, and it is all the same whether they lie
in one matrix or in every matrix of a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64

Scores = Float32[np.ndarray, "_in _out"]  # sizes differ within a group
Histogram = Int64[np.ndarray, "65536"]

_BINS = 1 << 16
_CHUNK = 1 << 18  # scores at a time: 1 MB of keys stays in the cache


@dataclass(frozen=True)
class Threshold:
    """Where one order of scores is cut: what lies below `value` is pruned.

    Of the `ties` scores equal to `value`, the first `budget` in order are pruned too.
    """

    value: np.float32
    ties: int
    budget: int


def thresholds(group: Sequence[Scores], counts: Sequence[int]) -> tuple[Threshold, ...]:
    """The threshold that prunes `count` scores of the group, for each of the counts.

    Args:
        group: matrices that share one order; no NaN. 0.0 and -0.0 are equal.
        counts: how many scores to prune, from none to all of the group.

    Raises:
        ValueError: a count that is negative or above the size of the group.
    """
    size = sum(matrix.size for matrix in group)
    if wrong := [count for count in counts if not 0 <= count <= size]:
        raise ValueError(f"cannot prune {wrong} of {size} weights")
    ranks = [max(count - 1, 0) for count in counts]  # of the last score pruned
    high = _high_histogram(group)
    located = [_locate(high, rank) for rank in ranks]
    low = _low_histograms(group, {digit for digit, _ in located})
    cuts = []
    for count, rank, (digit, below) in zip(counts, ranks, located, strict=True):
        last, lower = _locate(low[digit], rank - below)
        ties = int(low[digit][last])
        cuts.append(Threshold(_score(digit, last), ties, count - below - lower))
    return tuple(cuts)


def _high_histogram(group: Sequence[Scores]) -> Histogram:
    total = np.zeros(_BINS, np.int64)
    for keys in _keys(group):
        total += np.bincount((keys >> 16) + _BINS // 2, minlength=_BINS)
    return total


def _low_histograms(group: Sequence[Scores], digits: set[int]) -> dict[int, Histogram]:
    """For each high digit, how often each low digit comes with it."""
    totals = {digit: np.zeros(_BINS, np.int64) for digit in digits}
    for keys in _keys(group):
        high = keys >> 16
        for digit, total in totals.items():
            low = keys[high == digit - _BINS // 2] & (_BINS - 1)
            total += np.bincount(low, minlength=_BINS)
    return totals


def _locate(histogram: Histogram, rank: int) -> tuple[int, int]:
    """The bin that holds the item of this rank (0 first), and the items below it."""
    ends = np.cumsum(histogram)
    digit = int(np.searchsorted(ends, rank, side="right"))
    return digit, int(ends[digit] - histogram[digit])


def _keys(group: Sequence[Scores]) -> Iterator[Int32[np.ndarray, " chunk"]]:
    """The scores as integers of the same order, chunk by chunk."""
    for matrix in group:
        flat = matrix.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            positive_zero = flat[start : start + _CHUNK] + np.float32(0)
            yield _flip(positive_zero.view(np.int32))


def _score(high: int, low: int) -> np.float32:
    """The score whose key has these two digits."""
    key = np.array([(high - _BINS // 2 << 16) + low], np.int32)
    return _flip(key).view(np.float32)[0]


def _flip(bits: Int32[np.ndarray, " chunk"]) -> Int32[np.ndarray, " chunk"]:
    """Float bits to ordered integers and back: negative floats descend in bits."""
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
