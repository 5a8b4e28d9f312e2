"""report.html: tables, pictures and a question explorer in one file, without network.

The parts of the page lie in `jaxsparse/assets/page`. They are filled in one pass, so
that what is filled in is never searched again; whatever comes from data is escaped
here, and set as text by the script.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxsparse.assets import DIRECTORY
from jaxsparse.report.tables import Table

PARTS = DIRECTORY / "page"
# protocol -> its scores as they are embedded, in few characters
ROUNDED: dict[str, Callable[[float], float]] = {
    "cloze": lambda nats: round(nats, 3),
    "append": lambda probability: float(f"{probability:.4g}"),
}
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
IN_SCRIPT = {
    ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"
}


@dataclass(frozen=True)
class Picture:
    """One panel, about 3.6 by 3.4 inches."""

    title: str
    alt: str
    svg: str  # a whole SVG document


@dataclass(frozen=True)
class PagePoint:
    """What a model said at one sparsity; a row for each question of the page."""

    sparsity: float
    accuracy: float  # fraction, of all questions asked
    predicted: Sequence[int]  # index of an option
    scores: Sequence[Sequence[float]]  # question, option; nats, or probabilities


@dataclass(frozen=True)
class PageCurve:
    """One model, protocol and method.

    The first point is dense (sparsity 0); without it nothing is lost or gained.
    """

    model: str
    label: str  # tells the curves of a model apart: "cloze, magnitude"
    protocol: str  # of ROUNDED
    points: tuple[PagePoint, ...]  # sparsity ascending


@dataclass(frozen=True)
class PageQuestion:
    id: str
    word_class: str
    sentences: tuple[str, ...]  # 20
    query: str  # holds XXXXX once
    options: tuple[str, ...]  # 10
    answer: str  # the text of the right options


@dataclass(frozen=True)
class Page:
    title: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    legend: str  # of the tables
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    curves: tuple[PageCurve, ...]
    questions: tuple[PageQuestion, ...]  # of the explorer
    asked: int  # questions of the run, in the explorer or not


def render(page: Page) -> str:
    """The page as text.

    Raises:
        ValueError: a curve's points do not fit the questions, or a score is not finite.
    """
    for curve in page.curves:
        _check(curve, page.questions)
    parts = {
        "title": html.escape(page.title),
        "style": _asset("page.css"),
        "commands": _each('<pre class="command">{}</pre>', page.commands),
        "notes": _each("<p>{}</p>", page.notes),
        "contents": "\n".join(_contents(page)),
        "tables": "\n".join(_table(*item) for item in enumerate(page.tables, 1)),
        "legend": html.escape(page.legend),
        "pictures": "\n".join(map(_picture, page.pictures)) or "<p>No plots.</p>",
        "held": html.escape(_held(len(page.questions), page.asked)),
        "data": _data(page),
        "script": _asset("state.js") + _asset("page.js"),
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
        sizes = len(point.predicted), len(point.scores)
        if sizes != (len(questions),) * 2:
            raise ValueError(
                f"{where}, sparsity {point.sparsity}: {sizes[0]} predictions and "
                f"{sizes[1]} rows of scores for {len(questions)} questions"
            )
        for question, predicted, scores in zip(
            questions, point.predicted, point.scores, strict=True
        ):
            options = len(question.options)
            if len(scores) != options or not 0 <= predicted < options:
                raise ValueError(
                    f"{where}, sparsity {point.sparsity}, {question.id}: option "
                    f"{predicted} of {len(scores)} scores for {options} options"
                )


def _asset(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _each(pattern: str, texts: Iterable[str]) -> str:
    return "\n".join(pattern.format(html.escape(text)) for text in texts)


def _contents(page: Page) -> Iterator[str]:
    """Links to the parts of the page."""
    for number, table in enumerate(page.tables, 1):
        yield f'<li><a href="#table-{number}">{html.escape(table.title)}</a></li>'
    yield '<li><a href="#plots">Plots</a></li>'
    yield '<li><a href="#questions">Questions</a></li>'


def _table(number: int, table: Table) -> str:
    title = html.escape(table.title)
    header = _each('<th scope="col">{}</th>', table.header)
    return "\n".join([
        f'<section id="table-{number}">',
        f"<h3>{title}</h3>",
        # Focusable, since a keyboard could not scroll it otherwise.
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">',
        f"<table>\n<thead>\n<tr>\n{header}\n</tr>\n</thead>\n<tbody>",
        *(_row(row) for row in table.rows),
        "</tbody>\n</table>\n</div>",
        _each('<p class="note">{}</p>', table.notes),
        "</section>",
    ])  # fmt: skip


def _row(cells: tuple[str, ...]) -> str:
    first = _each('<th scope="row">{}</th>', cells[:1])
    return f"<tr>{first}{_each('<td>{}</td>', cells[1:])}</tr>"


def _picture(picture: Picture) -> str:
    """As an image: its ids and styles stay its own, and nothing in it can run."""
    encoded = base64.b64encode(picture.svg.encode()).decode()
    return (
        f'<figure><img alt="{html.escape(picture.alt)}" '
        f'src="data:image/svg+xml;base64,{encoded}">'
        f"<figcaption>{html.escape(picture.title)}</figcaption></figure>"
    )


def _held(held: int, asked: int) -> str:
    """How many of the questions are in the file."""
    if held == asked:
        return f"All {asked:,} questions of the run are in this file."
    return (
        f"{held:,} of {asked:,} questions are in this file; the tables and the plots "
        f"count all {asked:,}, and the run's predictions.parquet has all scores."
    )


def _data(page: Page) -> str:
    """The explorer's data: JSON that cannot end the script element it lies in."""
    data = {
        "questions": [asdict(question) for question in page.questions],
        "curves": [_curve(curve) for curve in page.curves],
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(IN_SCRIPT)


def _curve(curve: PageCurve) -> dict[str, Any]:
    rounded = ROUNDED[curve.protocol]
    points = [
        {
            "sparsity": point.sparsity,
            # As text, since JavaScript rounds halves otherwise than the tables do.
            "accuracy": f"{100 * point.accuracy:.1f} %",
            "predicted": list(point.predicted),
            "scores": [[rounded(score) for score in row] for row in point.scores],
        }
        for point in curve.points
    ]
    return {
        "model": curve.model,
        "label": curve.label,
        "protocol": curve.protocol,
        "points": points,
    }
