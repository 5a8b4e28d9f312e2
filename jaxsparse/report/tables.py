"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterator, Sequence
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

LEGEND = (
    "sparsity: requested; achieved: of the prunable weights; of all: parameters. "
    "Accuracy in percent, 95 % CI: Wilson's; classes: their mean, each weighing the "
    "same, stratified bootstrap. − dense: difference in points on the same questions, "
    "paired bootstrap; p: exact McNemar, p Holm: corrected for all points of a table. "
    "ties: questions whose best score two options share (the first is taken). s: "
    "seconds of scoring. most frequent: the option that the story holds most often."
)


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


def free(results: Sequence[Result]) -> Table:
    """What every curve keeps for free, and where it has lost half."""
    labels = Labels(results)
    rows = []
    for asking, members in by_asking(results):
        for kept in summarise(asking, members).kept:
            name = f"{asking.model} · {labels.line(kept.curve)}"
            rows.append((name, *_kept_cells(kept)))
    return Table(
        title="Sparsity kept for free",
        header=("", "kept for free", "half gone at"),
        rows=tuple(rows),
        notes=(
            "kept for free: the largest sparsity whose accuracy, and that of every "
            f"smaller one, is not significantly below dense (p Holm < {ALPHA:g}); few "
            "questions find little, see the notes of the tables. half gone at: where, "
            "on straight lines between the points, half of what dense has above chance "
            "is gone. at chance: the interval of dense holds chance, so that there is "
            "nothing to lose.",
        ),
    )


def tables(results: Sequence[Result]) -> Iterator[Table]:
    """One for each model and way of asking, in the order of the run."""
    labels = Labels(results)
    for asking, members in by_asking(results):
        summary = summarise(asking, members)
        classes = tuple(row.word_class for row in members[0].accuracies[:-1])
        columns = _columns(classes, labels)
        yield Table(
            title=labels.asking(asking),
            header=tuple(name for name, _ in columns),
            rows=(
                *(tuple(cell(row) for _, cell in columns) for row in summary.rows),
                *(
                    _baseline_row(one, columns)
                    for one in baselines(members[0].questions)
                ),
            ),
            notes=tuple(_notes(members[0], summary, labels)),
        )


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
        ("of all", lambda row: f"{row.result.total_sparsity:.4f}"),
        *(
            (name, lambda row, at=at: _percent(row.result.accuracies[at].accuracy))
            for at, name in enumerate((*classes, POOLED))
        ),
        (
            "95 % CI",
            lambda row: _range(row.result.pooled.ci_low, row.result.pooled.ci_high),
        ),
        ("classes", lambda row: _percent(row.class_mean.value)),
        ("its CI", lambda row: _interval(row.class_mean)),
        ("− dense", _compared(lambda one: _points(one.difference.value))),
        ("CI of it", _compared(lambda one: _points_interval(one.difference))),
        ("p", _compared(lambda one: f"{one.p:.2g}")),
        ("p Holm", _compared(lambda one: f"{one.adjusted:.2g}")),
        ("ties", lambda row: f"{row.result.pooled.ties}"),
        ("s", lambda row: f"{row.result.pooled.seconds:.1f}"),
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
    half = f"gone at {kept.half:.2f}" if kept.half is not None else "gone nowhere"
    return (
        f"sparsity {kept.free:g}{largest} is kept for free; half of what dense has "
        f"above chance is {half}"
    )


def _kept_cells(kept: Kept) -> tuple[str, str]:
    if not kept.above_chance:
        return "at chance", ""
    half = f"{kept.half:.2f}" if kept.half is not None else "nowhere"
    return f"{kept.free:g}", half


def _detectable(summary: Summary) -> str:
    said = (
        f"A loss of less than {100 * summary.fewest:.1f} points cannot be significant "
        "with so many questions"
    )
    if not summary.changed:
        return f"{said}."
    share = f"where {100 * summary.changed:.0f} % of the answers change, as here"
    if summary.detectable is None:
        return f"{said}; {share}, not even one as large is found four times in five."
    found = f"{100 * summary.detectable:.1f} points"
    return f"{said}; {share}, one of {found} is found four times in five."


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
