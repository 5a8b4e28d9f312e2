"""How far the outputs of pruned matrices are from the dense ones', for readers."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxsparse.points import Point, by_curve
from jaxsparse.report.cells import TextTable
from jaxsparse.report.columns import OF_LAYERS
from jaxsparse.report.labels import Labels


def distinct(points: Sequence[Point]) -> list[Point]:
    """Of points that differ in how questions are put alone, the first; dense ones, of
    which nothing is pruned, are left out."""
    found: dict[tuple, Point] = {}
    for point in points:
        columns = point.columns()
        if point.matrices:
            found.setdefault(tuple(columns[name] for name in OF_LAYERS), point)
    return list(found.values())


def overview(points: Sequence[Point], labels: Labels) -> Iterator[TextTable]:
    """Each model and method a row: its mean error at each sparsity. Nothing where none
    was measured."""
    measured = [point for point in distinct(points) if _errors(point)]
    if not measured:
        return
    sparsities = sorted({point.sparsity for point in measured})
    rows = []
    for curve, members in by_curve(measured):
        at = {point.sparsity: f"{100 * _mean(point):.2f}" for point in members}
        name = f"{curve.setup.model} · {labels.method(curve)}"
        rows.append((name, *(at.get(sparsity, "") for sparsity in sparsities)))
    yield TextTable(
        title="Reconstruction error at each sparsity",
        header=("", *(f"{sparsity:g}" for sparsity in sparsities)),
        rows=tuple(rows),
        notes=(
            "in percent: Σ (X W − X W′)² / Σ (X W)² of a matrix, X being what it is "
            "given in the dense model on the rows of calibration; the mean over "
            "matrices, each of which layers.csv has.",
            *damping(points),
        ),
    )


def damping(points: Sequence[Point]) -> Iterator[str]:
    """That solvers met Gram matrices which could not be factored, if they did."""
    raised = [
        matrix
        for point in distinct(points)
        for matrix in point.matrices
        if matrix.damping_raised
    ]
    if raised:
        first, most = raised[0], max(matrix.damping_raised for matrix in raised)
        yield (
            f"damping was raised for {len(raised)} matrices, tenfold up to {most}×, as "
            f"for {first.path}, layer {first.layer}: their Gram matrices could not be "
            "factored; layers.csv has all"
        )


def _errors(point: Point) -> list[float]:
    return [m.error for m in point.matrices if m.error is not None]


def _mean(point: Point) -> float:
    return float(np.mean(_errors(point)))
