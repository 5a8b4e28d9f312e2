"""Questions of any length into batches of few shapes, planned from the full list.

Rows are bucketed by length. A bucket has one shape, so one compilation; its batches
share its rows as evenly as they can. The plan depends on nothing but the questions and
the budget: a run that is resumed computes the same shapes.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Int

from jaxsparse.scoring.encoded import Encoded
from jaxsparse.types import Array

# What a padded place holds: nothing attends to it and no score reads it.
_PADDING = {
    "tokens": 0,
    "encoder_tokens": 0,
    "positions": 0,
    "branches": -1,
    "attention_mask": False,
    "scored": 0,
}
_ENCODER_FIELDS = ("encoder_tokens", "attention_mask")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Terms:
    """Where each option's score is read, in the outputs of the batch's rows."""

    outputs: Int[Array, "question option term"]  # row * scored + slot
    tokens: Int[Array, "question option term"]
    valid: Bool[Array, "question option term"]


@dataclass(frozen=True)
class Shape:
    """All that a compilation depends on."""

    questions: int
    rows: int
    lengths: tuple[tuple[str, int], ...]  # of each field of a row
    options: int
    terms: int

    @property
    def tokens(self) -> int:
        """Tokens computed, padding included."""
        return self.rows * _row_tokens(self.lengths)


@dataclass(frozen=True)
class Planned:
    """A batch to come: which questions, in which shape."""

    questions: tuple[int, ...]
    shape: Shape


def plan(encoded: Sequence[Encoded], batch_tokens: int) -> tuple[Planned, ...]:
    """Assigns every question to one batch.

    Args:
        batch_tokens: what `Shape.tokens` stays within, unless one question alone has
            more.
    """
    buckets: dict[int, list[int]] = {}
    for number, question in enumerate(encoded):
        buckets.setdefault(_bucket(_length(question)), []).append(number)
    planned = []
    for length in sorted(buckets):
        planned += _plan_bucket(encoded, buckets[length], length, batch_tokens)
    return tuple(planned)


def _plan_bucket(
    encoded: Sequence[Encoded], members: list[int], length: int, batch_tokens: int
) -> list[Planned]:
    rows = [len(encoded[number].rows) for number in members]
    lengths = _lengths([encoded[number] for number in members], length)
    most = max(batch_tokens // _row_tokens(lengths), *rows)
    batches = _fill(members, rows, _even_share(sum(rows), most, max(rows)))
    sizes = dict(zip(members, rows, strict=True))
    shape = Shape(
        questions=max(len(batch) for batch in batches),
        rows=max(sum(sizes[number] for number in batch) for batch in batches),
        lengths=lengths,
        options=len(encoded[members[0]].terms),
        terms=_few(max(len(option) for n in members for option in encoded[n].terms)),
    )
    return [Planned(tuple(batch), shape) for batch in batches]


def _even_share(total: int, most: int, largest: int) -> int:
    """Rows per batch such that the last batch is about as full as the others."""
    batches = -(-total // most)
    return max(-(-total // batches), largest)


def _fill(members: list[int], rows: list[int], capacity: int) -> list[list[int]]:
    """Batch by batch, always the question with most rows that still fits."""
    waiting: dict[int, deque[int]] = {size: deque() for size in sorted(rows)[::-1]}
    for number, size in zip(members, rows, strict=True):
        waiting[size].append(number)
    batches: list[list[int]] = []
    while any(waiting.values()):
        batch, free = [], capacity
        for size, numbers in waiting.items():
            while numbers and size <= free:
                batch.append(numbers.popleft())
                free -= size
        batches.append(batch)
    return batches


def _lengths(members: Sequence[Encoded], length: int) -> tuple[tuple[str, int], ...]:
    """The length of each field: the bucket's where the story is, else as needed."""
    first = members[0].rows[0]
    story = _ENCODER_FIELDS if "encoder_tokens" in first else _story_fields(first)
    return tuple(
        (
            field,
            length
            if field in story
            else _few(max(len(row[field]) for m in members for row in m.rows)),
        )
        for field in first
    )


def _row_tokens(lengths: tuple[tuple[str, int], ...]) -> int:
    return sum(dict(lengths).get(field, 0) for field in ("tokens", "encoder_tokens"))


def _story_fields(row: dict[str, np.ndarray]) -> tuple[str, ...]:
    return tuple(field for field in row if field != "scored")


def _length(question: Encoded) -> int:
    field = "encoder_tokens" if "encoder_tokens" in question.rows[0] else "tokens"
    return max(len(row[field]) for row in question.rows)


def _bucket(length: int) -> int:
    return 64 if length <= 64 else _round_up(length, 128)


def _few(length: int) -> int:
    """Short lengths as they are (one masked token is one), longer ones by eights."""
    return max(length, 1) if length <= 8 else _round_up(length, 8)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def stack(
    encoded: Sequence[Encoded], batch: Planned
) -> tuple[dict[str, np.ndarray], Terms]:
    """The arrays of a batch, padded to its shape."""
    shape = batch.shape
    members = [encoded[number] for number in batch.questions]
    rows = [row for member in members for row in member.rows]
    fields = {
        field: _pad([row[field] for row in rows], shape.rows, length, _PADDING[field])
        for field, length in shape.lengths
    }
    scored = dict(shape.lengths)["scored"]
    places = (shape.questions, shape.options, shape.terms)
    outputs, tokens = np.zeros(places, np.int32), np.zeros(places, np.int32)
    valid = np.zeros(places, bool)
    first_row = 0
    for question, member in enumerate(members):
        for option, terms in enumerate(member.terms):
            row, slot, token = np.asarray(terms, np.int32).T
            here = (question, option, slice(len(terms)))
            outputs[here] = (first_row + row) * scored + slot
            tokens[here] = token
            valid[here] = True
        first_row += len(member.rows)
    return fields, Terms(outputs, tokens, valid)


def _pad(
    values: Sequence[np.ndarray], rows: int, length: int, padding: int | bool
) -> np.ndarray:
    padded = np.full((rows, length), padding, values[0].dtype)
    for row, value in zip(padded, values, strict=False):
        row[: len(value)] = value
    return padded
