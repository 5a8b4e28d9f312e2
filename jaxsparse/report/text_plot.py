"""Losses on running text against sparsity: nats, and the perplexity they stand for."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxsparse import plots

HEIGHT = 4.2  # inches of a panel
FAR = 2.0  # times as high above the lowest loss as the next method is far above it
ROW = 0.08  # of a panel's height, for the values of one line that are far above
APART = 0.07  # of a panel's width; of values that are closer one is written
MOST_ROWS = 0.5  # of a panel's height
MARGIN = 0.05  # of a panel's height, below and above all lines
TICKS = (  # of perplexity, the finest that are few enough
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,),
)  # fmt: skip
MOST_TICKS = 7


@dataclass(frozen=True)
class LossSeries(plots.LabelledLine):
    """A line of nats."""

    nats: tuple[float, ...]
    low: tuple[float, ...]  # of several draws
    high: tuple[float, ...]
    pattern: str = ""  # of marks by themselves, whose line is another of this label
    has_perplexity: bool = False


def draw(curves: Sequence[LossSeries], title: str) -> Figure:
    """A panel for each `panel` of the curves, each on a scale of its own: models differ
    in tokens. A line far above the others would press them together: its losses are
    written at the upper edge."""
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    labels = list(dict.fromkeys(curve.label for curve in curves))
    figure, axes = plots.grid(len(panels), HEIGHT, sharey=False)
    cut = ""
    largest = max((at for curve in curves for at in curve.sparsities), default=1)
    for panel, axis in zip(panels, axes, strict=True):
        members = [curve for curve in curves if curve.panel == panel]
        for curve in members:
            number = labels.index(curve.label)
            plots.draw_band(axis, curve, curve.low, curve.high, number)
            plots.draw_line(axis, curve, curve.nats, number, bool(curve.pattern))
        plots.frame(axis, panel, {}, largest if 0 < largest < 0.9 else 1.0)
        _scale(axis, members, labels)
        if ceiling(members) < max(value for curve in members for value in curve.high):
            cut = "; above the dots: nats, not to scale"
    plots.describe(figure, "nats a target", f"{title}{cut}")
    return figure


def ceiling(curves: Sequence[LossSeries]) -> float:
    """The highest loss of a panel that is drawn to scale: that of all lines, but for
    those far above the others, if they are less than half."""
    lowest = min(value for curve in curves for value in curve.low)
    highest: dict[str, float] = {}
    for curve in curves:
        for value in curve.high:
            highest[curve.label] = max(highest.get(curve.label, value), value)
    ordered = sorted(highest.values())
    for near, far in list(pairwise(ordered))[len(ordered) // 2 :]:
        if near > lowest and far - lowest > FAR * (near - lowest):
            return near
    return ordered[-1]


def _scale(axis: Axes, curves: Sequence[LossSeries], labels: Sequence[str]) -> None:
    """Ends the panel, writes what is beyond its end, and puts perplexity beside it."""
    lowest = min(value for curve in curves for value in curve.low)
    highest = ceiling(curves)
    margin = MARGIN * (highest - lowest) or MARGIN
    bottom, top = lowest - margin, highest + margin
    beyond = [curve for curve in curves if max(curve.nats, default=lowest) > highest]
    end = bottom + (top - bottom) / (1 - min(ROW * len(beyond), MOST_ROWS))
    axis.set_ylim(bottom, end)
    if beyond:
        axis.axhspan(top, end, facecolor="white", zorder=2.3)  # over lines, under axes
        axis.axhline(top, color="0.45", linestyle=(0, (1, 3)), linewidth=1)
        axis.set_yticks([at for at in axis.get_yticks() if bottom <= at <= top])
    for row, curve in enumerate(beyond):
        height = end - (row + 0.5) * (end - top) / len(beyond)
        _write(axis, curve, labels.index(curve.label), highest, height)
    if any(curve.has_perplexity for curve in curves):
        beside = axis.twinx()
        beside.set_ylim(bottom, end)
        values = list(perplexities(bottom, top))
        beside.set_yticks([math.log(value) for value in values])
        beside.set_yticklabels([f"{value:,g}" for value in values])
        beside.set_ylabel("perplexity")
        beside.spines[["top", "left"]].set_visible(False)


def _write(
    axis: Axes, curve: LossSeries, number: int, highest: float, height: float
) -> None:
    """What a line has beyond the end of its panel, in a row."""
    found = [
        (at, nats)
        for at, nats in zip(curve.sparsities, curve.nats, strict=True)
        if nats > highest
    ]
    colour = plots.COLOURS[number % len(plots.COLOURS)]
    axis.plot(
        [at for at, _ in found], [height] * len(found), linestyle="", color=colour,
        marker=plots.MARKERS[number % len(plots.MARKERS)], markersize=3.5, zorder=4,
        markerfacecolor="white" if curve.pattern else colour, label="_beyond",
    )  # fmt: skip
    written = -math.inf
    for at, nats in found:
        if at - written >= APART * axis.get_xlim()[1]:
            axis.annotate(
                f"{nats:.1f}", (at, height), (-4, 0), textcoords="offset points",
                ha="right", va="center", fontsize=7, color=colour, zorder=4,
            )  # fmt: skip
            written = at


def perplexities(low: float, high: float) -> Iterator[float]:
    """Round numbers between exp of two losses in nats, few enough for an axis."""
    decades = range(math.floor(low / math.log(10)), math.ceil(high / math.log(10)))
    for steps in TICKS:
        found = [
            (step, decade)
            for decade in decades
            for step in steps
            if low <= math.log(step) + decade * math.log(10) <= high
        ]
        if len(found) <= MOST_TICKS:
            break
    else:
        found = found[:: -(-len(found) // MOST_TICKS)]
    yield from (step * 10.0**decade for step, decade in found if decade < 300)
