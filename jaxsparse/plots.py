"""Accuracy against sparsity as a picture: a panel a model, a band an interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = (  # Okabe and Ito's, told apart by the colour-blind
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
MARKERS = "osD^vP"
PANEL_INCHES = (3.6, 3.4)
COLUMNS = 3


@dataclass(frozen=True)
class Curve:
    """One line of one panel; fractions, sparsity ascending."""

    panel: str
    label: str
    sparsities: tuple[float, ...]
    accuracy: tuple[float, ...]
    low: tuple[float, ...]  # of the interval
    high: tuple[float, ...]


def draw_accuracy(curves: Sequence[Curve], chance: float, title: str) -> Figure:
    """A figure with one panel for each `panel` of the curves, in their order."""
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    labels = list(dict.fromkeys(curve.label for curve in curves))
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width, height = PANEL_INCHES
    figure = Figure((width * columns, height * rows + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for panel, axis in zip(panels, axes, strict=False):
        for curve in curves:
            if curve.panel == panel:
                _draw_curve(axis, curve, labels.index(curve.label))
        _frame(axis, panel, chance)
    for unused in list(axes)[len(panels) :]:
        unused.set_axis_off()
    first = figure.axes[0]
    first.set_ylim(0, _top(curves))
    figure.supylabel("accuracy, %", fontsize="medium")
    figure.supxlabel("sparsity of the prunable weights", fontsize="medium")
    handles = {}
    for axis in figure.axes:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=4,
        frameon=False, title=title,
    )  # fmt: skip
    return figure


def save(figure: Figure, path: Path) -> None:
    # Without the date and the version: the same results make the same bytes.
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw_curve(axis: Axes, curve: Curve, number: int) -> None:
    colour = COLOURS[number % len(COLOURS)]
    percent = [100 * value for value in curve.accuracy]
    axis.fill_between(
        curve.sparsities,
        [100 * value for value in curve.low],
        [100 * value for value in curve.high],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    axis.plot(
        curve.sparsities,
        percent,
        color=colour,
        marker=MARKERS[number % len(MARKERS)],
        markersize=4.5,
        label=curve.label,
    )


def _frame(axis: Axes, title: str, chance: float) -> None:
    axis.axhline(
        100 * chance, color="0.45", linestyle="--", linewidth=1, label="chance"
    )
    axis.set_title(title, fontsize="medium", parse_math=False)  # a name, and may have $
    axis.set_xlim(-0.03, 1.03)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axis.grid(axis="y", color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _top(curves: Sequence[Curve]) -> float:
    """Percent; a little above the highest band, in tens."""
    highest = max(value for curve in curves for value in curve.high)
    return min(100.0, 10.0 * (int(10 * highest) + 1))
