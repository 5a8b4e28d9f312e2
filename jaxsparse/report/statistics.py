"""All that a report says of its points: against dense, models against one another,
and what is right without a model. Computed once for all files."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from jaxsparse import cbt, stats
from jaxsparse.accuracy import POOLED
from jaxsparse.cbt import Question
from jaxsparse.points import Point, Setup, by_setup
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.report.labels import Labels
from jaxsparse.report.recovery import Recovery, recoveries
from jaxsparse.report.summary import (
    Comparison,
    Interval,
    Loss,
    Summary,
    compare,
    summarise,
)
from jaxsparse.types import Presentation


@dataclass(frozen=True)
class Baseline:
    """What choosing without a model gets right, by word class, and of all."""

    name: str
    accuracy: dict[str, float]
    interval: Interval | None  # Wilson, pooled; None where nothing was counted


@dataclass(frozen=True)
class Contest:
    """Two models at the same point, asked the same questions in the same way."""

    first: Point
    second: Point
    comparison: Comparison  # of the first against the second


@dataclass(frozen=True)
class Statistics:
    """All that a report says of its points; computed once for all its files."""

    points: tuple[Point, ...]
    margin: float | None  # a loss, as a fraction; it is said where more is excluded
    labels: Labels
    baselines: tuple[Baseline, ...]
    summaries: tuple[Summary, ...]  # one for each table
    contests: tuple[tuple[Contest, ...], ...]
    recoveries: tuple[Recovery, ...]  # none where all is one-shot

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.points[0].questions

    @property
    def losses(self) -> tuple[Loss, ...]:
        return tuple(loss for summary in self.summaries for loss in summary.losses)

    @cached_property
    def commonest(self) -> Baseline:
        """What a model that has learned the answers and no more would get right."""
        right = cbt.commonest_answer(self.questions)
        accuracy = _by_class(self.questions, lambda chosen: float(right[chosen].mean()))
        return Baseline("commonest answer", accuracy, None)


def statistics(
    points: Sequence[Point], margin: float | None = None, progress: Progress = NOBODY
) -> Statistics:
    """What the points show.

    Args:
        points: of the same questions in the same order.
        margin: a loss, as a fraction, of which it is said where more is excluded.
        progress: is told of each point.
    """
    progress.stage("statistics of the report", len(points), unit="points", patient=True)
    chosen_blindly = baselines(points[0].questions)
    chance = chosen_blindly[-1].accuracy[POOLED]
    summaries = []
    for setup, members in by_setup(points):
        summaries.append(summarise(setup, members, chance))
        progress.done(len(members))
    return Statistics(
        tuple(points),
        margin,
        Labels(points),
        chosen_blindly,
        tuple(summaries),
        contests(points),
        recoveries(points),
    )


def contests(points: Sequence[Point]) -> tuple[tuple[Contest, ...], ...]:
    """Every two models that were asked alike, at every point both have; dense once.

    Returns:
        the contests of each way of asking; Holm's correction is over all of one.
    """
    groups: dict[tuple, list[tuple[Point, Point]]] = {}
    places = {(point.setup, *_place(point)): point for point in points}
    setups = [setup for setup, _ in by_setup(points)]
    for first, second in itertools.combinations(setups, 2):
        if first.model == second.model or _how(first) != _how(second):
            continue
        groups.setdefault(_how(first), []).extend(
            (point, places[second, *place])
            for (setup, *place), point in places.items()
            if setup == first and (second, *place) in places
        )
    return tuple(
        tuple(
            Contest(*pair, compared)
            for pair, compared in zip(pairs, compare(pairs), strict=True)
        )
        for pairs in groups.values()
        if pairs
    )


def _how(setup: Setup) -> tuple[Presentation, str]:
    """How a model was asked, whichever it was."""
    return setup.presentation, setup.dtype


def _place(point: Point) -> tuple:
    """Where a point stands on its curve, and which curve that is; dense is on all."""
    curve = point.curve
    if not point.sparsity and not curve.finetuned:
        return None, None, "", 0.0
    return curve.recipe, curve.training, curve.execution, point.sparsity


def baselines(questions: Sequence[Question]) -> tuple[Baseline, ...]:
    """The most frequent option of the story, where there are stories; and chance."""
    frequent = cbt.frequency_prior(questions)
    prior = _by_class(questions, lambda chosen: float(frequent[chosen].mean()))
    chance = _by_class(
        questions, lambda chosen: cbt.chance([questions[n] for n in chosen.tolist()])
    )
    by_chance = Baseline("chance", chance, None)
    if not any(question.context for question in questions):
        return (by_chance,)
    low, high = stats.wilson(int(frequent.sum()), len(questions))
    interval = Interval(prior[POOLED], low, high)
    return Baseline("most frequent", prior, interval), by_chance


def _by_class(
    questions: Sequence[Question], of: Callable[[Int[np.ndarray, " n"]], float]
) -> dict[str, float]:
    """A figure of the questions of each word class, and of all."""
    classes = np.array([question.word_class for question in questions])
    return {
        word_class: of(np.flatnonzero((classes == word_class) | (word_class == POOLED)))
        for word_class in (*dict.fromkeys(classes.tolist()), POOLED)
    }
