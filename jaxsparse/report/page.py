"""report.html: findings, curves, tables and questions in one file, without network.

The parts of the page lie in `jaxsparse/assets/page`. They are filled in one pass, so
that what is filled in is never searched again; whatever comes from data is escaped
here, and set as text by the script.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxsparse.assets import DIRECTORY
from jaxsparse.plots import HeatMap
from jaxsparse.report import sections
from jaxsparse.report.cells import TextTable
from jaxsparse.report.sections import Chart, Picture

MOST_OPEN = 3  # sentences that are not folded
PARTS = DIRECTORY / "page"
OPEN = 2  # tables that are not folded at first
WIDE = 15  # columns from which a table is set closer
# protocol -> its scores as they are embedded, in few characters
ROUNDED: dict[str, Callable[[float], float]] = {
    "cloze": lambda nats: round(nats, 3),
    "append": lambda probability: float(f"{probability:.4g}"),
}
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
IN_SCRIPT = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class PagePoint:
    """What a model said at one sparsity; a row for each question of the page."""

    sparsity: float
    accuracy: float  # fraction, of all questions asked
    predicted: Sequence[int]  # index of an option
    places: Sequence[int]  # of the answer among the options by score, from 1
    scores: Sequence[Sequence[float]]  # question, option; nats, or probabilities


@dataclass(frozen=True)
class PageCurve:
    """One model, protocol and method.

    The first point is dense (sparsity 0); without it nothing is lost or gained.
    """

    model: str
    label: str  # tells the curves of a model apart: "cloze, magnitude"
    protocol: str  # of ROUNDED
    context: str  # how much of the story the model has read
    style: int  # which of the questions' texts
    points: tuple[PagePoint, ...]  # sparsity ascending


@dataclass(frozen=True)
class PageText:
    """A question as some of the models read it."""

    sentences: tuple[str, ...]  # maybe none
    query: str  # holds XXXXX once
    options: tuple[str, ...]


@dataclass(frozen=True)
class PageQuestion:
    id: str
    word_class: str
    answers: tuple[int, ...]  # which options are right
    texts: tuple[PageText, ...]  # in every style of the page


@dataclass(frozen=True)
class Page:
    title: str
    findings: tuple[str, ...]  # the first is the answer of the page
    about: tuple[tuple[str, str], ...]  # what was run: short names and texts
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    charts: tuple[Chart, ...]
    pictures: tuple[Picture, ...]
    maps: tuple[HeatMap, ...]
    explained: Mapping[str, str]  # columns of the tables
    legend: str  # the same in one text
    tables: tuple[TextTable, ...]
    styles: tuple[str, ...]  # of detokenizing
    curves: tuple[PageCurve, ...]
    questions: tuple[PageQuestion, ...]  # of the explorer
    class_names: Mapping[str, str]
    class_kind: str  # what a class of questions is
    asked: int  # questions of the run, in the explorer or not


def render(page: Page) -> str:
    """The page as text.

    Raises:
        ValueError: a curve's points do not fit the questions, or a score is not finite.
    """
    for curve in page.curves:
        _check(curve, page.questions)
    tables = [_table(*item, page.explained) for item in enumerate(page.tables, 1)]
    parts = {
        "title": html.escape(page.title),
        "style": _asset("page.css"),
        "findings": _findings(page.findings),
        "about": "".join(map(_fact, page.about)),
        "commands": _each('<pre class="command">{}</pre>', page.commands),
        "notes": _each('<p class="note">{}</p>', page.notes),
        "contents": "\n".join(_contents(page)),
        "charts": "\n".join(map(sections.chart, page.charts)),
        "pictures": "\n".join(map(sections.picture, page.pictures)),
        "maps": sections.heat_maps(page.maps),
        "tables": "\n".join(tables),
        "legend": html.escape(page.legend),
        "in_file": html.escape(_in_file(len(page.questions), page.asked)),
        "kind": html.escape(page.class_kind),
        "data": _data(page),
        "script": "".join(map(_asset, ("state.js", "page.js", "points.js"))),
    }
    return PLACEHOLDER.sub(lambda found: parts[found[1]], _asset("page.html"))


def _check(curve: PageCurve, questions: Sequence[PageQuestion]) -> None:
    where = f"{curve.model}, {curve.label}"
    if curve.protocol not in ROUNDED:
        raise ValueError(f"{where}: {curve.protocol!r} is none of {list(ROUNDED)}")
    sparsities = [point.sparsity for point in curve.points]
    if not sparsities or sparsities != sorted(set(sparsities)):
        raise ValueError(f"{where}: sparsities {sparsities} do not ascend")
    for point in curve.points:
        sizes = [len(rows) for rows in (point.predicted, point.places, point.scores)]
        if set(sizes) != {len(questions)}:
            raise ValueError(
                f"{where}, sparsity {point.sparsity}: {sizes[0]} predictions, "
                f"{sizes[1]} places and {sizes[2]} rows of scores for "
                f"{len(questions)} questions"
            )
        for question, predicted, scores in zip(
            questions, point.predicted, point.scores, strict=True
        ):
            options = len(question.texts[0].options)
            if len(scores) != options or not 0 <= predicted < options:
                raise ValueError(
                    f"{where}, sparsity {point.sparsity}, {question.id}: option "
                    f"{predicted} of {len(scores)} scores for {options} options"
                )


def _asset(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _each(pattern: str, texts: Iterable[str]) -> str:
    return "\n".join(pattern.format(html.escape(text)) for text in texts)


def _findings(findings: Sequence[str]) -> str:
    """The answer of the page in large letters, and what goes with it."""
    findings = [text.replace(" %", "\u00a0%") for text in findings]
    first = _each('<p class="lead">{}</p>', findings[:1])
    others = "".join(f"<li>{html.escape(text)}</li>" for text in findings[1:])
    listed = f'<ul class="findings">{others}</ul>' if others else ""
    if len(findings) > MOST_OPEN:  # or the curves would be below the first screen
        listed = f"<details><summary>Curve by curve</summary>{listed}</details>"
    return first + listed


def _fact(fact: tuple[str, str]) -> str:
    name, text = map(html.escape, fact)
    return f"<div><dt>{name}</dt><dd>{text}</dd></div>"


def _contents(page: Page) -> Iterator[str]:
    """Links to the parts of the page."""
    parts = [(section.id, section.title) for section in page.charts]
    parts += [(picture.id, picture.title) for picture in page.pictures]
    if page.maps:
        parts.append(("layers", "Layers"))
    for name, title in (*parts, ("tables", "Tables"), ("questions", "Questions")):
        yield f'<li><a href="#{name}">{html.escape(title)}</a></li>'


def _table(number: int, table: TextTable, explained: Mapping[str, str]) -> str:
    """A table that folds; the first ones are open."""
    title = html.escape(table.title)
    is_open = " open" if number <= OPEN else ""
    style = " class=wide" if len(table.header) >= WIDE else ""
    header = "\n".join(_head(name, explained.get(name, "")) for name in table.header)
    return "\n".join([
        f'<details id="table-{number}"{is_open}>',
        f"<summary>{title}</summary>",
        # Focusable, since a keyboard could not scroll it otherwise.
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">',
        f"<table{style}>",
        f"<thead>\n<tr>\n{header}\n</tr>\n</thead>\n<tbody>",
        *(_row(row) for row in table.rows),
        "</tbody>\n</table>\n</div>",
        _each('<p class="note">{}</p>', table.notes),
        "</details>",
    ])  # fmt: skip


def _head(name: str, explained: str) -> str:
    title = f' title="{html.escape(explained)}"' if explained else ""
    return f'<th scope="col"{title}>{html.escape(name)}</th>'


def _row(cells: tuple[str, ...]) -> str:
    first = _each('<th scope="row">{}</th>', cells[:1])
    return f"<tr>{first}{_each('<td>{}</td>', cells[1:])}</tr>"


def _in_file(count: int, asked: int) -> str:
    """How many of the questions are in the file."""
    if count == asked:
        return f"All {asked:,} questions of the run are in this file."
    return (
        f"{count:,} of {asked:,} questions are in this file; the curves and the tables "
        f"count all {asked:,}, and the run's predictions.parquet has all scores."
    )


def _data(page: Page) -> str:
    """The explorer's data: JSON that cannot end the script element it lies in."""
    data = {
        "styles": page.styles,
        "classNames": dict(page.class_names),
        "opening": _opening(page.curves),
        "questions": [_question(question) for question in page.questions],
        "curves": [_curve(curve) for curve in page.curves],
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in IN_SCRIPT.items():
        text = text.replace(character, escaped)
    return text


def _question(question: PageQuestion) -> dict[str, Any]:
    # `asdict` copies all that is in it first.
    return {**vars(question), "texts": [vars(text) for text in question.texts]}


def _opening(curves: Sequence[PageCurve]) -> dict[str, int]:
    """Where the explorer begins: the point that loses most, the first of equals, of the
    first curve that has a dense one to lose against."""
    for number, curve in enumerate(curves):
        pruned = [point.accuracy for point in curve.points[1:]]
        if curve.points[0].sparsity == 0 and pruned:
            return {"curve": number, "point": 1 + pruned.index(min(pruned))}
    return {"curve": 0, "point": 0}


def _curve(curve: PageCurve) -> dict[str, Any]:
    rounded = ROUNDED[curve.protocol]
    points = [
        {
            "sparsity": point.sparsity,
            # As text, since JavaScript rounds halves otherwise than the tables do.
            "accuracy": f"{100 * point.accuracy:.1f} %",
            "predicted": list(point.predicted),
            "places": list(point.places),
            "scores": [[rounded(score) for score in row] for row in point.scores],
        }
        for point in curve.points
    ]
    return {
        "model": curve.model,
        "label": curve.label,
        "protocol": curve.protocol,
        "context": curve.context,
        "style": curve.style,
        "points": points,
    }
