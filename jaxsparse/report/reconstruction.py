"""How far the outputs of pruned matrices are from the dense ones', for readers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from jaxsparse.points import Point
from jaxsparse.report import repeats
from jaxsparse.report.cells import TextTable
from jaxsparse.report.columns import OF_LAYERS
from jaxsparse.report.grid import grid
from jaxsparse.report.labels import Labels


def distinct(points: Sequence[Point]) -> list[Point]:
    """Points that differ in how questions are put or linears computed alone are one, of
    dense execution; dense ones, of which nothing is pruned, are left out."""
    return [
        replace(point, curve=replace(point.curve, execution="dense"))
        for point in repeats.distinct(points, OF_LAYERS)
        if point.matrices
    ]


def overview(points: Sequence[Point], labels: Labels) -> Iterator[TextTable]:
    """Each model and method a row: its mean error at each sparsity. Nothing where none
    was measured."""
    measured = [p for p in distinct(points) if repeats.is_measured(p.matrices)]
    if not measured:
        return
    yield grid(
        "Reconstruction error at each sparsity",
        measured,
        labels.pruned,
        lambda point: f"{100 * _mean(point):.2f}",
        (
            "in percent: Σ (X W − X W′ − δ)² / Σ (X W)² of a matrix, X being what it "
            "is given in the dense model on the rows of calibration, and δ what "
            "`+bias` adds to its bias (0 of other methods); the mean over matrices, "
            "each of which layers.csv has.",
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


def _mean(point: Point) -> float:
    return float(np.mean([m.error for m in point.matrices if m.error is not None]))
