"""Parts of the page that are drawn: curves with their legend, and maps of heat."""

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxsparse import plots
from jaxsparse.report import charts, timing
from jaxsparse.report.charts import COLOURS, Axis, Frame, linear, remaining
from jaxsparse.report.lines import Panel, Reference

LARGE, SMALL = Frame(400, 214, 20, 36, True), Frame(300, 140, 8, 20, False)


@dataclass(frozen=True)
class Chart:
    """Panels that share their axes, and whose lines are told apart in one way.

    Large panels come in both axes, small ones in the one that a reader chooses; timed
    ones have the seconds of a question instead, each its own.
    """

    id: str
    title: str
    notes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]  # each with its heading, or ""
    small: bool = False
    timed: bool = False

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for _, row in self.rows for panel in row)


def chart(section: Chart) -> str:
    """A section: its legend, then its panels."""
    lines = [line for panel in section.panels for line in panel.lines]
    labels = list(dict.fromkeys(line.label for line in lines))
    sparsities = sorted({value for line in lines for value in line.sparsities})
    axes, top = (linear(), remaining(sparsities)), plots.top(lines)
    frame = SMALL if section.small else LARGE
    style = "chart small" if section.small else "chart"
    parts = [
        f'<section id="{section.id}" class="{style}">',
        f"<h2>{html.escape(section.title)}</h2>",
        *(_switch(section.id) if section.small else ()),
        _legend(labels, section.panels, section.timed),
    ]
    for heading, row in section.rows:
        if heading:
            parts.append(f"<h3>{html.escape(heading)}</h3>")
        parts += ['<div class="panels">']
        for panel in row:
            of_panel = (timing.axis(panel.lines),) if section.timed else axes
            parts.append(_figure(panel, labels, of_panel, top, frame))
        parts += ["</div>"]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in section.notes]
    return "\n".join([*parts, "</section>"])


def _figure(
    panel: Panel,
    labels: Sequence[str],
    axes: Sequence[Axis],
    top: float,
    frame: Frame,
) -> str:
    drawn = [charts.draw(panel, labels, axis, top / 100, frame) for axis in axes]
    title = html.escape(panel.title)
    return "\n".join(
        [f"<figure><figcaption>{title}</figcaption><div>", *drawn, "</div></figure>"]
    )


def _switch(name: str) -> Iterator[str]:
    """Between the two axes; the panels come behind it, so that CSS alone follows."""
    choices = (
        ("linear", "sparsity", " checked"),
        ("log", "prunable weights left, log scale", ""),
    )
    for axis, text, checked in choices:
        yield (
            f'<input type="radio" class="to-{axis}" name="{name}-axis" '
            f'id="{name}-{axis}"{checked}><label for="{name}-{axis}">{text}</label>'
        )


def _legend(labels: Sequence[str], panels: Sequence[Panel], timed: bool) -> str:
    """Every line by its look, then the level lines, with their accuracy where all
    panels have the same."""
    keys = [
        f'<li><svg class="key" viewBox="-16 -7 32 14" aria-hidden="true">'
        f'<g class="c{number % COLOURS}"><path {charts.stroke(number)} d="M-16 0h32"/>'
        f"{charts.marker(number)}</g></svg>{html.escape(label)}</li>"
        for number, label in enumerate(labels)
    ]
    if timed:
        keys.append(
            '<li><svg class="key" viewBox="-16 -7 32 14" aria-hidden="true">'
            f"{charts.star()}</svg>dense</li>"
        )
    references: dict[str, list[Reference]] = {}
    for panel in panels:
        for reference in panel.references:
            references.setdefault(reference.label, []).append(reference)
    for label, found in references.items():
        values = {f" {100 * reference.accuracy:.1f} %" for reference in found}
        name = found[0].short.replace(" ", "-")
        text = html.escape(label + (values.pop() if len(values) == 1 else ""))
        keys.append(
            '<li><svg class="key" viewBox="-16 -7 32 14" aria-hidden="true">'
            f'<path class="reference {name}" d="M-16 0h32"/></svg>{text}</li>'
        )
    return f'<ul class="legend">{"".join(keys)}</ul>'


@dataclass(frozen=True)
class Picture:
    """A plot that is in the page as its file has it."""

    id: str
    title: str
    described: str  # for those who do not see it
    svg: str


def picture(section: Picture) -> str:
    """A section of one picture, which keeps its own colours."""
    content = base64.b64encode(section.svg.encode()).decode()
    return "\n".join([
        f'<section id="{section.id}">',
        f"<h2>{html.escape(section.title)}</h2>",
        f'<img class="picture" alt="{html.escape(section.described)}" '
        f'src="data:image/svg+xml;base64,{content}">',
        "</section>",
    ])  # fmt: skip


def heat_maps(maps: Sequence[plots.HeatMap]) -> str:
    """A section of tables whose cells are the darker, the more is cut; or nothing."""
    if not maps:
        return ""
    return "\n".join([
        '<section id="layers">',
        "<h2>Where the weights were cut</h2>",
        '<p class="note">Sparsity achieved in each layer, in percent, at each sparsity '
        "asked for.</p>",
        '<div class="panels">',
        *map(_heat_map, maps),
        "</div>",
        "</section>",
    ])  # fmt: skip


def _heat_map(heat_map: plots.HeatMap) -> str:
    title = html.escape(heat_map.panel)
    head = "".join(
        f'<th scope="col">{sparsity:g}</th>' for sparsity in heat_map.columns
    )
    rows = [
        f'<tr><th scope="row">{html.escape(name)}</th>{_heats(values)}</tr>'
        for name, values in zip(heat_map.rows, heat_map.values, strict=True)
    ]
    return "\n".join([
        f"<figure><figcaption>{title}</figcaption>",
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">',
        f'<table class="heat"><thead><tr><th scope="col">layer</th>{head}</tr></thead>',
        "<tbody>",
        *rows,
        "</tbody></table></div></figure>",
    ])  # fmt: skip


def _heats(values: Sequence[float]) -> str:
    """Cells; the text of the dark ones is light."""
    return "".join(
        f'<td{" class=deep" if value > 0.65 else ""} style="--cut:{100 * value:.0f}%">'
        f"{100 * value:.1f}</td>"
        for value in values
    )
