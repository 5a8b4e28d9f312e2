"""From scores to accuracies: by word class and pooled, against dense."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from jaxsparse import stats
from jaxsparse.answers import Answers

POOLED = "all"  # in place of a word class


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


def accuracies(
    answers: Answers, dense: Answers, truncated: Bool[np.ndarray, " question"]
) -> Iterator[Accuracy]:
    """One row for each word class present, and one, `all`, for all pooled.

    Args:
        answers: with their seconds.
        dense: the same questions' answers before pruning; the same object of dense.
        truncated: which questions have lost sentences.
    """
    questions, taken = answers.questions, answers.seconds
    assert taken is not None, "answers read from files have their accuracies"
    correct, dense_correct = answers.correct, dense.correct
    classes = np.array([question.word_class for question in questions])
    stories = np.array([question.story for question in questions], object)
    for word_class in (*dict.fromkeys(classes.tolist()), POOLED):
        chosen = np.full(len(questions), True)
        if word_class != POOLED:
            chosen = classes == word_class
        total, right = int(chosen.sum()), int(correct[chosen].sum())
        low, high = stats.wilson(right, total)
        seconds = float(taken[chosen].sum())
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
            if answers is dense
            else stats.mcnemar(correct[chosen], dense_correct[chosen]),
            cluster_low=clusters and clusters[0],
            cluster_high=clusters and clusters[1],
            truncated=int(truncated[chosen].sum()),
            ties=int(answers.tied[chosen].sum()),
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
