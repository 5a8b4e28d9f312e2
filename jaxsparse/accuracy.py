"""From scores to accuracies: by word class and pooled, against dense."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxsparse import stats
from jaxsparse.evaluation import Asked, Scores


@dataclass(frozen=True)
class Accuracy:
    """The answers to the questions of one word class, or of all, at one point."""

    word_class: str
    questions: int
    correct: int
    accuracy: float  # fraction
    ci_low: float  # Wilson, 95 %: takes questions as independent
    ci_high: float
    dense_accuracy: float
    p_vs_dense: float | None  # exact McNemar; None for dense itself
    cluster_low: float | None  # bootstrap over stories, 95 %; None where they are not
    cluster_high: float | None  # known, or there is no such interval
    truncated: int
    ties: int
    seconds: float
    questions_per_second: float


def accuracies(asked: Asked, point: Scores, dense: Scores) -> Iterator[Accuracy]:
    """One row for each word class present, and one, `all`, for all pooled."""
    questions = asked.questions
    correct, dense_correct = point.correct(questions), dense.correct(questions)
    classes = np.array([question.word_class for question in questions])
    stories = np.array([question.story for question in questions], object)
    for word_class in (*dict.fromkeys(classes.tolist()), "all"):
        chosen = np.full(len(questions), True)
        if word_class != "all":
            chosen = classes == word_class
        total, right = int(chosen.sum()), int(correct[chosen].sum())
        low, high = stats.wilson(right, total)
        seconds = float(point.seconds[chosen].sum())
        clusters = _cluster_interval(correct[chosen], stories[chosen])
        yield Accuracy(
            word_class=word_class,
            questions=total,
            correct=right,
            accuracy=right / total,
            ci_low=low,
            ci_high=high,
            dense_accuracy=float(dense_correct[chosen].mean()),
            p_vs_dense=None
            if point is dense
            else stats.mcnemar(correct[chosen], dense_correct[chosen]),
            cluster_low=clusters and clusters[0],
            cluster_high=clusters and clusters[1],
            truncated=int(asked.truncated[chosen].sum()),
            ties=int(point.tied[chosen].sum()),
            seconds=seconds,
            questions_per_second=total / seconds,
        )


def _cluster_interval(
    correct: np.ndarray, stories: np.ndarray
) -> tuple[float, float] | None:
    """None unless the story of every question is known."""
    if not all(stories):
        return None
    return stats.cluster_interval(correct, stories.tolist())
