"""A table as text, how its cells are written, and what its columns hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from jaxsparse.accuracy import POOLED
from jaxsparse.cbt import CLASS_NAMES
from jaxsparse.points import Point
from jaxsparse.report.labels import Labels
from jaxsparse.report.summary import ALPHA, Comparison, Interval

# What each column holds, by its name.
EXPLAINED = {
    "sparsity": "as requested",
    POOLED: "accuracy in percent over all questions, of each class beside it",
    "95 % CI": "Wilson's interval of it, which takes questions as independent",
    "stories CI": "bootstrap interval of it over whole stories, if they are known",
    "difference": "from dense in points, on the same questions",
    "difference CI": "Tango's 95 % score interval of it (questions as independent)",
    "p": "exact McNemar on the same questions (questions as independent)",
    "p Holm": f"McNemar's p corrected for all rows of the table, * below {ALPHA:g}",
    "loss at most": "Tango's one-sided 95 % bound of the loss, in points, 0.0 or more",
    "changed": "percent of the questions that only one of the two gets right",
    **CLASS_NAMES,
    "class mean": "mean over classes, each weighing the same",
    "class mean CI": "its stratified bootstrap interval",
    "achieved": "sparsity of the prunable weights, zeros of the file included",
    "total": "the same zeros as a share of all parameters",
    "ties": "questions whose best score two options share (the first is taken)",
    "seconds": "of scoring",
    "nats": "mean of -log p over the targets of the running text",
    "perplexity": "exp of the nats, where each token is predicted from those before it",
    "most frequent": "the option that the story holds most often",
    "commonest answer": "the one that is most often right in other questions of its "
    "class",
}


def legend(tables: Iterable["TextTable"]) -> str:
    """What the columns of tables hold, and the baselines in them."""
    tables = list(tables)
    names = [*dict.fromkeys(name for table in tables for name in table.header)]
    rows = {row[0] for table in tables for row in table.rows}
    names += [name for name in ("most frequent", "commonest answer") if name in rows]
    for name in "nats", "perplexity":  # of several texts, with the text's name behind
        if any(other.startswith(f"{name} ") for other in names):
            names.append(name)
    texts = [f"{name}: {EXPLAINED[name]}" for name in names if name in EXPLAINED]
    return f"{'; '.join(texts)}."


@dataclass(frozen=True)
class TextTable:
    """One table for people; the first column is text, the others mostly numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def method(point: Point, labels: Labels) -> str:
    if point.sparsity or point.curve.finetuned:
        return labels.method(point.curve)
    return "dense"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def of_seeds(points: Sequence[Point]) -> str:
    """The mean accuracy, and of several points the lowest and the highest."""
    accuracies = [point.accuracy for point in points]
    if len(points) < 2:
        return percent(accuracies[0]) if points else ""
    ends = f"{percent(min(accuracies))}–{percent(max(accuracies))}"
    return f"{percent(fmean(accuracies))} [{ends}]"


def seconds(value: float) -> str:
    return f"{_three_digits(value)} s"


def duration(seconds: float) -> str:
    """In milliseconds below a second."""
    if seconds < 0.9995:
        return f"{_three_digits(1000 * seconds)} ms"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    """At most, but for the thousands."""
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f}"


def signed(fraction: float) -> str:
    """With its sign."""
    return f"{100 * fraction:+.1f}".replace("-", "−")


def signed_interval(interval: Interval) -> str:
    return f"{signed(interval.low)} to {signed(interval.high)}"


def interval_of(interval: Interval) -> str:
    return span(interval.low, interval.high)


def span(low: float | None, high: float | None) -> str:
    """Empty where there is no interval."""
    if low is None or high is None:
        return ""
    return f"{percent(low)}–{percent(high)}"


def holm(comparison: Comparison) -> str:
    """The adjusted p, with a star where it is significant."""
    star = "*" if comparison.significant else ""
    return f"{comparison.adjusted:.2g}{star}"
