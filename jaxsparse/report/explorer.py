"""The page of a report, from results: its findings, its curves, and its questions."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxsparse import cbt
from jaxsparse.report import pictures
from jaxsparse.report.about import about, title
from jaxsparse.report.cells import EXPLAINED, Table, legend
from jaxsparse.report.page import (
    Page,
    PageCurve,
    PagePoint,
    PageQuestion,
    PageText,
    render,
)
from jaxsparse.report.results import Curve, Labels, Result, by_curve

MOST_QUESTIONS = 1000  # on a page, unless told: some megabytes, which a phone can open


def page(
    results: Sequence[Result],
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
    asked = results[0].questions
    chosen = {id(question) for question in cbt.select(asked, questions)}
    numbers = np.array(
        [n for n, question in enumerate(asked) if id(question) in chosen]
    )
    labels = Labels(results)
    styles = tuple(dict.fromkeys(result.asking.detokenize for result in results))
    return render(
        Page(
            title=title(results),
            findings=tuple(findings),
            about=tuple(about(results, facts)),
            commands=tuple(commands),
            notes=tuple(notes),
            charts=tuple(pictures.charts(results)),
            maps=tuple(pictures.layers(results)),
            explained=EXPLAINED,
            legend=legend(name for table in tables for name in table.header),
            tables=tuple(tables),
            styles=styles,
            curves=tuple(
                _curve(curve, members, labels, numbers, styles)
                for curve, members in by_curve(results)
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
    members: Sequence[Result],
    labels: Labels,
    numbers: Int[np.ndarray, " question"],
    styles: Sequence[str],
) -> PageCurve:
    questions = members[0].questions
    answers = [_answers(questions[number]) for number in numbers]
    points = (
        (
            one.sparsity,
            one.pooled.accuracy,
            one.predicted[numbers].tolist(),
            places(one.scores[numbers], answers),
            one.scores[numbers].astype(float).tolist(),
        )
        for one in members
    )
    return PageCurve(
        model=curve.asking.model,
        label=labels.line(curve),
        protocol=curve.asking.protocol,
        context=curve.asking.context,
        style=styles.index(curve.asking.detokenize),
        points=tuple(starmap(PagePoint, points)),
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
