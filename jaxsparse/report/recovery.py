"""What training won back: the seeds of a training together, against the one-shot points
that they were trained from."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean

import numpy as np

from jaxsparse import stats
from jaxsparse.points import Curve, Point, by_curve, dense_of
from jaxsparse.report.summary import ALPHA

Seeds = tuple[Point, ...]  # points that differ in their seed alone
LEAST_LOSS = 0.01  # of accuracy


@dataclass(frozen=True)
class Recovery:
    """A training at one sparsity, by all its seeds."""

    tuned: Seeds
    one_shot: Seeds  # what they were trained from, or dense at sparsity 0; maybe none
    dense: Point | None
    # Exact McNemar against one-shot: the largest of the seeds, so that it holds for
    # each of them; 1 where they differ in direction. None where one has no one-shot.
    p: float | None
    adjusted: float | None  # the same, by Holm among all recoveries of a report

    @property
    def first(self) -> Point:
        return self.tuned[0]

    @property
    def gain(self) -> float | None:
        """Of accuracy over one-shot, means of all seeds; a fraction."""
        if not self.one_shot:
            return None
        return mean(self.tuned) - mean(self.one_shot)

    @property
    def won_back(self) -> float | None:
        """The share of what one-shot lost against dense; None at sparsity 0, and where
        less than LEAST_LOSS was lost, of which a share says nothing."""
        if not self.one_shot or not self.dense or not self.first.sparsity:
            return None
        lost = self.dense.accuracy - mean(self.one_shot)
        return (
            None if self.gain is None or lost < LEAST_LOSS - 1e-9 else self.gain / lost
        )

    @property
    def significant(self) -> bool:
        return self.adjusted is not None and self.adjusted < ALPHA

    @property
    def seconds(self) -> float | None:
        """That training took, the mean of the seeds of which that is known."""
        known = [
            p.training_seconds for p in self.tuned if p.training_seconds is not None
        ]
        return fmean(known) if known else None


def mean(points: Seeds) -> float:
    """Their accuracy, a fraction."""
    return fmean(point.accuracy for point in points)


def pruning_of(curve: Curve) -> tuple:
    """What a curve shares with those that differ in seed and training alone."""
    recipe = {**asdict(curve.recipe), "seed": None}
    return curve.setup, tuple(recipe.items()), curve.execution


def seeds_together(points: Sequence[Point]) -> Iterator[tuple[Curve, list[Seeds]]]:
    """Curves that differ in their seed alone are one: the first of them, and the points
    of all at each sparsity, ascending."""
    found: dict[tuple, list[Curve]] = {}
    members = dict(by_curve(points))
    for curve in members:
        title = curve.training and curve.training.title
        found.setdefault((pruning_of(curve), title), []).append(curve)
    for curves in found.values():
        places: dict[float, list[Point]] = {}
        for point in (point for curve in curves for point in members[curve]):
            places.setdefault(point.sparsity, []).append(point)
        yield curves[0], [tuple(places[sparsity]) for sparsity in sorted(places)]


def trainings_together(
    points: Sequence[Point],
) -> Iterator[tuple[Curve, list[Seeds], tuple[str, ...]]]:
    """Curves for people: one-shot ones as they are, then trainings with their seeds as
    one; and what the label of each leaves out, see `Labels.method`."""
    for curve, members in by_curve([p for p in points if not p.curve.finetuned]):
        yield curve, [(point,) for point in members], ()
    for curve, places in seeds_together([p for p in points if p.curve.finetuned]):
        several = any(len(seeds) > 1 for seeds in places)
        yield curve, places, ("seed",) if several else ()


def recoveries(points: Sequence[Point]) -> tuple[Recovery, ...]:
    """Every training at every sparsity; none where all is one-shot."""
    one_shot: dict[tuple, list[Point]] = {}
    for point in points:
        if not point.curve.finetuned:
            place = pruning_of(point.curve), point.sparsity
            one_shot.setdefault(place, []).append(point)
    found = []
    for curve, places in seeds_together([p for p in points if p.curve.finetuned]):
        dense = dense_of(points, curve.setup)
        for tuned in places:
            place = pruning_of(curve), tuned[0].sparsity
            origins = [
                _origin(point, one_shot.get(place, []), dense) for point in tuned
            ]
            found.append(_recovery(tuned, origins, dense))
    tested = [at for at, recovery in enumerate(found) if recovery.p is not None]
    adjusted = stats.holm([found[at].p for at in tested])
    for at, corrected in zip(tested, adjusted, strict=True):
        found[at] = replace(found[at], adjusted=float(corrected))
    return tuple(found)


def _origin(
    tuned: Point, one_shot: Sequence[Point], dense: Point | None
) -> Point | None:
    """What a point was trained from: where the method draws, by the same seed."""
    if not tuned.sparsity:
        return dense
    if len(one_shot) == 1:
        return one_shot[0]
    same = (other for other in one_shot if other.recipe.seed == tuned.recipe.seed)
    return next(same, None)


def _recovery(
    tuned: Seeds, origins: Sequence[Point | None], dense: Point | None
) -> Recovery:
    known = [origin for origin in origins if origin is not None]
    p = None
    if len(known) == len(tuned):
        right = [point.answers.correct for point in tuned]
        before = [origin.answers.correct for origin in known]
        pairs = list(zip(right, before, strict=True))
        directions = {int(np.sign(a.sum() - b.sum())) for a, b in pairs}
        p = max(stats.mcnemar(a, b) for a, b in pairs) if len(directions) == 1 else 1.0
    return Recovery(tuned, tuple(dict.fromkeys(known)), dense, p, None)
