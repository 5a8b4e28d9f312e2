"""What choosing without a model gets right: the story's most frequent option, chance.

Source: Hill et al. (2016), The Goldilocks Principle, https://arxiv.org/abs/1511.02301,
"maximum frequency (context)".
"""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from jaxtyping import Bool

from jaxsparse.cbt.questions import Question


def frequency_prior(questions: Sequence[Question]) -> Bool[np.ndarray, " question"]:
    """Whether the most frequent option of each question is its answer."""
    return np.array(
        [
            question.options[most_frequent_option(question)] == question.answer
            for question in questions
        ],
        bool,
    )


def most_frequent_option(question: Question) -> int:
    """The index of the option that the context holds most often; first of equals.

    Tokens stand between white space, as CBT's text has them, and their case is ignored.
    An option of several tokens is counted as that run of tokens within one sentence.
    """
    counts = _counts(question)
    return counts.index(max(counts))


def rarest_option(question: Question) -> int:
    """The index of the option that the context holds least often, or not at all; first
    of equals."""
    counts = _counts(question)
    return counts.index(min(counts))


def _counts(question: Question) -> list[int]:
    """How often the sentences of the context hold each option."""
    options = [_tokens(option) for option in question.options]
    asked = {token for option in options for token in option}
    # To count the others as well would be most of the work.
    story = filter(asked.__contains__, _tokens(" ".join(question.context)))
    words = Counter(story)
    return [
        words[option[0]] if len(option) == 1 else _runs_of(option, question.context)
        for option in options
    ]


def chance(questions: Sequence[Question]) -> float:
    """The accuracy, as a fraction, of choosing one of each question's options blindly.

    An answer that stands among the options more than once is hit that much more often.

    Raises:
        ValueError: no questions.
    """
    if not questions:
        raise ValueError("chance needs at least one question; got none")
    return fmean(
        question.options.count(question.answer) / len(question.options)
        for question in questions
    )


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(text.casefold().split())


def _runs_of(option: tuple[str, ...], sentences: Sequence[str]) -> int:
    """How often the sentences hold several tokens in a row; overlapping ones count."""
    return sum(
        run == option
        for tokens in map(_tokens, sentences)
        for run in zip(*[tokens[n:] for n in range(len(option))], strict=False)
    )
