"""The page of a report, from results: its tables, its plots, and its questions."""

from collections.abc import Sequence
from itertools import starmap

import numpy as np
from jaxtyping import Int

from jaxsparse import cbt
from jaxsparse.report import pictures
from jaxsparse.report.page import Page, PageCurve, PagePoint, PageQuestion, render
from jaxsparse.report.results import Curve, Labels, Result, by_curve
from jaxsparse.report.tables import Table, legend

TITLE = "Accuracy against sparsity"
MOST_QUESTIONS = 1000  # on a page, unless told: some megabytes, which a phone can open


def page(
    results: Sequence[Result],
    tables: Sequence[Table],
    commands: Sequence[str],
    notes: Sequence[str],
    questions: int = MOST_QUESTIONS,
) -> str:
    """report.html; its explorer holds so many of the questions (0: all), as evenly over
    their classes as they come."""
    asked = results[0].questions
    chosen = {id(question) for question in cbt.select(asked, questions)}
    numbers = np.array(
        [n for n, question in enumerate(asked) if id(question) in chosen]
    )
    labels = Labels(results)
    curves = by_curve(results)
    return render(
        Page(
            title=TITLE,
            commands=tuple(commands),
            notes=tuple(notes),
            legend=legend(name for table in tables for name in table.header),
            tables=tuple(tables),
            pictures=tuple(pictures.panels(results)),
            curves=tuple(
                _curve(curve, members, labels, numbers) for curve, members in curves
            ),
            questions=tuple(_question(asked[number]) for number in numbers),
            asked=len(asked),
        )
    )


def _question(question: cbt.Question) -> PageQuestion:
    return PageQuestion(
        id=question.id,
        word_class=question.word_class,
        sentences=question.context,
        query=question.query,
        options=question.options,
        answer=question.answer,
    )


def _curve(
    curve: Curve,
    members: Sequence[Result],
    labels: Labels,
    numbers: Int[np.ndarray, " question"],
) -> PageCurve:
    points = (
        (
            one.sparsity,
            one.pooled.accuracy,
            one.predicted[numbers].tolist(),
            one.scores[numbers].astype(float).tolist(),
        )
        for one in members
    )
    return PageCurve(
        model=curve.asking.model,
        label=labels.line(curve),
        protocol=curve.asking.protocol,
        points=tuple(starmap(PagePoint, points)),
    )
