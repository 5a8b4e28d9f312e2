"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterator, Sequence

from jaxsparse.accuracy import POOLED
from jaxsparse.points import Point, by_curve, by_setup
from jaxsparse.report import claims
from jaxsparse.report.cells import (
    Table,
    holm,
    interval_of,
    method,
    percent,
    signed,
    signed_interval,
    span,
)
from jaxsparse.report.labels import Labels
from jaxsparse.report.summary import (
    Baseline,
    Comparison,
    Row,
    Summary,
    baselines,
    contests,
    summarise,
)
from jaxsparse.report.verdicts import costs, of_models


def overview(points: Sequence[Point]) -> Table:
    """Every line of the plot as a row: pooled accuracy at each sparsity."""
    sparsities = sorted({point.sparsity for point in points})
    labels = Labels(points)
    rows = []
    for curve, members in by_curve(points):
        at = {one.sparsity: percent(one.pooled.accuracy) for one in members}
        rows.append(
            (labels.curve(curve), *(at.get(sparsity, "") for sparsity in sparsities))
        )
    for baseline in baselines(points[0].questions):
        said = percent(baseline.accuracy[POOLED])
        rows.append((baseline.name, *([said] * len(sparsities))))
    return Table(
        title="Accuracy at each sparsity, all word classes pooled",
        header=("", *(f"{sparsity:g}" for sparsity in sparsities)),
        rows=tuple(rows),
        notes=(),
    )


def tables(
    summaries: Sequence[Summary], labels: Labels, margin: float | None = None
) -> Iterator[Table]:
    """One for each model and way of asking, in the order of the run."""
    for summary in summaries:
        first = summary.rows[0].point
        classes = tuple(row.word_class for row in first.accuracies[:-1])
        columns = _columns(classes, labels, margin)
        yield Table(
            title=labels.setup(summary.setup),
            header=tuple(name for name, _ in columns),
            rows=(
                *(tuple(cell(row) for _, cell in columns) for row in summary.rows),
                *(_baseline_row(one, columns) for one in baselines(first.questions)),
            ),
            notes=tuple(_notes(first, summary, labels, margin)),
        )


def all_tables(
    points: Sequence[Point], margin: float | None = None
) -> tuple[Table, ...]:
    """Those of report.md and of the page, in order.

    Args:
        margin: a loss, as a fraction, of which it is said where more is excluded.
    """
    labels, summaries = Labels(points), summaries_of(points)
    pruned = any(one.losses for one in summaries)
    return (
        overview(points),
        *([costs(summaries, labels, margin)] if pruned else []),
        *tables(summaries, labels, margin),
        *(of_models(group, labels) for group in contests(points)),
        original(points),
    )


def findings(points: Sequence[Point], margin: float | None = None) -> tuple[str, ...]:
    """What the results show, in sentences: first in short, then curve by curve."""
    return claims.findings(summaries_of(points), Labels(points), margin)


def summaries_of(points: Sequence[Point]) -> list[Summary]:
    """The statistics of every table."""
    return [summarise(setup, members) for setup, members in by_setup(points)]


def original(points: Sequence[Point]) -> Table:
    """The layout of the original experiments: a block for each model, a row for each
    sparsity, the runtime beside the accuracy."""
    labels = Labels(points)
    curves = dict(by_curve(points))
    lines = list(dict.fromkeys(labels.line(curve) for curve in curves))
    rows = []
    for model in dict.fromkeys(curve.setup.model for curve in curves):
        cells = {
            (labels.line(curve), one.sparsity): one
            for curve, members in curves.items()
            for one in members
            if curve.setup.model == model
        }
        for number, sparsity in enumerate(sorted({sparsity for _, sparsity in cells})):
            row = [model if number == 0 else "", f"{100 * sparsity:g} %"]
            for line in lines:
                point = cells.get((line, sparsity))
                row += _accuracy_and_runtime(point)
            rows.append(tuple(row))
    columns = [f"{line}{what}" for line in lines for what in (", %", ", runtime")]
    return Table(
        title="In the layout of the original experiments",
        header=("model", "sparsity", *columns),
        rows=tuple(rows),
        notes=("runtime: of scoring, without loading, pruning and compilation.",),
    )


def _accuracy_and_runtime(point: Point | None) -> tuple[str, str]:
    if point is None:
        return "", ""
    return percent(point.pooled.accuracy), f"{point.pooled.seconds:.1f} s"


Column = tuple[str, Callable[[Row], str]]


def _columns(
    classes: Sequence[str], labels: Labels, margin: float | None
) -> list[Column]:
    """Every column of a table of points: its name, and its cell of a row."""

    def of_class(at: int) -> Callable[[Row], str]:
        return lambda row: percent(row.point.accuracies[at].accuracy)

    bound = ("loss at most", _compared(lambda one: percent(max(one.largest_loss, 0.0))))
    return [
        ("method", lambda row: method(row.point, labels)),
        ("sparsity", lambda row: f"{row.point.sparsity:g}"),
        (POOLED, of_class(-1)),
        (
            "95 % CI",
            lambda row: span(row.point.pooled.ci_low, row.point.pooled.ci_high),
        ),
        (
            "stories CI",
            lambda row: span(
                row.point.pooled.cluster_low, row.point.pooled.cluster_high
            ),
        ),
        ("difference", _compared(lambda one: signed(one.difference.value))),
        ("difference CI", _compared(lambda one: signed_interval(one.difference))),
        ("p Holm", _compared(holm)),
        *([] if margin is None else [bound]),
        *((name, of_class(at)) for at, name in enumerate(classes)),
        ("class mean", lambda row: percent(row.class_mean)),
        (
            "class mean CI",
            lambda row: span(*(row.class_mean_interval or (None, None))),
        ),
        ("p", _compared(lambda one: f"{one.p:.2g}")),
        ("achieved", lambda row: f"{row.point.achieved_sparsity:.4f}"),
        ("total", lambda row: f"{row.point.total_sparsity:.4f}"),
        ("ties", lambda row: f"{row.point.pooled.ties}"),
        ("seconds", lambda row: f"{row.point.pooled.seconds:.1f}"),
    ]


def _compared(cell: Callable[[Comparison], str]) -> Callable[[Row], str]:
    return lambda row: cell(row.versus_dense) if row.versus_dense else ""


def _baseline_row(baseline: Baseline, columns: Sequence[Column]) -> tuple[str, ...]:
    cells = {name: percent(value) for name, value in baseline.accuracy.items()}
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
    stories = ""
    if first.stories:
        stories = (
            f" from {first.stories} {'story' if first.stories == 1 else 'stories'}"
        )
    yield (
        f"{pooled.questions} questions{stories}, {pooled.truncated} with sentences "
        f"dropped to fit; {setup.family}, {setup.dtype}, scope {scopes}, prunable "
        f"{prunable}"
    )
    if zeros := claims.of_zeros(summary):
        yield zeros
    for loss in summary.losses:
        yield f"{labels.method(loss.curve)}: {claims.of_loss(loss, margin)}"
    yield claims.of_power(summary)
