"""What models of smaller shapes take, beside the dense one: parameters, bytes, time."""

from collections.abc import Iterator, Sequence

from jaxsparse.points import Point, by_setup, dense_of
from jaxsparse.report.cells import TextTable, method
from jaxsparse.report.labels import Labels


def overview(points: Sequence[Point], labels: Labels) -> Iterator[TextTable]:
    """Each point of a smaller model a row, behind the dense one's. Nothing where there
    are none."""
    rows: list[tuple[str, ...]] = []
    for setup, members in by_setup(points):
        smaller = [p for p in members if p.sparsity and p.recipe.structured]
        dense = dense_of(members, setup)
        shown = [dense, *smaller] if dense and smaller else smaller
        rows += [
            (f"{labels.setup(setup)}, {method(point, labels)}", *_cells(point, dense))
            for point in shown
        ]
    if rows:
        yield TextTable(
            title="Smaller models",
            header=(
                "", "sparsity", "parameters", "megabytes", "of dense", "questions/s",
                "time of dense",
            ),
            rows=tuple(rows),
            notes=(
                "sparsity: the fraction of neurons, heads or layers that is removed. "
                "megabytes: of the parameters as they are loaded. of dense: the same "
                "as a share. time of dense: of scoring, per question, as a share.",
            ),
        )  # fmt: skip


def _cells(point: Point, dense: Point | None) -> tuple[str, ...]:
    """Empty where an older run does not say it."""
    size, speed = point.parameters, point.pooled.questions_per_second
    whole = dense.parameters if dense else None
    before = dense.pooled.questions_per_second if dense else 0.0
    return (
        f"{point.sparsity:g}",
        f"{size:,}" if size else "",
        f"{point.bytes / 1e6:,.1f}" if point.bytes else "",
        f"{size / whole:.3f}" if size and whole else "",
        f"{speed:.2f}",
        f"{before / speed:.2f}" if before and speed else "",
    )
