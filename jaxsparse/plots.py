"""Accuracy against sparsity as a picture: a panel a model, a band an interval; and the
sparsity of layers as a map of heat."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = (  # Okabe and Ito's, told apart by the colour-blind
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
    "#8C8C8C",
)  # fmt: skip
MARKERS = "osD^vPX*"
DASHES = ("-", "--", ":")  # of lines that have the same colour
LEGEND_ROWS = 4  # that a figure has room for; it grows with more
PANEL_INCHES = (3.6, 3.4)
COLUMNS = 3


@dataclass(frozen=True)
class LabelledLine:
    """One line of one panel, sparsity ascending."""

    panel: str
    label: str
    sparsities: tuple[float, ...]


@dataclass(frozen=True)
class Series(LabelledLine):
    """The same of accuracies, fractions."""

    accuracy: tuple[float, ...]
    low: tuple[float, ...]  # of the interval
    high: tuple[float, ...]


@dataclass(frozen=True)
class HeatMap:
    """One panel: the sparsity that was achieved in each layer, as fractions."""

    panel: str
    rows: tuple[str, ...]  # layers
    columns: tuple[float, ...]  # sparsities requested
    values: tuple[tuple[float, ...], ...]  # row, column


def draw_accuracy(
    curves: Sequence[Series], references: Mapping[str, float], title: str
) -> Figure:
    """A figure with one panel for each `panel` of the curves, in their order.

    Args:
        references: level lines by name: what is right without a model, fractions.
    """
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    labels = list(dict.fromkeys(curve.label for curve in curves))
    figure, axes = grid(len(panels), PANEL_INCHES[1], sharey=True)
    for panel, axis in zip(panels, axes, strict=True):
        for curve in curves:
            if curve.panel == panel:
                _draw_curve(axis, curve, labels.index(curve.label))
        frame(axis, panel, references)
    axes[0].set_ylim(0, top(curves))
    describe(figure, "accuracy, %", title)
    return figure


def describe(
    figure: Figure,
    measured: str,
    title: str,
    across: str = "sparsity of the prunable weights",
) -> None:
    """What the axes are, and a legend of all panels above them."""
    figure.supylabel(measured, fontsize="medium")
    if across:
        figure.supxlabel(across, fontsize="medium")
    handles = {}
    for axis in figure.axes:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    # A letter of 10 points is about 0.085 inches wide, the sign before it 0.6.
    fit = figure.get_figwidth() / (0.6 + 0.085 * max(map(len, handles)))
    titled = textwrap.fill(title, int(figure.get_figwidth() / 0.085))
    columns, size = max(1, min(4, int(fit))), 10 * min(1, fit)
    more = max(0, -(-len(handles) // columns) - LEGEND_ROWS)
    figure.set_figheight(figure.get_figheight() + more * 1.5 * size / 72)
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", frameon=False,
        ncols=columns, fontsize=size, title=titled or None,
    )  # fmt: skip


def draw_layers(maps: Sequence[HeatMap], title: str) -> Figure:
    """A figure with one panel for each map; their colours mean the same."""
    most = max(len(heat_map.rows) for heat_map in maps)
    figure, axes = grid(len(maps), max(PANEL_INCHES[1], 0.22 * most + 1), sharey=False)
    for heat_map, axis in zip(maps, axes, strict=True):
        percent = [[100 * value for value in row] for row in heat_map.values]
        axis.imshow(percent, cmap="viridis", vmin=0, vmax=100, aspect="auto")
        for row, values in enumerate(percent):
            for column, value in enumerate(values):
                axis.text(
                    column, row, f"{value:.1f}", ha="center", va="center",
                    fontsize="x-small", color="white" if value < 60 else "black",
                )  # fmt: skip
        axis.set_title(heat_map.panel, fontsize="medium", parse_math=False)
        axis.set_xticks(
            range(len(heat_map.columns)), [f"{s:g}" for s in heat_map.columns]
        )
        axis.set_yticks(range(len(heat_map.rows)), heat_map.rows, fontsize="x-small")
    figure.supxlabel("sparsity requested", fontsize="medium")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def grid(panels: int, height: float, sharey: bool) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, and no more."""
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    size = (PANEL_INCHES[0] * columns, height * rows + 0.9)
    figure = Figure(size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.set_axis_off()
    return figure, axes[:panels]


# The same results make the same bytes: no date, no version, no random names.


def save(figure: Figure, path: Path, kind: str = "png") -> None:
    """Writes a picture; `kind` is png or svg, whatever the name of the file."""
    if kind == "svg":
        path.write_text(svg(figure), encoding="utf-8")
    else:
        with _whatever_the_font_lacks():
            figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def svg(figure: Figure) -> str:
    """The picture as an SVG document; its text is text, in a font of the reader's."""
    settings = {
        "svg.hashsalt": "jaxsparse", "svg.fonttype": "none",
        "font.family": "sans-serif",
    }  # fmt: skip
    text = io.StringIO()
    with (
        _whatever_the_font_lacks(),
        matplotlib.rc_context(settings),  # pyright: ignore[reportArgumentType]
    ):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _draw_curve(axis: Axes, curve: Series, number: int) -> None:
    percent, low, high = (
        [100 * value for value in values]
        for values in (curve.accuracy, curve.low, curve.high)
    )
    draw_band(axis, curve, low, high, number)
    draw_line(axis, curve, percent, number)


def look(number: int) -> dict[str, Any]:
    """What tells a line from the others of a figure."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)],
    }


def draw_band(
    axis: Axes,
    curve: LabelledLine,
    low: Sequence[float],
    high: Sequence[float],
    number: int,
) -> None:
    """A single mark has a bar, since a band there has no width."""
    colour = COLOURS[number % len(COLOURS)]
    if len(curve.sparsities) == 1:
        axis.vlines(curve.sparsities, low, high, color=colour)
    axis.fill_between(
        curve.sparsities, low, high, color=colour, alpha=0.18, linewidth=0
    )


def draw_line(
    axis: Axes,
    curve: LabelledLine,
    values: Sequence[float],
    number: int,
    hollow: bool = False,
) -> None:
    """Without a line and a name in the legend, where marks are hollow."""
    (line,) = axis.plot(
        curve.sparsities,
        values,
        **look(number),
        markersize=4.5,
        label="_hollow" if hollow else curve.label,
    )
    if hollow:
        line.set(linestyle="", markerfacecolor="white")


def frame(
    axis: Axes, title: str, references: Mapping[str, float], largest: float = 1.0
) -> None:
    """The title, level lines and the axis of sparsity, which ends at `largest`."""
    for name, value in references.items():
        dashes = "--" if name == "chance" else ":"
        axis.axhline(100 * value, color="0.45", linestyle=dashes, lw=1, label=name)
    axis.set_title(title, fontsize="medium", parse_math=False)  # a name, and may have $
    axis.set_xlim(-0.03 * largest, 1.03 * largest)
    if largest == 1:
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axis.grid(axis="y", color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def top(curves: Sequence[Series]) -> float:
    """Where panels end, percent: a little above the highest band, in tens."""
    highest = max(value for curve in curves for value in curve.high)
    return min(100.0, 10.0 * (int(10 * highest) + 1))


@contextmanager
def _whatever_the_font_lacks() -> Iterator[None]:
    """A model's name may have letters that are not in the font; they become boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield
