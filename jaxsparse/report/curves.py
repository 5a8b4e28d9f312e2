"""The lines of plots, from points: each way of pruning, word class by word class, and
one-shot against fine-tuned."""

from collections.abc import Sequence
from statistics import fmean

from jaxsparse.points import Point
from jaxsparse.report.grid import amount
from jaxsparse.report.labels import Labels
from jaxsparse.report.lines import Line
from jaxsparse.report.recovery import (
    Seeds,
    pruning_of,
    seeds_together,
    trainings_together,
)


def accuracy(points: Sequence[Point]) -> list[Line]:
    """The pooled accuracy: a panel for each model, a line for each curve; the seeds of
    a training are one."""
    labels = Labels(points)
    return [
        line(curve.setup.model, labels.line(curve, *without), labels, places)
        for curve, places, without in trainings_together(points)
    ]


def classes(points: Sequence[Point]) -> list[Line]:
    """A panel for each curve, a line for each word class."""
    labels = Labels(points)
    return [
        line(labels.curve(curve, *without), row.word_class, labels, places, at)
        for curve, places, without in trainings_together(points)
        for at, row in enumerate(places[0][0].accuracies[:-1])
    ]


def finetuned(points: Sequence[Point]) -> list[Line]:
    """One-shot against fine-tuned, of the curves that are there in both; maybe none. A
    panel for each way of pruning, in it a line for each training, by all seeds."""
    labels, curves = Labels(points), list(seeds_together(points))
    one_shot = {pruning_of(curve) for curve, _ in curves if not curve.training}
    trained = {pruning_of(curve) for curve, _ in curves if curve.training}
    titles = {curve.training.title for curve, _ in curves if curve.training}
    lines = []
    for curve, places in curves:
        if pruning_of(curve) in one_shot & trained:
            label = "fine-tuned" if curve.training else "one-shot"
            if curve.training and len(titles) > 1:
                label = f"fine-tuned: {curve.training.title}"
            panel = labels.curve(curve, "training", "seed")
            lines.append(line(panel, label, labels, places))
    return lines


def line(
    panel: str, label: str, labels: Labels, places: Sequence[Seeds], at: int = -1
) -> Line:
    """A line through points of one curve, or of several that differ in their seed.

    Args:
        places: the points at each sparsity: of several seeds their mean is drawn, from
            the lowest to the highest; of one, its Wilson interval.
        at: which of the word classes; -1: all.
    """
    members = [seeds[0] for seeds in places]
    rows, curve = [point.accuracies[at] for point in members], members[0].curve
    found = [[point.accuracies[at].accuracy for point in seeds] for seeds in places]
    ends = [
        (min(of), max(of)) if len(of) > 1 else (row.ci_low, row.ci_high)
        for of, row in zip(found, rows, strict=True)
    ]
    return Line(
        panel=panel,
        label=label,
        sparsities=tuple(point.sparsity for point in members),
        accuracy=tuple(map(fmean, found)),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        achieved=tuple(point.achieved_sparsity for point in members),
        correct=tuple(row.correct for row in rows),
        questions=rows[0].questions,
        seconds=tuple(
            fmean(point.accuracies[at].seconds for point in seeds) / rows[0].questions
            for seeds in places
        ),
        names=tuple(amount(point) if point.sparsity else "" for point in members),
        seeds=tuple(map(len, places)),
        address=(
            ("model", curve.setup.model), ("label", labels.line(curve)),
            ("class", rows[0].word_class), ("show", "all"),
        ),
    )  # fmt: skip


def are_of_seeds(lines: Sequence[Line]) -> bool:
    """Whether a point of one stands for several seeds."""
    return any(number > 1 for one in lines for number in one.seeds)
