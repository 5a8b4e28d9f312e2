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
from jaxsparse.report.cells import EXPLAINED, TextTable, legend
from jaxsparse.report.labels import Labels, class_names, classes_of
from jaxsparse.report.page import (
    Page,
    PageCurve,
    PagePoint,
    PageQuestion,
    PageText,
    render,
)
from jaxsparse.report.statistics import Statistics

MOST_QUESTIONS = 1000  # on a page, unless told: some megabytes, which a phone can open


def page(
    found: Statistics,
    tables: Sequence[TextTable],
    commands: Sequence[str],
    notes: Sequence[str],
    questions: int = MOST_QUESTIONS,
    *,
    facts: Sequence[Mapping[str, Any]] = (),
    sentences: Sequence[str] = (),
) -> str:
    """report.html; its explorer holds so many of the questions (0: all), as evenly over
    their classes as they come.

    Args:
        facts: the run.json of every run.
        sentences: what was found, the answer of the page first.
    """
    points, asked = found.points, found.questions
    chosen = {id(question) for question in cbt.select(asked, questions)}
    numbers = np.array(
        [n for n, question in enumerate(asked) if id(question) in chosen]
    )
    styles = tuple(
        dict.fromkeys(point.setup.presentation.detokenize for point in points)
    )
    return render(
        Page(
            title=title(points),
            findings=tuple(sentences),
            about=tuple(about(points, facts)),
            commands=tuple(commands),
            notes=tuple(notes),
            charts=tuple(pictures.charts(found)),
            pictures=tuple(pictures.embedded(found)),
            maps=tuple(pictures.layers(points)),
            explained=EXPLAINED,
            legend=legend(tables),
            tables=tuple(tables),
            styles=styles,
            curves=tuple(
                _curve(curve, members, found.labels, numbers, styles)
                for curve, members in by_curve(points)
            ),
            questions=tuple(_question(asked[number], styles) for number in numbers),
            class_names=class_names(asked),
            class_kind=classes_of(asked)[0],
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
    sizes = [len(questions[number].options) for number in numbers]
    shown = (
        (
            point.sparsity,
            point.pooled.accuracy,
            point.answers.predicted[numbers].tolist(),
            places(point.answers.scores[numbers], answers),
            [
                row[:size]
                for row, size in zip(
                    point.answers.scores[numbers].tolist(), sizes, strict=True
                )
            ],
        )
        for point in members
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
