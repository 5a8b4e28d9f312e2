"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jaxsparse.accuracy import POOLED
from jaxsparse.points import Point
from jaxsparse.report import claims, losses, original, reconstruction, sizes
from jaxsparse.report.cells import (
    EXPLAINED,
    TextTable,
    holm,
    interval_of,
    method,
    percent,
    seconds,
    signed,
    signed_interval,
    span,
)
from jaxsparse.report.grid import grid
from jaxsparse.report.labels import Labels, classes_of, is_task
from jaxsparse.report.statistics import Baseline, Contest, Statistics
from jaxsparse.report.summary import ALPHA, Comparison, Loss, Standing, Summary


def all_tables(
    found: Statistics, facts: Sequence[Mapping[str, Any]] = ()
) -> tuple[TextTable, ...]:
    """Those of report.md and of the page, in order.

    Args:
        facts: the run.json of every run.
    """
    return (
        overview(found),
        *losses.overview(found.points, found.labels),
        *reconstruction.overview(found.points, found.labels),
        *sizes.overview(found.points, found.labels),
        *([costs(found)] if found.losses else []),
        *tables(found),
        *(_models_compared(group, found.labels) for group in found.contests),
        *original.tables(found.points, facts),
    )


def overview(found: Statistics) -> TextTable:
    """Every line of the plot as a row: pooled accuracy at each sparsity."""
    table = grid(
        f"Accuracy at each sparsity, all {classes_of(found.questions)[1]} pooled",
        found.points,
        lambda curve: found.labels.curve(curve, pattern=False),
        lambda point: percent(point.accuracy),
    )
    columns = len(table.header) - 1
    levels = (
        (level.name, *[percent(level.accuracy[POOLED])] * columns)
        for level in found.baselines
    )
    return replace(table, rows=(*table.rows, *levels))


def times(found: Statistics) -> TextTable:
    """The same rows: the seconds that scoring took."""
    return grid(
        "Seconds of scoring at each sparsity",
        found.points,
        lambda curve: found.labels.curve(curve, pattern=False),
        lambda point: seconds(point.pooled.seconds),
    )


def costs(found: Statistics) -> TextTable:
    """What pruning costs each curve, as far as the data can tell."""
    margin = found.margin
    within = () if margin is None else (f"{100 * margin:g} excluded up to",)
    return TextTable(
        title="What pruning costs",
        header=(
            "", "no loss detected up to", "possible loss there", "loss detected at",
            "half gone at", *within, "80 % power from",
        ),
        rows=tuple(
            (found.labels.curve(loss.curve), *_cost_cells(loss, summary, margin))
            for summary in found.summaries
            for loss in summary.losses
        ),
        notes=tuple(_cost_notes(margin)),
    )  # fmt: skip


def _cost_notes(margin: float | None) -> Iterator[str]:
    yield (
        "no loss detected up to: the largest sparsity at which, and at every smaller "
        "one asked for, the accuracy is not significantly below dense (p Holm < "
        f"{ALPHA:g}). This is no proof that nothing is lost: possible loss there is "
        "the largest that the 95 % intervals of the difference still allow up to that "
        "sparsity, in points."
    )
    if margin is not None:
        yield (
            f"{100 * margin:g} excluded up to: the largest sparsity at which, and at "
            f"every smaller one asked for, a loss of more than {100 * margin:g} points "
            "is excluded by Tango's one-sided 95 % bound."
        )
    yield (
        "half gone at: where half of dense's accuracy above chance is gone, "
        "interpolated between the points. 80 % power from: the loss in points that has "
        "an 80 % probability to be found significant, where as many questions go from "
        "right to wrong or back as at most in the table."
    )
    yield (
        "not above chance: the interval of dense reaches down to chance, or below, so "
        "that nothing is claimed. too few: dense gets so few questions right that no "
        "loss could be significant."
    )


def _cost_cells(loss: Loss, summary: Summary, margin: float | None) -> tuple[str, ...]:
    blank = ("",) * (4 if margin is None else 5)
    if not loss.above_chance:
        return "not above chance", *blank
    if not loss.could_be_significant:
        return "too few", *blank
    excluded = 0.0 if margin is None else loss.excluded_up_to(margin)
    return (
        f"{loss.undetected:g}" if loss.undetected else "none",
        percent(loss.hidden) if loss.undetected else "",
        f"{loss.first_detected[0]:g}" if loss.first_detected else "none",
        f"{loss.half:.2f}" if loss.half is not None else "none",
        *(() if margin is None else (f"{excluded:g}" if excluded else "none",)),
        "none" if summary.detectable is None else percent(summary.detectable),
    )


def tables(found: Statistics) -> Iterator[TextTable]:
    """One for each model and presentation, in the order of the run."""
    for summary in found.summaries:
        first = summary.rows[0].point
        columns = _columns(summary, found.labels, found.margin)
        yield TextTable(
            title=found.labels.setup(summary.setup),
            header=tuple(name for name, _ in columns),
            rows=(
                *(tuple(cell(row) for _, cell in columns) for row in summary.rows),
                *(
                    _baseline_row(baseline, columns, first)
                    for baseline in found.baselines
                ),
            ),
            notes=tuple(_notes(first, summary, found.labels, found.margin)),
        )


def _models_compared(group: Sequence[Contest], labels: Labels) -> TextTable:
    """Every two models that were asked alike, at every point that both have."""
    setup = group[0].first.setup
    return TextTable(
        title=f"Models compared · {labels.presentation(setup)}",
        header=(
            "model", "minus", "method", "sparsity", "difference", "difference CI",
            "changed", "p", "p Holm",
        ),
        rows=tuple(
            (
                contest.first.setup.model,
                contest.second.setup.model,
                method(contest.first, labels),
                f"{contest.first.sparsity:g}",
                signed(contest.comparison.difference.value),
                signed_interval(contest.comparison.difference),
                percent(contest.comparison.changed),
                f"{contest.comparison.p:.2g}",
                holm(contest.comparison),
            )
            for contest in group
        ),
        notes=(
            "difference: the first model's accuracy less the second's in points, both "
            "on the same questions and pruned alike.",
        ),
    )  # fmt: skip


Column = tuple[str, Callable[[Standing], str]]
RESERVED = {*EXPLAINED, "method", "group"}


def _columns(summary: Summary, labels: Labels, margin: float | None) -> list[Column]:
    """Every column of a table of points: its name, and its cell of a row."""
    points = [row.point for row in summary.rows]

    def of_class(at: int) -> Callable[[Standing], str]:
        return lambda row: percent(row.point.accuracies[at].accuracy)

    bound = (
        "loss at most",
        _compared(lambda comparison: percent(max(comparison.largest_loss, 0.0))),
    )
    return [
        ("method", lambda row: method(row.point, labels)),
        ("sparsity", lambda row: f"{row.point.sparsity:g}"),
        (POOLED, of_class(-1)),
        (
            "95 % CI",
            lambda row: span(row.point.pooled.ci_low, row.point.pooled.ci_high),
        ),
        *(
            (name, lambda row, cell=cell: cell(row.point))
            for name, cell in losses.columns(points)
        ),
        (
            "stories CI",
            lambda row: span(
                row.point.pooled.cluster_low, row.point.pooled.cluster_high
            ),
        ),
        (
            "difference",
            _compared(lambda comparison: signed(comparison.difference.value)),
        ),
        (
            "difference CI",
            _compared(lambda comparison: signed_interval(comparison.difference)),
        ),
        ("p Holm", _compared(holm)),
        *([] if margin is None else [bound]),
        *(
            (name, of_class(at))
            for at, name in enumerate(_class_columns(points[0]).values())
        ),
        ("class mean", lambda row: percent(row.class_mean)),
        (
            "class mean CI",
            lambda row: span(*(row.class_mean_interval or (None, None))),
        ),
        ("p", _compared(lambda comparison: f"{comparison.p:.2g}")),
        ("achieved", lambda row: f"{row.point.achieved_sparsity:.4f}"),
        ("total", lambda row: f"{row.point.total_sparsity:.4f}"),
        ("ties", lambda row: f"{row.point.pooled.ties}"),
        ("seconds", lambda row: f"{row.point.pooled.seconds:.1f}"),
    ]


def _compared(cell: Callable[[Comparison], str]) -> Callable[[Standing], str]:
    return lambda row: cell(row.versus_dense) if row.versus_dense else ""


def _class_columns(first: Point) -> dict[str, str]:
    """The column of each word class. A group of a task may have any name: one that
    means something else in a table says what it is."""
    task = is_task(first.questions)
    return {
        name: f"group {name}" if task and name in RESERVED else name
        for name in (row.word_class for row in first.accuracies[:-1])
    }


def _baseline_row(
    baseline: Baseline, columns: Sequence[Column], first: Point
) -> tuple[str, ...]:
    headings = {**_class_columns(first), POOLED: POOLED}
    cells = {headings[name]: percent(of) for name, of in baseline.accuracy.items()}
    if baseline.interval:
        cells["95 % CI"] = interval_of(baseline.interval)
    return (baseline.name, *(cells.get(name, "") for name, _ in columns[1:]))


def _notes(
    first: Point, summary: Summary, labels: Labels, margin: float | None
) -> Iterator[str]:
    pooled, setup = first.pooled, first.setup
    recipes = [row.point.curve.recipe for row in summary.rows]
    scopes = ", ".join(dict.fromkeys(recipe.scope for recipe in recipes))
    prunable = ", ".join(dict.fromkeys(recipe.prunable for recipe in recipes))
    executions = dict.fromkeys(row.point.curve.execution for row in summary.rows)
    execution = (
        "" if [*executions] == ["dense"] else f", execution {', '.join(executions)}"
    )
    stories = ""
    if first.stories:
        stories = (
            f" from {first.stories} {'story' if first.stories == 1 else 'stories'}"
        )
    yield (
        f"{pooled.questions} questions{stories}, {pooled.truncated} with sentences "
        f"dropped to fit; {setup.family}, {setup.dtype}, scope {scopes}, prunable "
        f"{prunable}{execution}"
    )
    yield from losses.numbers([row.point for row in summary.rows])
    if zeros := claims.of_zeros(summary):
        yield zeros
    for loss in summary.losses:
        yield f"{labels.method(loss.curve)}: {claims.of_loss(loss, margin)}"
    yield claims.of_power(summary)
