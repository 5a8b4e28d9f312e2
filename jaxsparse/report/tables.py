"""Tables for people, as text: what markdown, the terminal and the page all show."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from jaxsparse.report import claims
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
    Contest,
    Interval,
    Loss,
    Row,
    Summary,
    baselines,
    contests,
    summarise,
)

WORTH_SAYING = 0.001  # of the weights: single zeros are in any file

# What each column holds, by its name.
EXPLAINED = {
    "sparsity": "as requested",
    POOLED: "accuracy in percent over all questions, of each class beside it",
    "95 % CI": "Wilson's interval of it, which takes questions as independent",
    "stories CI": "its bootstrap interval over whole stories, whose questions are not",
    "difference": "from dense in points, on the same questions",
    "difference CI": "Tango's 95 % score interval of it (questions as independent)",
    "p": "exact McNemar on the same questions (questions as independent)",
    "p Holm": f"McNemar's p corrected for all rows of the table, * below {ALPHA:g}",
    "loss at most": "Tango's one-sided 95 % bound of the loss, in points; 0.0: none",
    "changed": "percent of the questions that only one of the two gets right",
    "CN": "common nouns",
    "NE": "named entities",
    "V": "verbs",
    "P": "prepositions",
    "class mean": "mean over classes, each weighing the same",
    "class mean CI": "its stratified bootstrap interval",
    "achieved": "sparsity of the prunable weights, zeros of the file included",
    "total": "the same zeros, of all parameters",
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


def costs(summaries: Sequence[Summary], labels: Labels, margin: float | None) -> Table:
    """What pruning costs each curve, as far as the data can tell."""
    within = () if margin is None else (f"{100 * margin:g} excluded up to",)
    return Table(
        title="What pruning costs",
        header=(
            "", "no loss detected up to", "possible loss there", "loss detected at",
            "half gone at", *within, "80 % power from",
        ),
        rows=tuple(
            (labels.curve(loss.curve), *_cost_cells(loss, summary, margin))
            for summary in summaries
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
        "half gone at: where, on straight lines between the points, half of what dense "
        "has above chance is gone. 80 % power from: the loss in points that has an "
        "80 % probability to be found significant, where as many answers change as at "
        "most in the table."
    )
    yield (
        "at chance: the interval of dense holds chance, so that there is nothing to "
        "lose. too few: dense gets so few questions right that no loss could be "
        "significant."
    )


def _cost_cells(loss: Loss, summary: Summary, margin: float | None) -> tuple[str, ...]:
    blank = ("",) * (4 + (margin is not None))
    if not loss.above_chance:
        return "at chance", *blank
    if not loss.could_be_significant:
        return "too few", *blank
    excluded = margin and loss.excluded_up_to(margin)
    return (
        f"{loss.undetected:g}" if loss.undetected else "none",
        percent(loss.hidden) if loss.undetected else "",
        f"{loss.first_detected[0]:g}" if loss.first_detected else "none",
        f"{loss.half:.2f}" if loss.half is not None else "none",
        *(() if margin is None else (f"{excluded:g}" if excluded else "none",)),
        "never" if summary.detectable is None else percent(summary.detectable),
    )


def of_models(group: Sequence[Contest], labels: Labels) -> Table:
    """Every two models that were asked alike, at every point that both have."""
    asking = group[0].one.asking
    return Table(
        title=f"Models compared · {labels.way(asking)}",
        header=(
            "model", "less", "method", "sparsity", "difference", "difference CI",
            "changed", "p", "p Holm",
        ),
        rows=tuple(
            (
                one.one.asking.model,
                one.other.asking.model,
                _method(one.one, labels),
                f"{one.one.sparsity:g}",
                *_comparison_cells(one.comparison),
            )
            for one in group
        ),
        notes=(
            "difference: the first model's accuracy less the second's in points, both "
            "on the same questions and pruned alike.",
        ),
    )  # fmt: skip


def _comparison_cells(one: Comparison) -> tuple[str, ...]:
    return (
        points(one.difference.value),
        points_interval(one.difference),
        percent(one.changed),
        f"{one.p:.2g}",
        f"{one.adjusted:.2g}{_star(one)}",
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
        ("method", lambda row: _method(row.result, labels)),
        ("sparsity", lambda row: f"{row.result.sparsity:g}"),
        (POOLED, of_class(-1)),
        (
            "95 % CI",
            lambda row: _range(row.result.pooled.ci_low, row.result.pooled.ci_high),
        ),
        (
            "stories CI",
            lambda row: _range(
                row.result.pooled.cluster_low, row.result.pooled.cluster_high
            ),
        ),
        ("difference", _compared(lambda one: points(one.difference.value))),
        ("difference CI", _compared(lambda one: points_interval(one.difference))),
        ("p Holm", _compared(lambda one: f"{one.adjusted:.2g}{_star(one)}")),
        *([] if margin is None else [bound]),
        *((name, of_class(at)) for at, name in enumerate(classes)),
        ("class mean", lambda row: percent(row.class_mean)),
        (
            "class mean CI",
            lambda row: _range(*(row.class_mean_interval or (None, None))),
        ),
        ("p", _compared(lambda one: f"{one.p:.2g}")),
        ("achieved", lambda row: f"{row.result.achieved_sparsity:.4f}"),
        ("total", lambda row: f"{row.result.total_sparsity:.4f}"),
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
    cells = {name: percent(value) for name, value in baseline.accuracy.items()}
    if baseline.interval:
        cells["95 % CI"] = _interval(baseline.interval)
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
    if not first.sparsity and first.achieved_sparsity >= WORTH_SAYING:
        yield (
            f"The file's own zeros are {100 * first.achieved_sparsity:.2f} % of the "
            "prunable weights: dense has them too, and a smaller sparsity prunes "
            "nothing more."
        )
    for loss in summary.losses:
        yield f"{labels.method(loss.curve)}: {claims.of_loss(loss, margin)}"
    yield claims.of_power(summary)


def _star(comparison: Comparison) -> str:
    return "*" * (comparison.adjusted < ALPHA)


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def points(fraction: float) -> str:
    """With its sign."""
    return f"{100 * fraction:+.1f}".replace("-", "−")


def points_interval(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def _interval(interval: Interval) -> str:
    return _range(interval.low, interval.high)


def _range(low: float | None, high: float | None) -> str:
    """Empty where there is no interval."""
    if low is None or high is None:
        return ""
    return f"{percent(low)}–{percent(high)}"
