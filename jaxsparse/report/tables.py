"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from jaxsparse.report.results import (
    POOLED,
    Labels,
    Result,
    by_asking,
    by_curve,
)
from jaxsparse.report.summary import (
    ALPHA,
    Baseline,
    Comparison,
    Interval,
    Kept,
    Row,
    Summary,
    baselines,
    summarise,
)

# What each column holds, by its name.
EXPLAINED = {
    "sparsity": "as requested",
    "achieved": "sparsity of the prunable weights",
    "total": "sparsity of all parameters",
    POOLED: "accuracy in percent over all questions, of each class beside it",
    "95 % CI": "Wilson's interval of it",
    "class mean": "mean over classes, each weighing the same",
    "class mean CI": "its stratified bootstrap interval",
    "difference": "from dense in points, on the same questions",
    "difference CI": "its paired bootstrap interval",
    "p": "exact McNemar against dense",
    "p Holm": f"McNemar's p corrected for all points of the table, * below {ALPHA:g}",
    "ties": "questions whose best score two options share (the first is taken)",
    "seconds": "of scoring",
    "most frequent": "the option that the story holds most often",
}


def legend(columns: Iterable[str]) -> str:
    """What the columns of tables hold, and the baselines in them."""
    named = [*dict.fromkeys(columns), "most frequent"]
    said = [f"{name}: {EXPLAINED[name]}" for name in named if name in EXPLAINED]
    return f"{'; '.join(said)}."


@dataclass(frozen=True)
class Table:
    """One table for people; the first column is text, the others mostly numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def overview(results: Sequence[Result]) -> Table:
    """Every line of the plot as a row: pooled accuracy at each sparsity."""
    sparsities = sorted({result.sparsity for result in results})
    labels = Labels(results)
    rows = []
    for curve, members in by_curve(results):
        at = {one.sparsity: _percent(one.pooled.accuracy) for one in members}
        name = f"{curve.asking.model} · {labels.line(curve)}"
        rows.append((name, *(at.get(sparsity, "") for sparsity in sparsities)))
    for baseline in baselines(results[0].questions):
        said = _percent(baseline.accuracy[POOLED])
        rows.append((baseline.name, *([said] * len(sparsities))))
    return Table(
        title="Accuracy at each sparsity, all word classes pooled",
        header=("", *(f"{sparsity:g}" for sparsity in sparsities)),
        rows=tuple(rows),
        notes=(),
    )


def free(summaries: Sequence[Summary], labels: Labels) -> Table:
    """What every curve keeps for free, and where it has lost half."""
    rows = [
        (
            f"{summary.asking.model} · {labels.line(kept.curve)}",
            *_kept_cells(kept, summary),
        )
        for summary in summaries
        for kept in summary.kept
    ]
    return Table(
        title="Sparsity kept for free",
        header=("", "kept for free", "half gone at", "loss found from"),
        rows=tuple(rows),
        notes=(
            "kept for free: the largest sparsity whose accuracy, and that of every "
            f"smaller one, is not significantly below dense (p Holm < {ALPHA:g}). half "
            "gone at: where, on straight lines between the points, half of what dense "
            "has above chance is gone. loss found from: the points that an accuracy "
            "must lose to be found significant four times in five with so many "
            "questions; smaller losses may be there and not be found. at chance: the "
            "interval of dense holds chance, so that there is nothing to lose.",
        ),
    )


def tables(summaries: Sequence[Summary], labels: Labels) -> Iterator[Table]:
    """One for each model and way of asking, in the order of the run."""
    for summary in summaries:
        first = summary.rows[0].result
        classes = tuple(row.word_class for row in first.accuracies[:-1])
        columns = _columns(classes, labels)
        yield Table(
            title=labels.asking(summary.asking),
            header=tuple(name for name, _ in columns),
            rows=(
                *(tuple(cell(row) for _, cell in columns) for row in summary.rows),
                *(_baseline_row(one, columns) for one in baselines(first.questions)),
            ),
            notes=tuple(_notes(first, summary, labels)),
        )


def all_tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """Those of report.md and of the page, in order."""
    labels, summaries = Labels(results), summaries_of(results)
    return (
        overview(results),
        *([free(summaries, labels)] if any(one.kept for one in summaries) else []),
        *tables(summaries, labels),
        original(results),
    )


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
    return _percent(result.pooled.accuracy), f"{result.pooled.seconds:.1f} s"


Column = tuple[str, Callable[[Row], str]]


def _columns(classes: Sequence[str], labels: Labels) -> list[Column]:
    """Every column of a table of points: its name, and its cell of a row."""
    return [
        ("method", lambda row: _method(row.result, labels)),
        ("sparsity", lambda row: f"{row.result.sparsity:g}"),
        ("achieved", lambda row: f"{row.result.achieved_sparsity:.4f}"),
        ("total", lambda row: f"{row.result.total_sparsity:.4f}"),
        *(
            (name, lambda row, at=at: _percent(row.result.accuracies[at].accuracy))
            for at, name in enumerate((*classes, POOLED))
        ),
        (
            "95 % CI",
            lambda row: _range(row.result.pooled.ci_low, row.result.pooled.ci_high),
        ),
        ("class mean", lambda row: _percent(row.class_mean.value)),
        ("class mean CI", lambda row: _interval(row.class_mean)),
        ("difference", _compared(lambda one: _points(one.difference.value))),
        ("difference CI", _compared(lambda one: _points_interval(one.difference))),
        ("p", _compared(lambda one: f"{one.p:.2g}")),
        ("p Holm", _compared(lambda one: f"{one.adjusted:.2g}{_star(one)}")),
        ("ties", lambda row: f"{row.result.pooled.ties}"),
        ("seconds", lambda row: f"{row.result.pooled.seconds:.1f}"),
    ]


def _compared(cell: Callable[[Comparison], str]) -> Callable[[Row], str]:
    return lambda row: cell(row.versus_dense) if row.versus_dense else ""


def _method(result: Result, labels: Labels) -> str:
    if result.sparsity or result.curve.finetuned:
        return labels.method(result.curve)
    return "dense"


def _baseline_row(baseline: Baseline, columns: Sequence[Column]) -> tuple[str, ...]:
    cells = {name: _percent(value) for name, value in baseline.accuracy.items()}
    if baseline.interval:
        cells["95 % CI"] = _interval(baseline.interval)
    return (baseline.name, *(cells.get(name, "") for name, _ in columns[1:]))


def _notes(first: Result, summary: Summary, labels: Labels) -> Iterator[str]:
    pooled, asking = first.pooled, first.asking
    recipes = [row.result.curve.recipe for row in summary.rows]
    scopes = ", ".join(dict.fromkeys(recipe.scope for recipe in recipes))
    prunable = ", ".join(dict.fromkeys(recipe.prunable for recipe in recipes))
    yield (
        f"{pooled.questions} questions, {pooled.truncated} with sentences dropped to "
        f"fit; {asking.family}, {asking.dtype}, scope {scopes}, prunable {prunable}"
    )
    for kept in summary.kept:
        yield f"{labels.method(kept.curve)}: {_kept(kept)}"
    yield _detectable(summary)


def _kept(kept: Kept) -> str:
    if not kept.above_chance:
        return "dense is not above chance, so that there is nothing to lose"
    largest = " (the largest asked for)" * (kept.free == kept.largest)
    free = f"sparsity {kept.free:g}{largest}" if kept.free else "no sparsity"
    half = f"gone at {kept.half:.2f}" if kept.half is not None else "gone nowhere"
    return f"{free} is kept for free; half of what dense has above chance is {half}"


def _kept_cells(kept: Kept, summary: Summary) -> tuple[str, str, str]:
    if not kept.above_chance:
        return "at chance", "", ""
    half = f"{kept.half:.2f}" if kept.half is not None else "nowhere"
    found = "none is"
    if summary.detectable is not None:
        found = f"{100 * summary.detectable:.1f}"
    return f"{kept.free:g}", half, found


def _detectable(summary: Summary) -> str:
    if summary.fewest > 1:
        return "With so few questions no loss can be significant."
    fewest = 100 * summary.fewest
    said = (
        f"A loss of less than {fewest:.{1 if fewest >= 1 else 2}f} points cannot be "
        "significant with so many questions"
    )
    if not summary.changed:
        return f"{said}."
    share = (
        f"where {100 * summary.changed:.0f} % of the answers change, as at most here"
    )
    if summary.detectable is None:
        return f"{said}; {share}, not even one as large is found four times in five."
    found = f"{100 * summary.detectable:.1f} points"
    return f"{said}; {share}, one of {found} is found four times in five."


def _star(comparison: Comparison) -> str:
    return "*" * (comparison.adjusted < ALPHA)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _points(fraction: float) -> str:
    """With its sign."""
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _interval(interval: Interval) -> str:
    return _range(interval.low, interval.high)


def _range(low: float, high: float) -> str:
    return f"{_percent(low)}–{_percent(high)}"


def _points_interval(interval: Interval) -> str:
    return f"{_points(interval.low)} to {_points(interval.high)}"
