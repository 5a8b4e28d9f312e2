"""What a model answered: the one place that says what is right and what is a tie."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from jaxsparse.cbt.questions import Question


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of one model to all questions, at one point of a curve.

    A question with fewer options than another has minus infinity in place of what it
    lacks, so that no such option is ever chosen.
    """

    questions: tuple[Question, ...]
    scores: Float32[np.ndarray, "question option"]  # nats, or probabilities
    seconds: Float[np.ndarray, " question"] | None = None  # its share of its batch;
    # None where answers are read from files, which have them by class only

    @cached_property
    def predicted(self) -> Int[np.ndarray, " question"]:
        """The best option of each question; the first of equals."""
        return np.argmax(self.scores, axis=1)

    @cached_property
    def tied(self) -> Bool[np.ndarray, " question"]:
        """Whether the best score is that of several options."""
        best = self.scores.max(axis=1, keepdims=True)
        return (self.scores == best).sum(axis=1) > 1

    @cached_property
    def correct(self) -> Bool[np.ndarray, " question"]:
        """Whether the prediction is the answer, by its text: options may be equal."""
        return np.array(
            [
                question.options[choice] == question.answer
                for question, choice in zip(self.questions, self.predicted, strict=True)
            ],
            bool,
        )

    @cached_property
    def of_options(self) -> Float32[np.ndarray, " _"]:
        """The scores of the questions' own options, question after question."""
        sizes = [len(question.options) for question in self.questions]
        return self.scores[_own(sizes)]


def padded(
    scores: Sequence[Float32[np.ndarray, " _"]],
) -> Float32[np.ndarray, "question option"]:
    """Scores of questions of any number of options in one array: see `Answers`."""
    return table_of(np.concatenate(scores), list(map(len, scores)))


def table_of(
    scores: Float32[np.ndarray, " _"], sizes: Sequence[int]
) -> Float32[np.ndarray, "question option"]:
    """The same of scores that stand one after another, so many of each question."""
    own = _own(sizes)
    table = np.full(own.shape, -np.inf, np.float32)
    table[own] = scores
    return table


def _own(sizes: Sequence[int]) -> Bool[np.ndarray, "question option"]:
    """Which options a question has, of as many as the one with most."""
    return np.arange(max(sizes)) < np.array(sizes)[:, None]
