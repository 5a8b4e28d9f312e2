"""Where the names of marks stand in a panel, so that none lies on another."""

from collections.abc import Iterator, Sequence

# Right or left of a mark and above or below it, the best first.
SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1))
APART = (0.04, 0.05)  # from the mark to the middle of its name, of a panel
SIZE = (0.07, 0.048)  # of a name


def sides(
    marks: Sequence[tuple[float, float]],
) -> Iterator[tuple[int, int] | None]:
    """The side of each mark on which its name stands; None where all are taken.

    Args:
        marks: fractions of a panel's width and height, from the lower left.
    """
    taken = list(marks)
    for across, up in marks:
        for side in SIDES:
            name = across + side[0] * APART[0], up + side[1] * APART[1]
            if _is_clear(name, [one for one in taken if one != (across, up)]):
                taken.append(name)
                yield side
                break
        else:
            yield None


def _is_clear(name: tuple[float, float], taken: Sequence[tuple[float, float]]) -> bool:
    if not all(half / 2 <= at <= 1 for half, at in zip(SIZE, name, strict=True)):
        return False
    return all(
        any(
            abs(of - at) >= size for of, at, size in zip(other, name, SIZE, strict=True)
        )
        for other in taken
    )
