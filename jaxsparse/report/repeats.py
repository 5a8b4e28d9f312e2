"""Points that say the same of a model become one, which knows what any of them does."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from jaxsparse.points import Point, TextLoss
from jaxsparse.pruning import MatrixSparsity


def distinct(points: Sequence[Point], columns: Collection[str]) -> list[Point]:
    """Points that differ in none of these columns become one, in the order of the
    first of each."""
    found: dict[tuple, Point] = {}
    for point in points:
        values = point.columns()
        key = tuple(values[name] for name in columns)
        found[key] = joined(found[key], point) if key in found else point
    return list(found.values())


def joined(first: Point, other: Point) -> Point:
    """The first of two points that are the same, with losses on texts, draws of them
    and errors of reconstruction that the other alone has."""
    texts = {loss.text: loss for loss in first.texts}
    for loss in other.texts:
        known = texts.get(loss.text)
        texts[loss.text] = _with_draws_of(known, loss) if known else loss
    matrices = first.matrices
    if is_measured(other.matrices) and not is_measured(matrices):
        matrices = other.matrices
    return replace(first, texts=tuple(texts.values()), matrices=matrices)


def is_measured(matrices: Sequence[MatrixSparsity]) -> bool:
    """Whether errors of reconstruction are known."""
    return any(matrix.error is not None for matrix in matrices)


def _with_draws_of(first: TextLoss, other: TextLoss) -> TextLoss:
    known = dict(first.redrawn)
    more = (draw for draw in other.redrawn if draw[0] not in known)
    return replace(first, redrawn=(*first.redrawn, *more))
