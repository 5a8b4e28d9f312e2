"""The first tables of a report: a row for each curve, a column for each sparsity."""

from collections.abc import Callable, Iterator, Sequence

from jaxsparse.accuracy import POOLED
from jaxsparse.points import Curve, Point, by_curve
from jaxsparse.report import losses
from jaxsparse.report.cells import TextTable, percent
from jaxsparse.report.labels import Labels, classes_of
from jaxsparse.report.statistics import Statistics

NATS = (
    "nats: the mean of -log p over the targets: GPT-2's are all tokens but a window's "
    "first, ELECTRA's the masked ones, T5's the spans. Models have tokens and targets "
    "of their own: compare within a model."
)


def overviews(found: Statistics) -> Iterator[TextTable]:
    """Accuracy, nats of each text, and errors of reconstruction, where measured."""
    yield accuracy(found)
    for text in losses.names(found.points):
        yield _nats(found, text)
    yield from _errors(found)


def _grid(
    title: str,
    points: Sequence[Point],
    label: Callable[[Curve], str],
    cell: Callable[[Point], str],
    notes: Sequence[str] = (),
) -> TextTable:
    """Patterns N:M have a sparsity of their own, and a column each: what differs in
    pattern alone, `label` calls the same and shares a row."""
    rows: dict[str, dict[str, str]] = {}
    for curve, members in by_curve(points):
        row = rows.setdefault(label(curve), {})
        for point in members:
            row.setdefault(_column(point), cell(point))
    plain = {point.sparsity for point in points if not _own(point)}
    own = dict.fromkeys(_column(point) for point in points if _own(point))
    columns = *(f"{sparsity:g}" for sparsity in sorted(plain)), *own
    cells = [(name, *(row.get(c, "") for c in columns)) for name, row in rows.items()]
    return TextTable(title, ("", *columns), tuple(cells), tuple(notes))


def _own(point: Point) -> bool:
    """Whether its sparsity is that of its pattern."""
    return bool(point.sparsity) and ":" in point.recipe.pattern


def _column(point: Point) -> str:
    return point.recipe.pattern if _own(point) else f"{point.sparsity:g}"


def _accuracy(found: Statistics) -> TextTable:
    title = f"Accuracy at each sparsity, all {classes_of(found.questions)[1]} pooled"
    table = _grid(
        title,
        found.points,
        lambda curve: found.labels.curve(curve, pattern=False),
        lambda point: percent(point.accuracy),
    )
    levels = [
        (level.name, *[percent(level.accuracy[POOLED])] * (len(table.header) - 1))
        for level in found.baselines
    ]
    return TextTable(title, table.header, (*table.rows, *levels), ())


def _nats(found: Statistics, text: str) -> TextTable:
    points = [p for p in losses.distinct(found.points) if losses.of_text(p, text)]
    known = [loss for point in points if (loss := losses.of_text(point, text))]
    draws = max(len(loss.draws) for loss in known)
    spread = (
        f"In brackets the lowest and the highest of {draws} draws of calibration rows "
        "and random numbers; before them their mean."
    )
    return _grid(
        f"Nats (and perplexity) of {text} at each sparsity",
        points,
        _of_model(found.labels),
        losses.cell(text, losses.both),
        (NATS, *[spread] * (draws > 1)),
    )


def _errors(found: Statistics) -> Iterator[TextTable]:
    """Nothing where none were measured."""
    points = [p for p in losses.distinct(found.points) if _errors_of(p)]
    if points:
        yield _grid(
            "Errors of reconstruction at each sparsity",
            points,
            _of_model(found.labels),
            lambda point: f"{sum(_errors_of(point)) / len(_errors_of(point)):.4f}",
            (
                "The mean over matrices of Σ (X W − X W′)² / Σ (X W)², X what the "
                "dense model gives a matrix at calibration rows; layers.csv has each.",
            ),
        )


def _errors_of(point: Point) -> list[float]:
    return [m.error for m in point.matrices if m.error is not None]


def _of_model(labels: Labels) -> Callable[[Curve], str]:
    """Texts are read in one way, and pruning is the same, whatever the protocol."""
    return lambda curve: f"{curve.setup.model} · {labels.method(curve, pattern=False)}"
