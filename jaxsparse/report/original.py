"""A table in the layout of the original experiments."""

from collections.abc import Sequence

from jaxsparse.points import Point, by_curve
from jaxsparse.report import losses
from jaxsparse.report.cells import TextTable, percent
from jaxsparse.report.labels import Labels


def table(points: Sequence[Point]) -> TextTable:
    """The layout of the original experiments: a block for each model, a row for each
    sparsity, the runtime beside the accuracy."""
    labels = Labels(points)
    curves = dict(by_curve(points))
    of_texts = list(losses.columns(points))
    lines = list(dict.fromkeys(labels.line(curve) for curve in curves))
    rows = []
    for model in dict.fromkeys(curve.setup.model for curve in curves):
        cells = {
            (labels.line(curve), point.sparsity): point
            for curve, members in curves.items()
            for point in members
            if curve.setup.model == model
        }
        for number, sparsity in enumerate(sorted({sparsity for _, sparsity in cells})):
            row = [model if number == 0 else "", f"{100 * sparsity:g} %"]
            for line in lines:
                point = cells.get((line, sparsity))
                if point is None:
                    row += [""] * (2 + len(of_texts))
                else:
                    pooled = point.pooled
                    row += [percent(pooled.accuracy), f"{pooled.seconds:.1f} s"]
                    row += [cell(point) for _, cell in of_texts]
            rows.append(tuple(row))
    kinds = ("%", "runtime", *(name for name, _ in of_texts))
    columns = [f"{line}, {kind}" for line in lines for kind in kinds]
    return TextTable(
        title="In the layout of the original experiments",
        header=("model", "sparsity", *columns),
        rows=tuple(rows),
        notes=(
            *losses.numbers(points),
            "runtime: of scoring, without loading, pruning and compilation.",
        ),
    )
