"""Questions of any length into batches of few shapes, planned from the full list.

The batches of a shape share its rows as evenly as they can. The plan depends on nothing
but lengths, costs and budget: a run that is resumed computes the same shapes.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models.operations import Operations
from jaxsparse.scoring.encoded import (
    TOKEN_FIELDS,
    Encoded,
    EncodedRow,
    QuestionRows,
)
from jaxsparse.scoring.grouping import TOKENS_ONLY, Budget, Lengths, groups, rounded
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Terms:
    """Where scores are read: first, row by row, what any option needs of the row (it
    stays on the row's device), then which of that makes up each option's score."""

    slots: Int[Array, "row read"]  # among the row's scored positions
    tokens: Int[Array, "row read"]
    places: Int[Array, "question option term"]  # row * read + number within the row
    valid: Bool[Array, "question option term"]


@dataclass(frozen=True)
class BatchShape:
    """All that a compilation depends on."""

    questions: int
    rows: int
    lengths: tuple[tuple[str, int], ...]  # of each field of a row
    reads: int  # of a row: room for all terms of a question
    options: int  # of the question that has most
    terms: int

    @property
    def tokens(self) -> int:
        """Tokens computed, padding included."""
        lengths = dict(self.lengths)
        return self.rows * sum(lengths.get(field, 0) for field in TOKEN_FIELDS)


@dataclass(frozen=True)
class BatchPlan:
    """A batch to come: which questions, in which shape."""

    questions: tuple[int, ...]
    shape: BatchShape


def plan(
    encoded: Sequence[Encoded],
    batch_tokens: int,
    operations: Operations = TOKENS_ONLY,
    rows_multiple: int = 1,
    form: Form = CPU,
) -> tuple[BatchPlan, ...]:
    """Assigns every question to one batch.

    Args:
        batch_tokens: what `BatchShape.tokens` stays within, unless one question alone
            has more, or so many rows as there must be.
        operations: what a row costs; without, each token one.
        rows_multiple: of the rows of every batch, for the devices that share them.
        form: says what a compilation is worth.
    """
    budget = Budget(batch_tokens, operations, rows_multiple, form)
    planned = []
    for longest, members in groups(encoded, budget):
        planned += _plan_group(encoded, members, longest, budget)
    return tuple(planned)


def padding(encoded: Sequence[Encoded], planned: Iterable[BatchPlan]) -> float:
    """The fraction of all tokens computed that are no question's."""
    needed = sum(question.sizes.all_tokens for question in encoded)
    return 1 - needed / sum(batch.shape.tokens for batch in planned)


def _plan_group(
    encoded: Sequence[Encoded], members: list[int], longest: Lengths, budget: Budget
) -> list[BatchPlan]:
    sizes = [encoded[number].sizes for number in members]
    rows = [size.rows for size in sizes]
    capacity = int(budget.rows(sum(rows), max(rows), np.array(longest)))
    batches = _fill(members, rows, capacity)
    most = max(sum(encoded[n].sizes.rows for n in batch) for batch in batches)
    shape = BatchShape(
        questions=max(len(batch) for batch in batches),
        rows=-(-most // budget.rows_multiple) * budget.rows_multiple,
        lengths=tuple(_lengths(encoded[members[0]].rows[0], longest)),
        reads=rounded(max(size.reads for size in sizes)),
        options=max(encoded[number].options for number in members),
        terms=rounded(max(size.terms for size in sizes)),
    )
    return [BatchPlan(tuple(batch), shape) for batch in batches]


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


def _lengths(row: EncodedRow, longest: Lengths) -> Iterator[tuple[str, int]]:
    """The length of each field of a row."""
    encoder, tokens, scored = longest
    for field in row:
        if field == "scored":
            yield field, scored
        elif "encoder_tokens" in row and field in ("encoder_tokens", "attention_mask"):
            yield field, encoder
        else:
            yield field, tokens


def stack(
    encoded: Sequence[Encoded], batch: BatchPlan
) -> tuple[dict[str, np.ndarray], Terms]:
    """The arrays of a batch, padded to its shape."""
    shape = batch.shape
    made = [encoded[number].laid_out for number in batch.questions]
    rows = [row for question in made for row in question.rows]
    fields = {
        field: _pad([row[field] for row in rows], shape.rows, length, _PADDING[field])
        for field, length in shape.lengths
    }
    return fields, _terms(made, shape)


def _terms(made: Sequence[QuestionRows], shape: BatchShape) -> Terms:
    counts = [len(question.terms) for question in made]
    question = np.repeat(np.arange(len(made)), counts)
    first = np.cumsum([0, *(len(question.rows) for question in made)])  # row of each
    option, row, slot, token = np.concatenate([q.terms for q in made]).T
    row = row + first[question]
    read = _number_within(row)
    number = _number_within(question * shape.options + option)
    slots, tokens = (np.zeros((shape.rows, shape.reads), np.int32) for _ in "st")
    places = np.zeros((shape.questions, shape.options, shape.terms), np.int32)
    valid = np.zeros(places.shape, bool)
    slots[row, read], tokens[row, read] = slot, token
    places[question, option, number] = row * shape.reads + read
    valid[question, option, number] = True
    return Terms(slots, tokens, places, valid)


def _number_within(groups: Int[np.ndarray, " term"]) -> Int[np.ndarray, " term"]:
    """Of each term, how many of its group stand before it."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(groups)) - begins
    return numbers


def _pad(
    values: Sequence[np.ndarray], rows: int, length: int, padding: int | bool
) -> np.ndarray:
    padded = np.full((rows, length), padding, values[0].dtype)
    for row, value in zip(padded, values, strict=False):
        row[: len(value)] = value
    return padded
