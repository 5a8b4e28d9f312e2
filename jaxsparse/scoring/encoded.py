"""One question, ready for the device: rows of tokens, and where scores come from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EncodedRow = dict[
    str, np.ndarray
]  # field of the family's inputs -> one-dimensional values

# A term of a score: the row of the question, the slot among the row's scored
# positions, and the token whose probability is read there.
Term = tuple[int, int, int]


@dataclass(frozen=True)
class Encoded:
    rows: tuple[EncodedRow, ...]
    terms: tuple[tuple[Term, ...], ...]  # for each option
    option_tokens: tuple[int, ...]  # the option's own tokens, for each option
    dropped: int  # sentences left out from the left


def distinct(rows: Sequence[EncodedRow]) -> tuple[tuple[EncodedRow, ...], list[int]]:
    """The rows without repetition, and which of them each one is.

    Options that are the same to the tokenizer share a row, and so tie exactly.
    """
    keys = [tuple(value.tobytes() for value in row.values()) for row in rows]
    kept = dict(zip(keys, rows, strict=True))
    numbers = {key: number for number, key in enumerate(kept)}
    return tuple(kept.values()), [numbers[key] for key in keys]


def pack(rows: Sequence[np.ndarray], first: Sequence[int]) -> tuple[EncodedRow, list]:
    """Packs rows that begin alike into one: the shared prefix, then their branches.

    rows     p0 p1 p2 a0 a1 a2          prefix   p0 p1 p2
             p0 p1 p2 b0 b1             branches          a0 a1 b0
    positions                            0  1  2  3  4  3

    A token is predicted one position before its own, so the last of each row is never
    read, and the first of each branch is predicted at the prefix's end. Equal rows
    share a branch, and so tie exactly.

    Args:
        rows: the tokens of each row, int32.
        first: the first scored token of each row, at least 1; all after it are scored.

    Returns:
        the packed row, and for each row its terms (slot, token) in order.
    """
    shared = min(_common_prefix(rows), *first)
    tokens, positions, branches = (
        [rows[0][:shared]],
        [np.arange(shared)],
        [np.zeros(shared, np.int32)],
    )
    slots: dict[int, int] = {}  # packed position -> slot
    terms = []
    begins: dict[bytes, int] = {}  # a row's tokens -> where its branch begins
    end = shared
    for row, start in zip(rows, first, strict=True):
        begin = begins.setdefault(row.tobytes(), end)
        if begin == end:
            branch = row[shared:-1]
            tokens.append(branch)
            positions.append(np.arange(shared, shared + len(branch)))
            branches.append(np.full(len(branch), len(begins), np.int32))
            end += len(branch)
        predicted_at = [
            shared - 1 if token == shared else begin + token - shared - 1
            for token in range(start, len(row))
        ]
        terms.append(
            [
                (slots.setdefault(at, len(slots)), int(token))
                for at, token in zip(predicted_at, row[start:], strict=True)
            ]
        )
    packed = {
        "tokens": np.concatenate(tokens).astype(np.int32),
        "positions": np.concatenate(positions).astype(np.int32),
        "branches": np.concatenate(branches),
        "scored": np.fromiter(slots, np.int32),
    }
    return packed, terms


def _common_prefix(rows: Sequence[np.ndarray]) -> int:
    shortest = min(len(row) for row in rows)
    heads = np.stack([row[:shortest] for row in rows])
    same = (heads == heads[0]).all(axis=0)
    return shortest if same.all() else int(np.argmin(same))
