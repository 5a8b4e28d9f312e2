"""Rules that answer questions without reading them.

Where one does well, an accuracy says little of what a model understands.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool

from jaxsparse.cbt.baselines import most_frequent_option, rarest_option
from jaxsparse.cbt.questions import Question
from jaxsparse.progress import NOBODY, Progress

CHOICES: dict[str, Callable[[Question], int]] = {
    "the option most frequent in the story": most_frequent_option,
    "the option least frequent in the story": rarest_option,
    "the first option": lambda question: 0,
    "the last option": lambda question: len(question.options) - 1,
    "the longest option": lambda question: int(
        np.argmax([*map(len, question.options)])
    ),
    "the shortest option": lambda question: int(
        np.argmin([*map(len, question.options)])
    ),
}
COMMONEST = "the commonest answer to the other questions"


def shortcuts(
    questions: Sequence[Question], progress: Progress = NOBODY
) -> dict[str, Bool[np.ndarray, " question"]]:
    """Rule -> whether it answers each question right; tells every question."""
    right = {rule: np.zeros(len(questions), bool) for rule in CHOICES}
    for number, question in enumerate(questions):
        for rule, choose in CHOICES.items():
            right[rule][number] = question.options[choose(question)] == question.answer
        progress.done(1)
    return {**right, COMMONEST: commonest_answer(questions)}


def commonest_answer(questions: Sequence[Question]) -> Bool[np.ndarray, " question"]:
    """Whether the option that is most often the answer to other questions of the class
    is right; first of equals. A question's own answer does not count for it."""
    counts = Counter((question.word_class, question.answer) for question in questions)

    def is_right(question: Question) -> bool:
        often = [
            counts[question.word_class, option] - (option == question.answer)
            for option in question.options
        ]
        return question.options[int(np.argmax(often))] == question.answer

    return np.array([is_right(question) for question in questions], bool)
