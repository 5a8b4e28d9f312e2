"""Accuracy against the time that a question takes: what pruning buys."""

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxsparse import plots
from jaxsparse.points import Point
from jaxsparse.report import beside
from jaxsparse.report.charts import Axis
from jaxsparse.report.lines import Line, Panel

FAR = 10.0  # times the shortest, from which on times stand in logarithms
IN_SECONDS = 10.0  # from which on they are said in seconds
MOST_TICKS = 6
DENSE = "0.15"  # the grey of its mark
STAR = 9  # points


def is_timed(points: Sequence[Point]) -> bool:
    """Whether time can tell points apart: what is pruned is computed in another way
    than dense, or is smaller. Zeros among dense arrays take as long as other weights,
    so that a plot of masks by dense execution would show noise alone."""
    return any(
        point.curve.execution != "dense" or point.recipe.structured
        for point in points
        if point.sparsity
    )


def axis(lines: Sequence[Line]) -> Axis:
    """The seconds that a question takes at the points of a panel: from 0 on, so that
    half the way is half the time, or in logarithms."""
    times = [taken for line in lines for taken in line.seconds]
    shortest, longest = min(times), max(times)
    unit = 1.0 if longest >= IN_SECONDS else 1e-3
    name = "seconds a question" if unit == 1 else "milliseconds a question"
    if longest <= FAR * shortest:
        end = 1.08 * longest
        ticks = [(at * unit / end, f"{at:g}") for at in _steps(longest / unit)]
        return Axis("time", name, tuple(ticks), lambda taken: taken / end, timed=True)
    start, end = math.log(shortest / 1.15), math.log(1.15 * longest)

    def place(taken: float) -> float:
        return (math.log(taken) - start) / (end - start)

    ticks = [
        (place(at * unit), f"{at:g}")
        for at in _round_numbers(shortest / 1.15 / unit, 1.15 * longest / unit)
    ]
    return Axis("time", f"{name} (log scale)", tuple(ticks), place, timed=True)


def _steps(longest: float) -> Iterator[float]:
    """Multiples of a round number from 0 to `longest`, few enough for an axis."""
    decade = 10.0 ** math.floor(math.log10(longest))
    step = next(
        size * decade
        for size in (0.1, 0.2, 0.5, 1, 2)
        if longest / (size * decade) <= MOST_TICKS
    )
    for number in range(math.floor(longest / step + 1e-6) + 1):
        yield float(f"{number * step:.6g}")


def _round_numbers(low: float, high: float) -> list[float]:
    """Those between two numbers, few enough for an axis that has logarithms."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    for steps in (1, 2, 5), (1, 3), (1,):
        found = [
            step * 10.0**decade
            for decade in decades
            for step in steps
            if low <= step * 10.0**decade <= high
        ]
        if len(found) <= MOST_TICKS:
            break
    return found


def draw(panels: Sequence[Panel], title: str) -> Figure:
    """A figure with these panels, each with times of its own."""
    lines = [line for panel in panels for line in panel.lines]
    labels = list(dict.fromkeys(line.label for line in lines))
    figure, axes = plots.grid(len(panels), plots.PANEL_INCHES[1], sharey=True)
    top = plots.top(lines)
    for panel, drawn in zip(panels, axes, strict=True):
        times = axis(panel.lines)
        for line in panel.lines:
            _draw_line(drawn, line, times, labels.index(line.label))
        for line in panel.lines:
            _draw_dense(drawn, line, times)
        _write_names(drawn, panel.lines, times, labels, top)
        levels = {level.label: level.accuracy for level in panel.references}
        plots.frame(drawn, panel.title, levels)
        drawn.set_xlim(0, 1)
        drawn.set_xticks(
            [at for at, _ in times.ticks], [text for _, text in times.ticks]
        )
        drawn.set_xlabel(times.label, fontsize="small")
    axes[0].set_ylim(0, top)
    plots.describe(figure, "accuracy, %", title, across="")
    return figure


def _draw_line(drawn: Axes, line: Line, times: Axis, number: int) -> None:
    """The curve from dense on, with a mark and a bar at each pruned point."""
    colour = plots.COLOURS[number % len(plots.COLOURS)]
    places = [times.place(taken) for taken in line.seconds]
    pruned = [at for at, sparsity in enumerate(line.sparsities) if sparsity]
    drawn.plot(
        places, [100 * value for value in line.accuracy], **plots.look(number),
        markersize=4.5, markevery=pruned, label=line.label,
    )  # fmt: skip
    for at in pruned:
        _draw_bar(drawn, line, at, places[at], colour)


def _draw_dense(drawn: Axes, line: Line, times: Axis) -> None:
    """Dense has a mark of its own, over all lines."""
    for at, sparsity in enumerate(line.sparsities):
        if not sparsity:
            place = times.place(line.seconds[at])
            _draw_bar(drawn, line, at, place, DENSE)
            drawn.plot(
                place, 100 * line.accuracy[at], color=DENSE, marker="*",
                markersize=STAR, linestyle="", label="dense", zorder=3,
            )  # fmt: skip


def _draw_bar(drawn: Axes, line: Line, at: int, place: float, colour: str) -> None:
    low, high = 100 * line.low[at], 100 * line.high[at]
    drawn.vlines(place, low, high, color=colour, alpha=0.45, linewidth=1.2)


def _write_names(
    drawn: Axes, lines: Sequence[Line], times: Axis, labels: Sequence[str], top: float
) -> None:
    marks = [
        (times.place(taken), 100 * accuracy / top)
        for line in lines
        for taken, accuracy in zip(line.seconds, line.accuracy, strict=True)
    ]
    names = [(line, name) for line in lines for name in line.names]
    for (line, name), (across, up), side in zip(
        names, marks, beside.sides(marks), strict=True
    ):
        if side and name:
            number = labels.index(line.label)
            drawn.annotate(
                name, (across, top * up), (5 * side[0], 6 * side[1]),
                textcoords="offset points", fontsize=7, va="center",
                ha="left" if side[0] > 0 else "right",
                color=plots.COLOURS[number % len(plots.COLOURS)],
            )  # fmt: skip
