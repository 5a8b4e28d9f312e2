"""One point of one curve and every answer there: what a sweep yields, what a report
reads back, and what all tables and files are made of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter

import numpy as np
from jaxtyping import Bool, Float32, Int32

from jaxsparse.accuracy import Accuracy
from jaxsparse.answers import Answers
from jaxsparse.cbt.questions import Question
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.training.training import LEGAL, Training
from jaxsparse.types import Presentation

WORTH_SAYING = 0.001  # of the weights that are zero in a file: single ones always are


@dataclass(frozen=True)
class Setup:
    """A model, and how questions are put to it: what a table is about."""

    model: str  # as it is called in this report
    family: str
    dtype: str
    presentation: Presentation


@dataclass(frozen=True)
class Curve:
    """All that the points of one line of a plot share."""

    setup: Setup
    recipe: Recipe
    training: Training | None = None  # None of one-shot
    execution: str = "dense"  # of the linears of what is pruned

    @property
    def finetuned(self) -> bool:
        return self.training is not None

    @property
    def seed(self) -> int | None:
        """The training's, else the recipe's."""
        return self.training.seed if self.training else self.recipe.seed


@dataclass(frozen=True)
class Workload:
    """What was computed for all points of one presentation, beside their scores."""

    shapes: int
    batches: int  # of all questions, for each variant
    padding: float  # fraction of the tokens in them
    levels_at_once: int
    read_as_a_whole: int  # questions that were not read word by word
    compilations: int  # none where the journal knew all
    compile_seconds: float


@dataclass(frozen=True, eq=False)
class TokenLosses:
    """Every target of a text, in the order of its windows."""

    positions: Int32[np.ndarray, "window target"]  # in the window; T5's in what its
    # decoder says, sentinels and </s> among it
    tokens: tuple[str, ...]  # window after window, as the vocabulary has them
    nats: Float32[np.ndarray, "window target"]  # -log p


@dataclass(frozen=True, eq=False)
class TextLoss:
    """How well a point predicts one text of running text."""

    text: str  # its name
    windows: int
    targets: int
    nats: float  # mean of all targets
    perplexity: float | None  # exp(nats); None unless every token is predicted from
    # those before it
    tokens_left_out: int  # behind the last whole window
    tokens: TokenLosses | None = None  # where asked for
    redrawn: tuple[tuple[int, float], ...] = ()  # further draws: seeds, and their nats

    @property
    def draws(self) -> tuple[float, ...]:
        """The nats of every draw, the point's own first."""
        return self.nats, *(nats for _, nats in self.redrawn)

    @property
    def mean(self) -> float:
        """Nats, of all draws."""
        return math.fsum(self.draws) / len(self.draws)


@dataclass(frozen=True, eq=False)
class Point:
    """One point of a curve, and all answers there; equal to itself only."""

    curve: Curve
    digest: str  # of the dense model's content
    sparsity: float  # as requested
    achieved_sparsity: float  # of the prunable set; of smaller shapes, of the units
    total_sparsity: float  # of all the dense model's parameters: zero, or removed
    answers: Answers
    option_tokens: tuple[tuple[int, ...], ...]  # question, option
    truncated: Bool[np.ndarray, " question"] | None  # lost sentences from the left;
    # None where that is read from files, which count them by class
    accuracies: tuple[Accuracy, ...]  # of each word class, and of all
    matrices: tuple[MatrixSparsity, ...] = ()  # the prunable ones; none of dense
    workload: Workload | None = None  # None where it is read from files
    texts: tuple[TextLoss, ...] = ()
    parameters: int | None = None  # zeros included; None in runs of older versions
    bytes: int | None = None  # that they take as they are loaded
    training_seconds: float | None = None  # None of one-shot

    @property
    def setup(self) -> Setup:
        return self.curve.setup

    @property
    def recipe(self) -> Recipe:
        return self.curve.recipe

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.answers.questions

    @property
    def pooled(self) -> Accuracy:
        """The answers to all questions."""
        return self.accuracies[-1]

    @property
    def accuracy(self) -> float:
        """The fraction of all questions that is answered right."""
        return self.pooled.accuracy

    @property
    def classes(self) -> tuple[str, ...]:
        """The word class of each question."""
        return tuple(map(attrgetter("word_class"), self.questions))

    @property
    def stories(self) -> int:
        """How many stories the questions come from; 0 where that is not known."""
        known = set(map(attrgetter("story"), self.questions))
        return 0 if "" in known else len(known)

    @property
    def split(self) -> str:
        """The split of the questions; several are joined by +."""
        return "+".join(dict.fromkeys(map(attrgetter("split"), self.questions)))

    def columns(self) -> dict[str, str | int | float | bool | None]:
        """What the point is, by the names that tables have for it."""
        training = self.curve.training
        return {
            "model": self.setup.model,
            "family": self.setup.family,
            "dtype": self.setup.dtype,
            "execution": self.curve.execution,
            **asdict(self.setup.presentation),
            **asdict(self.curve.recipe),
            "sparsity": self.sparsity,
            "achieved_sparsity": self.achieved_sparsity,
            "total_sparsity": self.total_sparsity,
            "finetuned": self.curve.finetuned,
            **(asdict(training) if training else dict.fromkeys(LEGAL, "")),
            "seed": self.curve.seed,
        }


def by_setup(points: Sequence[Point]) -> Iterator[tuple[Setup, list[Point]]]:
    """The points of each table, in the order of the run."""
    groups: dict[Setup, list[Point]] = {}
    for point in points:
        groups.setdefault(point.setup, []).append(point)
    yield from groups.items()


def by_curve(points: Sequence[Point]) -> Iterator[tuple[Curve, list[Point]]]:
    """The points of each line of a plot, sparsity ascending."""
    groups: dict[Curve, list[Point]] = {}
    for point in points:
        groups.setdefault(point.curve, []).append(point)
    for curve, members in groups.items():
        yield curve, sorted(members, key=lambda point: point.sparsity)


def dense_of(points: Sequence[Point], setup: Setup) -> Point | None:
    """The point of the unpruned, one-shot model, if it is among the points; that of a
    curve of dense execution where there is one."""
    found = [
        point
        for point in points
        if point.setup == setup and not point.sparsity and not point.curve.finetuned
    ]
    return min(found, key=lambda point: point.curve.execution != "dense", default=None)
