"""What the statistics say of a table: each point against dense, baselines, what is kept
for free, and what so many questions can tell at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxsparse import cbt, stats
from jaxsparse.cbt import Question
from jaxsparse.report.results import POOLED, Asking, Curve, Result, by_curve, dense_of

ALPHA = 0.05


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A point against dense, on the same questions."""

    difference: Interval  # accuracy less dense accuracy, paired bootstrap
    changed: float  # share of questions that only one of the two gets right
    p: float  # exact McNemar
    adjusted: float  # the same, by Holm within the table

    @property
    def below(self) -> bool:
        """Whether it is significantly below dense."""
        return self.adjusted < ALPHA and self.difference.value < 0


@dataclass(frozen=True)
class Row:
    """One point of a table."""

    result: Result
    class_mean: Interval  # stratified bootstrap
    versus_dense: Comparison | None  # None for dense itself


@dataclass(frozen=True)
class Kept:
    """What one method leaves of a model; sparsities.

    Where dense is not above chance, nothing can be lost, and the rest says nothing.
    """

    curve: Curve
    above_chance: bool  # whether dense is, by its interval
    free: float  # the largest not significantly below dense, nor any before it
    largest: float  # that was asked for
    half: float | None  # where half of the dense accuracy above chance is gone


@dataclass(frozen=True)
class Baseline:
    """What choosing without a model gets right, by word class, and of all."""

    name: str
    accuracy: dict[str, float]
    interval: Interval | None  # Wilson, pooled; None where nothing was counted


@dataclass(frozen=True)
class Summary:
    """One table: a model, asked one way, at every point."""

    asking: Asking
    rows: tuple[Row, ...]  # dense once
    kept: tuple[Kept, ...]
    fewest: float  # the smallest loss that can be significant, a fraction
    changed: float  # the largest share of changed answers at a point
    # The smallest loss that is found 4 times in 5 where so many answers change, by the
    # strictest of Holm's steps, that for the smallest p.
    detectable: float | None


def summarise(asking: Asking, results: Sequence[Result]) -> Summary:
    """The statistics of one table; Holm's correction is over all its points.

    Args:
        results: its points, dense among them under every method.
    """
    dense = dense_of(results, asking)
    points = [one for one in results if one.sparsity or one.curve.finetuned]
    compared = _compare(points, dense) if dense else {}
    rows = tuple(
        Row(
            one,
            Interval(*stats.class_mean_interval(one.correct, one.classes)),
            compared.get(one),
        )
        for one in results
        if one is dense or one in points
    )
    questions = len(results[0].questions)
    changed = max((one.changed for one in compared.values()), default=0.0)
    return Summary(
        asking=asking,
        rows=rows,
        kept=tuple(_kept(points, dense, compared)) if dense else (),
        fewest=stats.fewest_significant(ALPHA) / questions,
        changed=changed,
        detectable=stats.detectable_difference(
            questions, changed, ALPHA / max(len(points), 1)
        ),
    )


def _compare(points: Sequence[Result], dense: Result) -> dict[Result, Comparison]:
    p_values = [stats.mcnemar(one.correct, dense.correct) for one in points]
    return {
        one: Comparison(
            Interval(*stats.paired_difference(one.correct, dense.correct, one.classes)),
            float(np.mean(one.correct != dense.correct)),
            p,
            adjusted,
        )
        for one, p, adjusted in zip(points, p_values, stats.holm(p_values), strict=True)
    }


def _kept(
    points: Sequence[Result], dense: Result, compared: dict[Result, Comparison]
) -> Iterator[Kept]:
    """For every curve, from dense on."""
    chance = cbt.chance(dense.questions)
    for curve, members in by_curve(points):
        pruned = [one for one in members if one.sparsity]
        if not pruned:
            continue
        sparsities = [one.sparsity for one in pruned]
        accuracies = [one.pooled.accuracy for one in (dense, *pruned)]
        below = [compared[one].below for one in pruned]
        yield Kept(
            curve,
            dense.pooled.ci_low > chance,
            stats.kept_for_free(sparsities, below),
            sparsities[-1],
            stats.half_life([0.0, *sparsities], accuracies, chance),
        )


def baselines(questions: Sequence[Question]) -> tuple[Baseline, ...]:
    """The most frequent option of the story, and chance."""
    frequent = cbt.frequency_prior(questions)
    classes = np.array([question.word_class for question in questions])
    prior, chance = {}, {}
    for word_class in (*dict.fromkeys(classes.tolist()), POOLED):
        chosen = np.flatnonzero((classes == word_class) | (word_class == POOLED))
        prior[word_class] = float(frequent[chosen].mean())
        chance[word_class] = cbt.chance([questions[n] for n in chosen.tolist()])
    low, high = stats.wilson(int(frequent.sum()), len(questions))
    return (
        Baseline("most frequent", prior, Interval(prior[POOLED], low, high)),
        Baseline("chance", chance, None),
    )
