"""Selection: which scores of a group stay, at each of several counts, exactly.

Two ways that agree to the last weight. A radix select reads the scores twice, whatever
their number and in however many arrays they lie: best for few large groups. Sorting
along the last axis takes many small groups at once: best for the inputs of each output
unit, where a select of its own for each would cost a pass over its bins. (numpy sorts
float32 with vector instructions, and does not partition so at several places: 11
against 55 ms for the columns of a 768 x 3072 matrix at five sparsities.)
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

Scores = Float32[np.ndarray, " _weight"]
Histogram = Int64[np.ndarray, "65536"]

_BINS = 1 << 16
_CHUNK = 1 << 18  # scores at a time: 1 MB of keys stays in the cache


def keep_by_sort(
    scores: Float32[np.ndarray, "*group weight"],
    kept: UInt8[np.ndarray, "*group weight"],
    counts: Sequence[int],
) -> None:
    """Adds one to `kept` for every count that keeps the weight, in all groups."""
    size = scores.shape[-1]
    rows = max(_CHUNK * len(scores) // scores.size, 1)
    for begin in range(0, len(scores), rows):
        part = slice(begin, begin + rows)
        # Contiguous, whatever the view's strides; and 0.0 and -0.0 are equal.
        chunk = np.ascontiguousarray(scores[part]) + np.float32(0)
        ordered = np.sort(chunk, axis=-1)
        added = np.zeros(chunk.shape, np.uint8)
        for count in counts:
            if count == 0:
                added += 1
            elif count < size:
                last_pruned = ordered[..., count - 1, None]
                added += _largest(chunk, last_pruned, size - count)
        kept[part] += added


def _largest(
    chunk: Float32[np.ndarray, "*group weight"],
    last_pruned: Float32[np.ndarray, "*group 1"],
    number: int,
) -> Bool[np.ndarray, "*group weight"]:
    """So many of each group: those above a score, and the last of those equal to it."""
    above = chunk > last_pruned
    if np.count_nonzero(above) < number * (chunk.size // chunk.shape[-1]):
        lacking = number - above.sum(-1)
        tied = lacking > 0
        equal = chunk[tied] == last_pruned[tied]
        from_end = np.cumsum(equal[..., ::-1], axis=-1)[..., ::-1]
        above[tied] |= equal & (from_end <= lacking[tied, None])
    return above


def keep_by_radix(
    scores: Sequence[Float32[np.ndarray, "group _weight"]],
    kept: Sequence[UInt8[np.ndarray, "group _weight"]],
    counts: Sequence[int],
) -> None:
    """Adds one to `kept` for every count that keeps the weight; a group's weights go on
    from array to array.

    A radix select of two digits: float32 maps to int32 in the same order; one pass
    counts the high 16 bits, a second the low 16 bits within the few bins where a count
    falls. Memory does not grow with the number of scores.
    """
    for group in range(len(scores[0])):
        parts = [part[group] for part in scores]
        kept_parts = [part[group] for part in kept]
        for cut in _cuts(parts, counts):
            budget = cut.budget
            for part, kept_part in zip(parts, kept_parts, strict=True):
                kept_part += part > cut.value
                if cut.ties > cut.budget:
                    ties = np.flatnonzero(part == cut.value)
                    kept_part[ties[budget:]] += 1
                    budget = max(budget - len(ties), 0)


class _Cut(NamedTuple):
    """Where the order of a group is cut: what lies below `value` is pruned, and of the
    `ties` scores equal to it the first `budget`."""

    value: np.float32
    ties: int
    budget: int


def _cuts(parts: Sequence[Scores], counts: Sequence[int]) -> Iterator[_Cut]:
    ranks = [max(count - 1, 0) for count in counts]  # of the last score pruned
    high = np.zeros(_BINS, np.int64)
    for keys in _keys(parts):
        high += np.bincount((keys >> 16) + _BINS // 2, minlength=_BINS)
    located = [_locate(high, rank) for rank in ranks]
    low = {digit: np.zeros(_BINS, np.int64) for digit, _ in located}
    for keys in _keys(parts):
        digits = keys >> 16
        for digit, histogram in low.items():
            within = keys[digits == digit - _BINS // 2] & (_BINS - 1)
            histogram += np.bincount(within, minlength=_BINS)
    for count, rank, (digit, below) in zip(counts, ranks, located, strict=True):
        last, lower = _locate(low[digit], rank - below)
        key = np.array([(digit - _BINS // 2 << 16) + last], np.int32)
        value = _flip(key).view(np.float32)[0]
        yield _Cut(value, int(low[digit][last]), count - below - lower)


def _locate(histogram: Histogram, rank: int) -> tuple[int, int]:
    """The bin that holds the item of this rank (0 first), and the items below it."""
    ends = np.cumsum(histogram)
    digit = int(np.searchsorted(ends, rank, side="right"))
    return digit, int(ends[digit] - histogram[digit])


def _keys(parts: Sequence[Scores]) -> Iterator[Int32[np.ndarray, " chunk"]]:
    """The scores as integers of the same order, chunk by chunk."""
    for part in parts:
        for start in range(0, len(part), _CHUNK):
            positive_zero = part[start : start + _CHUNK] + np.float32(0)
            yield _flip(positive_zero.view(np.int32))


def _flip(bits: Int32[np.ndarray, " chunk"]) -> Int32[np.ndarray, " chunk"]:
    """Float bits to ordered integers and back: negative floats descend in bits."""
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
