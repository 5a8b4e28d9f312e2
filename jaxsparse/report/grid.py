"""Tables with a row for each curve and a column for each sparsity."""

from collections.abc import Callable, Sequence

from jaxsparse.points import Curve, Point, by_curve
from jaxsparse.report.cells import TextTable


def grid(
    title: str,
    points: Sequence[Point],
    label: Callable[[Curve], str],
    cell: Callable[[Point], str],
    notes: Sequence[str] = (),
) -> TextTable:
    """Patterns N:M have a sparsity of their own, and so a column each: curves of one
    label, which differ in pattern alone, share a row."""
    rows: dict[str, dict[str, str]] = {}
    for curve, members in by_curve(points):
        row = rows.setdefault(label(curve), {})
        for point in members:
            row.setdefault(amount(point), cell(point))
    plain = {point.sparsity for point in points if not is_patterned(point)}
    patterns = dict.fromkeys(amount(p) for p in points if is_patterned(p))
    columns = *(f"{sparsity:g}" for sparsity in sorted(plain)), *patterns
    cells = [(name, *(row.get(c, "") for c in columns)) for name, row in rows.items()]
    return TextTable(title, ("", *columns), tuple(cells), tuple(notes))


def is_patterned(point: Point) -> bool:
    """Whether it is pruned by a pattern N:M."""
    return bool(point.sparsity) and ":" in point.recipe.pattern


def amount(point: Point) -> str:
    """How much is cut at a point, as columns are headed."""
    return point.recipe.pattern if is_patterned(point) else f"{point.sparsity:g}"
