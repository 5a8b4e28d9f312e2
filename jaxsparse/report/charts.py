"""One panel of curves as SVG, in the page's own colours.

Its axis has sparsity as it is, or the weights left in logarithms, so that 0.9 and 0.99
do not fall together; or the time that a question takes, see `timing`.

Nothing here has a colour: every shape carries a class, and page.css gives it one in
light and in dark. Every point is a link to its questions, and says in its title what it
stands for, so that nothing needs a script.
"""

import html
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from jaxsparse.report import beside
from jaxsparse.report.lines import Line, Panel, Reference

COLOURS = 6  # that page.css has: --curve-0, …
MARKERS = (  # round the point, each of about the same weight
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.8L4.6 3.4H-4.6z", "M0-5L5 0L0 5L-5 0z", "M0 4.8L4.6-3.4H-4.6z",
    "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
)  # fmt: skip
STAR = (  # dense, where time is told
    "M0-6.5L1.6-2.2L6.2-2L2.6 .8L3.8 5.3L0 2.7L-3.8 5.3L-2.6 .8L-6.2-2L-1.6-2.2z"
)
DASHES = ("", "7 4", "2 3", "9 3 2 3")

Place = Callable[[float], float]  # a number in the view box of a panel


@dataclass(frozen=True)
class Frame:
    """The view box of a panel, and its margins; in its units."""

    width: int
    height: int
    above: int
    below: int
    labelled: bool  # whether the axes say what they are
    left: int = 30
    aside: int = 54  # for the names of level lines

    @property
    def right(self) -> int:
        return self.width - self.aside

    @property
    def base(self) -> int:
        return self.height - self.below


@dataclass(frozen=True)
class Axis:
    """Where a sparsity, or a time, stands between left (0) and right (1), and what is
    written."""

    name: str
    label: str
    ticks: tuple[tuple[float, str], ...]
    place: Place
    broken: float | None = None  # between the last weight left and none at all
    timed: bool = False  # has seconds a question

    def values(self, line: Line) -> tuple[float, ...]:
        """What stands along the axis at the points of a line."""
        return line.seconds if self.timed else line.sparsities


def linear() -> Axis:
    ticks = tuple((place, f"{place:g}") for place in (0.0, 0.25, 0.5, 0.75, 1.0))
    return Axis(
        "linear", "sparsity of the prunable weights", ticks, lambda sparsity: sparsity
    )


def remaining(shown: Sequence[float]) -> Axis:
    """The weights left, in logarithms; behind a gap, none of them."""
    decades = max(
        [1.0, *(-math.log10(1 - sparsity) for sparsity in shown if sparsity < 1)]
    )
    end = 0.86 if 1 in shown else 1.0
    steps = (1, 0.5, 0.2) if decades < 2.5 else (1,)
    shares = (step / 10**k for k in range(math.ceil(decades) + 1) for step in steps)
    ticks = [
        (end * at, f"{100 * share:g}")
        for share in shares
        if (at := -math.log10(share) / decades) < 1 + 1e-9
    ]
    if end < 1:
        ticks.append((1.0, "0"))

    def place(sparsity: float) -> float:
        return 1.0 if sparsity == 1 else -end * math.log10(1 - sparsity) / decades

    label = "prunable weights left, % (log scale)"
    return Axis("log", label, tuple(ticks), place, (1 + end) / 2 if end < 1 else None)


def draw(
    panel: Panel,
    labels: Sequence[str],
    axis: Axis,
    top: float,
    frame: Frame,
) -> str:
    """The panel as an SVG element.

    Args:
        labels: of all lines of the section; a label looks the same in every panel.
        top: the accuracy, a fraction, at which the panel ends.
    """

    def x(value: float) -> float:
        return frame.left + axis.place(value) * (frame.right - frame.left)

    def y(accuracy: float) -> float:
        return frame.base - accuracy / top * (frame.base - frame.above)

    described = html.escape(panel.described(axis.timed))
    numbers = [labels.index(line.label) for line in panel.lines]
    drawn = list(zip(panel.lines, numbers, strict=True))
    opacity = f"{max(0.05, min(0.14, 0.22 / len(drawn))):.2f}"  # many overlap
    return "\n".join([
        f'<svg class="{axis.name}" viewBox="0 0 {frame.width} {frame.height}" '
        f'role="group" aria-label="{described}">',
        *(_names(axis, frame) if frame.labelled else ()),
        *_accuracies(top, y, frame),
        *_ticks(axis, frame),
        *_references(panel.references, y, frame),
        *(
            [_bars(line, number, axis, x, y) for line, number in drawn]
            if axis.timed
            else [
                f'<g fill-opacity="{opacity}">',
                *(_band(line, number, x, y) for line, number in drawn),
                "</g>",
            ]
        ),
        *(_curve(line, number, axis, x, y) for line, number in drawn),
        *_points(drawn, axis, top, x, y),
        "</svg>",
    ])  # fmt: skip


def marker(number: int) -> str:
    """The sign of a line, round (0, 0)."""
    shape = MARKERS[(number + number // COLOURS) % len(MARKERS)]
    return f'<path class="marker" d="{shape}"/>'


def stroke(number: int) -> str:
    """The class and the dashes of a line."""
    dashes = DASHES[number % len(DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'class="curve c{number % COLOURS}"{dashed}'


def _names(axis: Axis, frame: Frame) -> Iterator[str]:
    """What the axes are."""
    middle = (frame.left + frame.right) / 2
    yield f'<text class="name" x="0" y="{frame.above - 9}">accuracy, %</text>'
    below = f'x="{middle:g}" y="{frame.height - 4}">{axis.label}</text>'
    yield f'<text class="name middle" {below}'


def _accuracies(top: float, y: Place, frame: Frame) -> Iterator[str]:
    """The level lines and their percents."""
    step = 10 if top < 0.35 else 20
    for percent in range(0, round(100 * top) + 1, step):
        at = f"{y(percent / 100):.1f}"
        kind = "grid" if percent else "base"
        yield f'<path class="{kind}" d="M{frame.left} {at}H{frame.right}"/>'
        place = f'x="{frame.left - 6}" y="{at}" dy=".35em"'
        yield f'<text class="tick end" {place}>{percent}</text>'


def _ticks(axis: Axis, frame: Frame) -> Iterator[str]:
    """The base line's ticks, and its gap."""
    span, base = frame.right - frame.left, frame.base
    for place, text in axis.ticks:
        at = f"{frame.left + place * span:.1f}"
        yield f'<path class="base" d="M{at} {base}v4"/>'
        yield f'<text class="tick middle" x="{at}" y="{base + 15}">{text}</text>'
    if axis.broken is not None:
        at = f"{frame.left + axis.broken * span:.1f}"
        yield f'<path class="gap" d="M{at} {base}m-5 4l4-8m3 8l4-8"/>'


def _references(
    references: Sequence[Reference], y: Place, frame: Frame
) -> Iterator[str]:
    """Level lines; their names at the right keep clear of each other."""
    below = -math.inf
    for reference in sorted(references, key=lambda reference: -reference.accuracy):
        at = y(reference.accuracy)
        below = max(at, below + 12)
        name = reference.short.replace(" ", "-")
        level = f"M{frame.left} {at:.1f}H{frame.right}"
        yield f'<path class="reference {name}" d="{level}"/>'
        place = f'x="{frame.right + 5}" y="{below:.1f}" dy=".35em"'
        yield f'<text class="tick" {place}>{reference.short}</text>'


def _band(line: Line, number: int, x: Place, y: Place) -> str:
    """The interval: along the upper ends, and back along the lower ones."""
    ends = [*zip(line.sparsities, line.high, strict=True)]
    ends += reversed([*zip(line.sparsities, line.low, strict=True)])
    return f'<polygon class="band c{number % COLOURS}" points="{_path(ends, x, y)}"/>'


def _bars(line: Line, number: int, axis: Axis, x: Place, y: Place) -> str:
    """The interval at each point, where points need not ascend along the axis."""
    bars = [
        f"M{x(value):.1f} {y(high):.1f}V{y(low):.1f}"
        for value, low, high in zip(axis.values(line), line.low, line.high, strict=True)
    ]
    return f'<path class="bar c{number % COLOURS}" d="{"".join(bars)}"/>'


def _curve(line: Line, number: int, axis: Axis, x: Place, y: Place) -> str:
    ends = zip(axis.values(line), line.accuracy, strict=True)
    return f'<polyline {stroke(number)} points="{_path(ends, x, y)}"/>'


def _path(points, x: Place, y: Place) -> str:
    return " ".join(
        f"{x(sparsity):.1f},{y(accuracy):.1f}" for sparsity, accuracy in points
    )


def _points(
    drawn: Sequence[tuple[Line, int]], axis: Axis, top: float, x: Place, y: Place
) -> Iterator[str]:
    marks = [
        (axis.place(value), accuracy / top)
        for line, _ in drawn
        for value, accuracy in zip(axis.values(line), line.accuracy, strict=True)
    ]
    sides = beside.sides(marks) if axis.timed else itertools.repeat(None)
    for line, number in drawn:
        yield f'<g class="points c{number % COLOURS}">'
        values = zip(axis.values(line), line.accuracy, line.sparsities, strict=True)
        for at, (value, accuracy, sparsity) in enumerate(values):
            query = urlencode([*line.address, ("sparsity", f"{sparsity!r}")])
            is_star = axis.timed and not sparsity
            yield (
                f'<a class="point" href="#{html.escape(query)}" '
                f'transform="translate({x(value):.1f} {y(accuracy):.1f})">'
                f"<title>{html.escape(line.told(at, axis.timed))}</title>"
                f'<circle class="hit" r="10"/>{star() if is_star else marker(number)}'
                f"{_name_beside(line.names[at], next(sides))}</a>"
            )
        yield "</g>"


def star() -> str:
    """The sign of dense where time is told, round (0, 0)."""
    return f'<path class="marker dense" d="{STAR}"/>'


def _name_beside(name: str, side: tuple[int, int] | None) -> str:
    if not side or not name:
        return ""
    style = "tick" if side[0] > 0 else "tick end"
    place = f'x="{7 * side[0]}" y="{-8 * side[1]}" dy=".35em"'
    return f'<text class="{style}" {place}>{html.escape(name)}</text>'
