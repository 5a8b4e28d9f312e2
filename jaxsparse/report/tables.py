"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterator, Sequence

from jaxsparse.report import claims
from jaxsparse.report.cells import (
    Table,
    holm,
    interval_of,
    method,
    percent,
    points,
    points_interval,
    span,
)
from jaxsparse.report.results import (
    POOLED,
    Labels,
    Result,
    by_asking,
    by_curve,
)
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


def overview(results: Sequence[Result]) -> Table:
    """Every line of the plot as a row: pooled accuracy at each sparsity."""
    sparsities = sorted({result.sparsity for result in results})
    labels = Labels(results)
    rows = []
    for curve, members in by_curve(results):
        at = {one.sparsity: percent(one.pooled.accuracy) for one in members}
        rows.append(
            (labels.curve(curve), *(at.get(sparsity, "") for sparsity in sparsities))
        )
    for baseline in baselines(results[0].questions):
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
        first = summary.rows[0].result
        classes = tuple(row.word_class for row in first.accuracies[:-1])
        columns = _columns(classes, labels, margin)
        yield Table(
            title=labels.asking(summary.asking),
            header=tuple(name for name, _ in columns),
            rows=(
                *(tuple(cell(row) for _, cell in columns) for row in summary.rows),
                *(_baseline_row(one, columns) for one in baselines(first.questions)),
            ),
            notes=tuple(_notes(first, summary, labels, margin)),
        )


def all_tables(
    results: Sequence[Result], margin: float | None = None
) -> tuple[Table, ...]:
    """Those of report.md and of the page, in order.

    Args:
        margin: a loss, as a fraction, of which it is said where more is excluded.
    """
    labels, summaries = Labels(results), summaries_of(results)
    pruned = any(one.losses for one in summaries)
    return (
        overview(results),
        *([costs(summaries, labels, margin)] if pruned else []),
        *tables(summaries, labels, margin),
        *(of_models(group, labels) for group in contests(results)),
        original(results),
    )


def findings(results: Sequence[Result], margin: float | None = None) -> tuple[str, ...]:
    """What the results show, in sentences: first in short, then curve by curve."""
    return claims.findings(summaries_of(results), Labels(results), margin)


def summaries_of(results: Sequence[Result]) -> list[Summary]:
    """The statistics of every table."""
    return [summarise(asking, members) for asking, members in by_asking(results)]


def original(results: Sequence[Result]) -> Table:
    """The layout of the original experiments: a block for each model, a row for each
    sparsity, the runtime beside the accuracy."""
    labels = Labels(results)
    curves = dict(by_curve(results))
    lines = list(dict.fromkeys(labels.line(curve) for curve in curves))
    rows = []
    for model in dict.fromkeys(curve.asking.model for curve in curves):
        cells = {
            (labels.line(curve), one.sparsity): one
            for curve, members in curves.items()
            for one in members
            if curve.asking.model == model
        }
        for number, sparsity in enumerate(sorted({sparsity for _, sparsity in cells})):
            row = [model if number == 0 else "", f"{100 * sparsity:g} %"]
            for line in lines:
                result = cells.get((line, sparsity))
                row += _accuracy_and_runtime(result)
            rows.append(tuple(row))
    columns = [f"{line}{what}" for line in lines for what in (", %", ", runtime")]
    return Table(
        title="In the layout of the original experiments",
        header=("model", "sparsity", *columns),
        rows=tuple(rows),
        notes=("runtime: of scoring, without loading, pruning and compilation.",),
    )


def _accuracy_and_runtime(result: Result | None) -> tuple[str, str]:
    if result is None:
        return "", ""
    return percent(result.pooled.accuracy), f"{result.pooled.seconds:.1f} s"


Column = tuple[str, Callable[[Row], str]]


def _columns(
    classes: Sequence[str], labels: Labels, margin: float | None
) -> list[Column]:
    """Every column of a table of points: its name, and its cell of a row."""

    def of_class(at: int) -> Callable[[Row], str]:
        return lambda row: percent(row.result.accuracies[at].accuracy)

    bound = ("loss at most", _compared(lambda one: percent(max(one.largest_loss, 0.0))))
    return [
        ("method", lambda row: method(row.result, labels)),
        ("sparsity", lambda row: f"{row.result.sparsity:g}"),
        (POOLED, of_class(-1)),
        (
            "95 % CI",
            lambda row: span(row.result.pooled.ci_low, row.result.pooled.ci_high),
        ),
        (
            "stories CI",
            lambda row: span(
                row.result.pooled.cluster_low, row.result.pooled.cluster_high
            ),
        ),
        ("difference", _compared(lambda one: points(one.difference.value))),
        ("difference CI", _compared(lambda one: points_interval(one.difference))),
        ("p Holm", _compared(holm)),
        *([] if margin is None else [bound]),
        *((name, of_class(at)) for at, name in enumerate(classes)),
        ("class mean", lambda row: percent(row.class_mean)),
        (
            "class mean CI",
            lambda row: span(*(row.class_mean_interval or (None, None))),
        ),
        ("p", _compared(lambda one: f"{one.p:.2g}")),
        ("achieved", lambda row: f"{row.result.achieved_sparsity:.4f}"),
        ("total", lambda row: f"{row.result.total_sparsity:.4f}"),
        ("ties", lambda row: f"{row.result.pooled.ties}"),
        ("seconds", lambda row: f"{row.result.pooled.seconds:.1f}"),
    ]


def _compared(cell: Callable[[Comparison], str]) -> Callable[[Row], str]:
    return lambda row: cell(row.versus_dense) if row.versus_dense else ""


def _baseline_row(baseline: Baseline, columns: Sequence[Column]) -> tuple[str, ...]:
    cells = {name: percent(value) for name, value in baseline.accuracy.items()}
    if baseline.interval:
        cells["95 % CI"] = interval_of(baseline.interval)
    return (baseline.name, *(cells.get(name, "") for name, _ in columns[1:]))


def _notes(
    first: Result, summary: Summary, labels: Labels, margin: float | None
) -> Iterator[str]:
    pooled, asking = first.pooled, first.asking
    recipes = [row.result.curve.recipe for row in summary.rows]
    scopes = ", ".join(dict.fromkeys(recipe.scope for recipe in recipes))
    prunable = ", ".join(dict.fromkeys(recipe.prunable for recipe in recipes))
    stories = ""
    if first.stories:
        stories = (
            f" from {first.stories} {'story' if first.stories == 1 else 'stories'}"
        )
    yield (
        f"{pooled.questions} questions{stories}, {pooled.truncated} with sentences "
        f"dropped to fit; {asking.family}, {asking.dtype}, scope {scopes}, prunable "
        f"{prunable}"
    )
    if zeros := claims.of_zeros(summary):
        yield zeros
    for loss in summary.losses:
        yield f"{labels.method(loss.curve)}: {claims.of_loss(loss, margin)}"
    yield claims.of_power(summary)
