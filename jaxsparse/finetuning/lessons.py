"""What a step learns from: questions, and windows of their stories.

    step 7, seed 0   16 questions ─▶ part | part | part     each a batch that the device
                     16 windows   ─▶ part | part            takes at once; gradients add

All of it is a function of the seed and the number of the step: a run that was killed
sees what it would have seen. Which lengths a step's questions have depends on the
number alone: runs of several seeds share their shapes.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from jaxsparse import scoring
from jaxsparse.cbt import Question
from jaxsparse.finetuning.parts import NO_ANSWER, Part, QuestionPart, StoryPart
from jaxsparse.running_text import SHORTEST
from jaxsparse.scoring import BatchPlan, BatchShape, Encoded
from jaxsparse.training.corpus import Corpus
from jaxsparse.training.objectives import OBJECTIVES, Vocabulary
from jaxsparse.types import InputError

# Of all questions, how many must share a shape: a compilation takes seconds, and a
# gradient's more.
LEAST_SHARE = 0.15
RowShape = tuple[int, tuple[tuple[str, int], ...]]  # rows, the length of each field


@dataclass(frozen=True)
class _Group:
    """Questions that share a shape."""

    members: Int[np.ndarray, " question"]
    shape: BatchShape


class QuestionLessons:
    """The questions of every step."""

    def __init__(
        self,
        encoded: Sequence[Encoded],
        questions: Sequence[Question],
        config: Any,
        protocol: str,
        batch_questions: int,
        part_tokens: int,
        rows_multiple: int = 1,
    ):
        """
        Args:
            batch_questions: of a step.
            part_tokens: rows x length that a part may have, unless one question alone
                has more.
            rows_multiple: what divides the rows of every part.
        """
        self._encoded = encoded
        self._config, self._protocol = config, protocol
        self._batch = batch_questions
        self._answers = [
            question.options.index(question.answer) for question in questions
        ]
        self._groups = [
            _Group(
                members,
                _shape(encoded, members, part_tokens, batch_questions, rows_multiple),
            )
            for members in _alike(encoded)
        ]
        shares = np.array([len(group.members) for group in self._groups])
        self._shares = shares / shares.sum()
        # The group of each step so far, and how many before it had the same.
        self._drawn: list[tuple[int, int]] = []
        self._turns = [0] * len(self._groups)

    @property
    def row_shapes(self) -> list[RowShape]:
        """Of the parts."""
        shapes = [group.shape for group in self._groups]
        return [(shape.rows, shape.lengths) for shape in shapes]

    def members(self, seed: int, step: int) -> tuple[BatchShape, list[int]]:
        """The numbers of a step's questions, and the shape of their parts."""
        drawn, before = self._group_of(step)
        group = self._groups[drawn]
        size = len(group.members)
        first = before * self._batch
        numbers = []
        for place in range(first, first + self._batch):
            order = _order(size, place // size, drawn, seed)
            numbers.append(int(group.members[order[place % size]]))
        return group.shape, numbers

    def _group_of(self, step: int) -> tuple[int, int]:
        """Drawn by the groups' shares of the questions; and its steps before."""
        for number in range(len(self._drawn), step + 1):
            generator = np.random.default_rng([0, number])
            drawn = int(generator.choice(len(self._shares), p=self._shares))
            self._drawn.append((drawn, self._turns[drawn]))
            self._turns[drawn] += 1
        return self._drawn[step]

    def parts(self, seed: int, step: int) -> list[QuestionPart]:
        shape, numbers = self.members(seed, step)
        rows = sum(self._encoded[number].sizes.rows for number in numbers)
        weights = np.float32(1 / len(numbers)), np.float32(1 / rows)
        return [
            self._part(shape, members, *weights)
            for members in _filled(self._encoded, numbers, shape)
        ]

    def filler(self, like: QuestionPart) -> QuestionPart:
        """A part of the same shape from which nothing is learned."""
        answers = np.full_like(like.answers, NO_ANSWER)
        return replace(like, answers=answers, row_weight=np.float32(0))

    def tokens(self, seed: int, step: int) -> int:
        """Of a step, without padding."""
        _, numbers = self.members(seed, step)
        return sum(self._encoded[number].sizes.all_tokens for number in numbers)

    def _part(
        self,
        shape: BatchShape,
        members: Sequence[int],
        weight: np.float32,
        row_weight: np.float32,
    ) -> QuestionPart:
        plan = BatchPlan(tuple(members), shape)
        batch = scoring.batch(self._encoded, plan, self._config, self._protocol)
        answers = np.full(shape.questions, NO_ANSWER, np.int32)
        answers[: len(members)] = [self._answers[number] for number in members]
        return QuestionPart(batch, answers, weight, row_weight)


class StoryLessons:
    """Windows of the questions' stories in every step, as a family learns from text."""

    def __init__(
        self,
        texts: Sequence[str],
        tokenizer: Any,
        config: Any,
        rows: int,
        length: int,
        part_tokens: int,
        rows_multiple: int = 1,
    ):
        """
        Args:
            rows: windows of a step.
            length: of a row, in tokens, what frames a window included.

        Raises:
            InputError: the model does not take such a row; the texts are shorter than
                two windows.
        """
        check_story_tokens(length, config)
        backend = tokenizer.backend_tokenizer
        end = backend.token_to_id("<|endoftext|>")
        if end is None and config.reading == "causal":
            end = tokenizer.eos_token_id
        self._vocabulary = Vocabulary.of(backend)
        self._objective = OBJECTIVES[config.reading]
        self._window = length - self._objective.frame
        self._rows = rows
        part = max(part_tokens // length, 1)
        part = -(-part // rows_multiple) * rows_multiple
        self._part = min(part, -(-rows // rows_multiple) * rows_multiple)
        self._corpus = Corpus.of(texts or [""], backend, end)
        try:
            self._corpus.count(self._window)
        except InputError:
            raise InputError(
                f"the training questions' stories have {len(self._corpus.tokens):,} "
                f"tokens, less than two windows of {self._window}; give more "
                "questions, or `objective=choice`"
            ) from None

    def parts(self, seed: int, step: int) -> list[StoryPart]:
        windows = self._corpus.windows(self._window, self._rows, step, seed)
        generator = np.random.default_rng([seed, step])
        examples = self._objective.examples(windows, self._vocabulary, generator)
        weight = np.float32(1 / max(np.count_nonzero(examples.valid), 1))
        found = []
        for begin in range(0, self._rows, self._part):
            # Behind the last row the first again, from which nothing is learned twice.
            rows = np.arange(begin, begin + self._part)
            some = jax.tree.map(lambda field: field[rows % self._rows], examples)  # noqa: B023
            valid = some.valid & (rows < self._rows)[:, None]
            part = replace(some, valid=valid)
            found.append(StoryPart(part, weight, np.float32(1 / self._rows)))
        return found

    @property
    def row_shapes(self) -> list[RowShape]:
        """Of the parts."""
        inputs = self.parts(0, 0)[0].examples.inputs
        lengths = [(f.name, getattr(inputs, f.name).shape[1]) for f in fields(inputs)]
        return [(self._part, tuple(lengths))]

    def filler(self, like: StoryPart) -> StoryPart:
        """A part of the same shape from which nothing is learned."""
        return replace(like, weight=np.float32(0), row_weight=np.float32(0))

    def tokens(self, seed: int, step: int) -> int:
        return self._rows * self._window


def check_story_tokens(length: int, config: Any) -> None:
    """Raises InputError for rows of the stories that a model does not take."""
    shortest = OBJECTIVES[config.reading].frame + SHORTEST
    if not shortest <= length <= config.positions:
        raise InputError(
            f"`story_tokens={length}`: the model takes {shortest} to {config.positions}"
        )


def parts_of(
    lessons: Sequence[QuestionLessons | StoryLessons], seeds: Sequence[int], step: int
) -> Iterator[Part]:
    """The parts of a step; of several seeds stacked on a new axis 0."""
    for lesson in lessons:
        of_seeds = [lesson.parts(seed, step) for seed in seeds]
        for number in range(max(map(len, of_seeds))):
            found = [
                parts[number] if number < len(parts) else lesson.filler(parts[0])  # pyright: ignore[reportArgumentType]
                for parts in of_seeds
            ]
            yield found[0] if len(found) == 1 else jax.tree.map(_stacked, *found)


def _stacked(*fields: Any) -> np.ndarray:
    return np.stack(fields)


def _alike(encoded: Sequence[Encoded]) -> list[np.ndarray]:
    """The numbers of questions that are about equally long, shortest first: few groups,
    since each is compiled; the longest are with those that are next."""
    cells: dict[int, list[int]] = {}
    for number, question in enumerate(encoded):
        sizes = question.sizes
        cells.setdefault(_coarse(max(sizes.encoder, sizes.tokens)), []).append(number)
    least, groups = LEAST_SHARE * len(encoded), [[]]
    for length in sorted(cells):
        if len(groups[-1]) >= least:
            groups.append([])
        groups[-1] += cells[length]
    if len(groups) > 1 and len(groups[-1]) < least:
        last = groups.pop()
        groups[-1] += last
    return [np.array(sorted(group)) for group in groups]


def _coarse(length: int) -> int:
    """Lengths by quarters of the power of two below, by 16 at least."""
    step = max(1 << max((length - 1).bit_length() - 3, 0), 16)
    return -(-length // step) * step


def _shape(
    encoded: Sequence[Encoded],
    members: Sequence[int] | np.ndarray,
    part_tokens: int,
    batch_questions: int,
    rows_multiple: int,
) -> BatchShape:
    sizes = [encoded[number].sizes for number in members]
    encoder = _coarse(most) if (most := max(size.encoder for size in sizes)) else 0
    tokens = _coarse(max(size.tokens for size in sizes))
    largest = max(size.rows for size in sizes)
    mean = sum(size.rows for size in sizes) / len(sizes)
    rows = min(part_tokens // (encoder + tokens), int(np.ceil(mean * batch_questions)))
    rows = -(-max(rows, largest) // rows_multiple) * rows_multiple
    scored = min(_coarse(max(size.scored for size in sizes)), tokens)
    longest = {"scored": scored, "encoder_tokens": encoder}
    row = encoded[members[0]].rows[0]
    if "encoder_tokens" in row:
        longest["attention_mask"] = encoder
    return BatchShape(
        questions=min(batch_questions, rows),
        rows=rows,
        lengths=tuple((field, longest.get(field, tokens)) for field in row),
        reads=_coarse(max(size.reads for size in sizes)),
        options=max(encoded[number].options for number in members),
        terms=_coarse(max(size.terms for size in sizes)),
    )


def _filled(
    encoded: Sequence[Encoded], numbers: Sequence[int], shape: BatchShape
) -> Iterator[list[int]]:
    """The questions of each part, in their order."""
    part: list[int] = []
    rows = 0
    for number in numbers:
        own = encoded[number].sizes.rows
        if part and (rows + own > shape.rows or len(part) == shape.questions):
            yield part
            part, rows = [], 0
        part.append(number)
        rows += own
    yield part


@functools.lru_cache(maxsize=64)
def _order(
    size: int, epoch: int, group: int, seed: int
) -> Int[np.ndarray, " question"]:
    """The order of a group's questions in one of its epochs."""
    return np.random.default_rng([seed, group, epoch]).permutation(size)
