"""The page of a report, from results: its findings, its curves, and its questions."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxsparse import cbt
from jaxsparse.points import Curve, Point, by_curve
from jaxsparse.report import pictures
from jaxsparse.report.about import about, title
from jaxsparse.report.cells import EXPLAINED, Table, legend
from jaxsparse.report.labels import Labels
from jaxsparse.report.page import (
    Page,
    PageCurve,
    PagePoint,
    PageQuestion,
    PageText,
    render,
)

MOST_QUESTIONS = 1000  # on a page, unless told: some megabytes, which a phone can open


def page(
    points: Sequence[Point],
    tables: Sequence[Table],
    commands: Sequence[str],
    notes: Sequence[str],
    questions: int = MOST_QUESTIONS,
    *,
    facts: Sequence[Mapping[str, Any]] = (),
    findings: Sequence[str] = (),
) -> str:
    """report.html; its explorer holds so many of the questions (0: all), as evenly over
    their classes as they come.

    Args:
        facts: the run.json of every run.
        findings: sentences, the answer of the page first.
    """
    asked = points[0].questions
    chosen = {id(question) for question in cbt.select(asked, questions)}
    numbers = np.array(
        [n for n, question in enumerate(asked) if id(question) in chosen]
    )
    labels = Labels(points)
    styles = tuple(
        dict.fromkeys(point.setup.presentation.detokenize for point in points)
    )
    return render(
        Page(
            title=title(points),
            findings=tuple(findings),
            about=tuple(about(points, facts)),
            commands=tuple(commands),
            notes=tuple(notes),
            charts=tuple(pictures.charts(points)),
            maps=tuple(pictures.layers(points)),
            explained=EXPLAINED,
            legend=legend(name for table in tables for name in table.header),
            tables=tuple(tables),
            styles=styles,
            curves=tuple(
                _curve(curve, members, labels, numbers, styles)
                for curve, members in by_curve(points)
            ),
            questions=tuple(_question(asked[number], styles) for number in numbers),
            class_names=cbt.CLASS_NAMES,
            asked=len(asked),
        )
    )


def _question(question: cbt.Question, styles: Sequence[str]) -> PageQuestion:
    return PageQuestion(
        id=question.id,
        word_class=question.word_class,
        answers=_answers(question),
        texts=tuple(PageText(*cbt.detokenize(question, style)) for style in styles),
    )


def _answers(question: cbt.Question) -> tuple[int, ...]:
    """The options that equal the answer: mostly one."""
    options = enumerate(question.options)
    return tuple(number for number, text in options if text == question.answer)


def _curve(
    curve: Curve,
    members: Sequence[Point],
    labels: Labels,
    numbers: Int[np.ndarray, " question"],
    styles: Sequence[str],
) -> PageCurve:
    questions = members[0].questions
    answers = [_answers(questions[number]) for number in numbers]
    shown = (
        (
            one.sparsity,
            one.pooled.accuracy,
            one.answers.predicted[numbers].tolist(),
            places(one.answers.scores[numbers], answers),
            one.answers.scores[numbers].astype(float).tolist(),
        )
        for one in members
    )
    return PageCurve(
        model=curve.setup.model,
        label=labels.line(curve),
        protocol=curve.setup.presentation.protocol,
        context=curve.setup.presentation.context,
        style=styles.index(curve.setup.presentation.detokenize),
        points=tuple(starmap(PagePoint, shown)),
    )


def places(
    scores: Float[np.ndarray, "question option"], answers: Sequence[Sequence[int]]
) -> list[int]:
    """Where the answer stands among the options, the best first, from 1.

    Of equal scores the first option is better, as it is for the prediction.
    """
    order = np.argsort(-scores, axis=1, kind="stable").tolist()
    return [
        1 + min(ranked.index(option) for option in right)
        for ranked, right in zip(order, answers, strict=True)
    ]
