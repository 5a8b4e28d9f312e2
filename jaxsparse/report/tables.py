"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jaxsparse.accuracy import POOLED
from jaxsparse.points import Curve, Point
from jaxsparse.report import (
    claims,
    costs,
    losses,
    original,
    reconstruction,
    sizes,
    trained,
)
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
from jaxsparse.report.recovery import mean, trainings_together
from jaxsparse.report.statistics import Baseline, Contest, Statistics
from jaxsparse.report.summary import Comparison, Standing, Summary

SEVERAL = "of a training by several seeds: the mean"


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
        *trained.overview(found),
        *costs.overview(found),
        *tables(found),
        *(_models_compared(group, found.labels) for group in found.contests),
        *original.tables(found.points, facts),
    )


def overview(found: Statistics) -> TextTable:
    """Every line of the plot as a row: pooled accuracy at each sparsity."""
    names: dict[Curve, str] = {}
    cells: dict[Point, str] = {}
    for curve, places, without in trainings_together(found.points):
        for first, *others in places:
            names[first.curve] = found.labels.curve(curve, "pattern", *without)
            cells[first] = percent(mean((first, *others)))
    table = grid(
        f"Accuracy at each sparsity, all {classes_of(found.questions)[1]} pooled",
        list(cells),
        names.__getitem__,
        cells.__getitem__,
        [SEVERAL] if len(cells) < len(found.points) else (),
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
        lambda curve: found.labels.curve(curve, "pattern"),
        lambda point: seconds(point.pooled.seconds),
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
