"""One panel of curves as SVG, in the page's own colours.

Nothing here has a colour: every shape carries a class, and page.css gives it one in
light and in dark. Every point is a link to its questions, and says in its title what it
stands for, so that nothing needs a script.
"""

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from jaxsparse import plots
from jaxsparse.report import axes
from jaxsparse.report.axes import Axis, Frame

COLOURS = 6  # that page.css has: --curve-0, …
MARKERS = (  # round the point, each of about the same weight
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.8L4.6 3.4H-4.6z", "M0-5L5 0L0 5L-5 0z", "M0 4.8L4.6-3.4H-4.6z",
    "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
)  # fmt: skip
DASHES = ("", "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class Line(plots.Series):
    """A curve whose points say what was counted, and lead to their questions."""

    achieved: tuple[float, ...]  # sparsity of the prunable weights
    correct: tuple[int, ...]
    questions: int
    address: tuple[tuple[str, str], ...]  # of its questions, but for the sparsity

    @property
    def name(self) -> str:
        """What the line is, without the panel around it."""
        asked = dict(self.address)
        word_class = asked["class"]
        suffix = "" if word_class == "all" else f" · {word_class}"
        return f"{asked['model']} · {asked['label']}{suffix}"


@dataclass(frozen=True)
class Reference:
    """What is right without a model: a level line."""

    label: str
    short: str  # beside the line
    accuracy: float  # fraction


@dataclass(frozen=True)
class Panel:
    title: str
    lines: tuple[Line, ...]
    references: tuple[Reference, ...]


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

    def x(sparsity: float) -> float:
        return frame.left + axis.place(sparsity) * (frame.right - frame.left)

    def y(accuracy: float) -> float:
        return frame.base - accuracy / top * (frame.base - frame.above)

    described = html.escape(described_in_words(panel))
    numbers = [labels.index(line.label) for line in panel.lines]
    drawn = list(zip(panel.lines, numbers, strict=True))
    opacity = f"{max(0.05, min(0.14, 0.22 / len(drawn))):.2f}"  # many overlap
    return "\n".join([
        f'<svg class="{axis.name}" viewBox="0 0 {frame.width} {frame.height}" '
        f'role="group" aria-label="{described}">',
        *(axes.names(axis, frame) if frame.labelled else ()),
        *axes.accuracies(top, y, frame),
        *axes.sparsities(axis, frame),
        *_references(panel.references, y, frame),
        f'<g fill-opacity="{opacity}">',
        *(_band(line, number, x, y) for line, number in drawn),
        "</g>",
        *(_curve(line, number, x, y) for line, number in drawn),
        *(part for line, number in drawn for part in _points(line, number, x, y)),
        "</svg>",
    ])  # fmt: skip


Place = Callable[[float], float]


def described_in_words(panel: Panel) -> str:
    """A panel for those who do not see it."""
    texts = [
        f"{line.label}: "
        + ", ".join(
            f"{100 * accuracy:.1f} % at {sparsity:g}"
            for sparsity, accuracy in zip(line.sparsities, line.accuracy, strict=True)
        )
        for line in panel.lines
    ]
    texts += [
        f"{reference.label}: {100 * reference.accuracy:.1f} %"
        for reference in panel.references
    ]
    return f"{panel.title}. Accuracy at each sparsity. {'; '.join(texts)}."


def marker(number: int) -> str:
    """The sign of a line, round (0, 0)."""
    shape = MARKERS[(number + number // COLOURS) % len(MARKERS)]
    return f'<path class="marker" d="{shape}"/>'


def stroke(number: int) -> str:
    """The class and the dashes of a line."""
    dashes = DASHES[number % len(DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'class="curve c{number % COLOURS}"{dashed}'


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


def _curve(line: Line, number: int, x: Place, y: Place) -> str:
    ends = zip(line.sparsities, line.accuracy, strict=True)
    return f'<polyline {stroke(number)} points="{_path(ends, x, y)}"/>'


def _path(points, x: Place, y: Place) -> str:
    return " ".join(
        f"{x(sparsity):.1f},{y(accuracy):.1f}" for sparsity, accuracy in points
    )


def _points(line: Line, number: int, x: Place, y: Place) -> Iterator[str]:
    yield f'<g class="points c{number % COLOURS}">'
    for at, (sparsity, accuracy) in enumerate(
        zip(line.sparsities, line.accuracy, strict=True)
    ):
        address = html.escape(urlencode([*line.address, ("sparsity", f"{sparsity!r}")]))
        yield (
            f'<a class="point" href="#{address}" '
            f'transform="translate({x(sparsity):.1f} {y(accuracy):.1f})">'
            f"<title>{html.escape(_told(line, at))}</title>"
            f'<circle class="hit" r="10"/>{marker(number)}</a>'
        )
    yield "</g>"


def _told(line: Line, at: int) -> str:
    """A point in words, a line each."""
    sparsity = line.sparsities[at]
    left = f"{100 * (1 - line.achieved[at]):.4g} % of the prunable weights left"
    accuracy, low, high = (
        f"{100 * value:.1f}"
        for value in (line.accuracy[at], line.low[at], line.high[at])
    )
    return "\n".join([
        line.name,
        f"sparsity {sparsity:g}: {left}" if sparsity else f"dense: {left}",
        f"accuracy {accuracy} %, 95 % interval {low} to {high}",
        f"{line.correct[at]} of {line.questions} questions right",
    ])  # fmt: skip
