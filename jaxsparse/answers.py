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
        sizes = np.array([len(question.options) for question in self.questions])
        return self.scores[np.arange(self.scores.shape[1]) < sizes[:, None]]


def padded(
    scores: Sequence[Float32[np.ndarray, " _"]],
) -> Float32[np.ndarray, "question option"]:
    """Scores of questions of any number of options in one array: see `Answers`."""
    table = np.full((len(scores), max(map(len, scores))), -np.inf, np.float32)
    for row, of_question in zip(table, scores, strict=True):
        row[: len(of_question)] = of_question
    return table
