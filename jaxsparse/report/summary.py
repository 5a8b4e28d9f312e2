"""What the statistics say of a table: each point against dense, what its curves have
lost, and what so many questions can tell at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxsparse import stats
from jaxsparse.points import Curve, Point, Setup, by_curve, dense_of

ALPHA = 0.05


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One point against another, on the same questions."""

    difference: Interval  # its accuracy less the other's, Tango's score interval
    largest_loss: float  # by Tango's one-sided 95 % bound; a fraction, below 0 a gain
    changed: float  # share of questions that only one of the two gets right
    p: float  # exact McNemar
    adjusted: float  # the same, by Holm within the table

    @property
    def significant(self) -> bool:
        return self.adjusted < ALPHA

    @property
    def below(self) -> bool:
        """Whether it is significantly below the other."""
        return self.significant and self.difference.value < 0


@dataclass(frozen=True)
class Standing:
    """One point of a table."""

    point: Point
    class_mean: float
    class_mean_interval: tuple[float, float] | None  # stratified bootstrap
    versus_dense: Comparison | None  # None for dense itself


@dataclass(frozen=True)
class Loss:
    """What a curve has lost against dense, and what may be lost and not be seen.

    Where dense is not above chance, nothing can be lost; where no loss could be
    significant, none is found: then the rest says nothing.
    """

    curve: Curve
    dense: Point
    points: tuple[tuple[float, Comparison], ...]  # sparsity, ascending and above 0
    above_chance: bool  # whether dense is, by its interval
    could_be_significant: bool  # whether any loss could, with so many answers right
    undetected: float  # the largest sparsity up to which no loss is significant, or 0
    half: float | None  # where half of the dense accuracy above chance is gone
    chance: float  # a fraction

    @property
    def says_something(self) -> bool:
        return self.above_chance and self.could_be_significant

    @property
    def largest(self) -> float:
        """The largest sparsity asked for."""
        return self.points[-1][0]

    @property
    def hidden(self) -> float:
        """The largest loss that the intervals allow up to `undetected`, a fraction; 0
        where they exclude any."""
        lows = [
            comparison.difference.low
            for sparsity, comparison in self.points
            if sparsity <= self.undetected
        ]
        return max([0.0, *(-low for low in lows)])

    @property
    def first_detected(self) -> tuple[float, Comparison] | None:
        """The smallest sparsity at which a loss is significant."""
        return next((point for point in self.points if point[1].below), None)

    def excluded_up_to(self, margin: float) -> float:
        """The largest sparsity at which, and at every smaller one asked for, a loss of
        more than `margin`, a fraction, is excluded; 0 where there is none."""
        holds = [comparison.largest_loss <= margin for _, comparison in self.points]
        return stats.holds_up_to([at for at, _ in self.points], holds)


@dataclass(frozen=True)
class Summary:
    """One table: a model, asked one way, at every point."""

    setup: Setup
    rows: tuple[Standing, ...]  # dense once
    losses: tuple[Loss, ...]
    fewest: float  # the smallest loss that can be significant, a fraction
    changed: float  # the largest share of changed answers at a point
    # The smallest loss that is found 4 times in 5 where so many answers change, by the
    # strictest of Holm's steps, that for the smallest p.
    detectable: float | None


def summarise(setup: Setup, points: Sequence[Point], chance: float) -> Summary:
    """The statistics of one table; Holm's correction is over all its points.

    Args:
        points: those of the table, dense among them under every method.
        chance: what is right by chance, a fraction.
    """
    dense = dense_of(points, setup)
    pruned = [point for point in points if point.sparsity or point.curve.finetuned]
    compared = compare([(point, dense) for point in pruned]) if dense else ()
    by_point = dict(zip(pruned, compared, strict=bool(dense)))
    rows = tuple(
        Standing(
            point,
            *stats.class_mean_interval(point.answers.correct, point.classes),
            by_point.get(point),
        )
        for point in points
        if point is dense or point in pruned
    )
    questions = len(points[0].questions)
    changed = max((comparison.changed for comparison in compared), default=0.0)
    tests = {_test(point, dense) for point in pruned} if dense else pruned
    strictest = ALPHA / max(len(tests), 1)
    return Summary(
        setup=setup,
        rows=rows,
        losses=tuple(_losses(by_point, dense, strictest, chance)) if dense else (),
        fewest=stats.fewest_significant(ALPHA) / questions,
        changed=changed,
        detectable=stats.detectable_difference(questions, changed, strictest),
    )


def compare(pairs: Sequence[tuple[Point, Point]]) -> tuple[Comparison, ...]:
    """Each first against its second, corrected for the number of tests."""
    tests = [_test(*pair) for pair in pairs]
    p_values = {
        test: stats.mcnemar(first.answers.correct, second.answers.correct)
        for test, (first, second) in zip(tests, pairs, strict=True)
    }
    corrected = stats.holm(list(p_values.values()))
    adjusted = dict(zip(p_values, corrected, strict=True))
    return tuple(
        _comparison(*pair, p_values[test], adjusted[test])
        for test, pair in zip(tests, pairs, strict=True)
    )


def _test(first: Point, second: Point) -> tuple:
    """What is tested, by content: points that differ in execution alone, and get the
    same questions right, are one test."""
    return tuple(
        (
            replace(point.curve, execution="dense"),
            point.sparsity,
            point.answers.correct.tobytes(),
        )
        for point in (first, second)
    )


def _comparison(first: Point, second: Point, p: float, adjusted: float) -> Comparison:
    questions = len(first.answers.correct)
    gained = int(np.count_nonzero(first.answers.correct & ~second.answers.correct))
    lost = int(np.count_nonzero(second.answers.correct & ~first.answers.correct))
    low, high = stats.difference_interval(gained, lost, questions)
    return Comparison(
        difference=Interval((gained - lost) / questions, low, high),
        largest_loss=stats.largest_loss(gained, lost, questions, ALPHA),
        changed=(gained + lost) / questions,
        p=p,
        adjusted=adjusted,
    )


def _losses(
    compared: Mapping[Point, Comparison],
    dense: Point,
    strictest: float,
    chance: float,
) -> Iterator[Loss]:
    """For every curve, from dense on."""
    fewest = stats.fewest_significant(strictest)
    for curve, members in by_curve(list(compared)):
        pruned = [point for point in members if point.sparsity]
        if not pruned:
            continue
        sparsities = [point.sparsity for point in pruned]
        points = tuple((point.sparsity, compared[point]) for point in pruned)
        accuracies = [point.pooled.accuracy for point in (dense, *pruned)]
        yield Loss(
            curve=curve,
            dense=dense,
            points=points,
            above_chance=dense.pooled.ci_low > chance,
            could_be_significant=dense.pooled.correct >= fewest,
            undetected=stats.holds_up_to(
                sparsities, [not comparison.below for _, comparison in points]
            ),
            half=stats.half_life([0.0, *sparsities], accuracies, chance),
            chance=chance,
        )
