"""Running text from books and from questions, as models are shown it: sentences joined
by one space, without paragraphs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxsparse import assets
from jaxsparse.cbt.books import read_book
from jaxsparse.cbt.detokenize import STYLES
from jaxsparse.cbt.questions import Question
from jaxsparse.progress import NOBODY, Progress


def read_texts(
    paths: Sequence[Path],
    progress: Progress = NOBODY,
) -> tuple[str, ...]:
    """The texts of books, in the given order. Raises InputError as `read_book`."""
    progress.stage("reading", len(paths), unit="books", patient=True)
    texts = []
    for path in paths:
        sentences = list(read_book(path).sentences())
        texts.append(" ".join(STYLES["ptb"](sentences)))
        progress.done(1)
    return tuple(texts)


def bundled_texts(split: str = "train", progress: Progress = NOBODY) -> tuple[str, ...]:
    """The stories that ship with the package: of train, validation or test."""
    return read_texts(sorted((assets.STORIES / split).glob("*.txt")), progress)


def context_texts(questions: Iterable[Question], style: str) -> tuple[str, ...]:
    """The stories of questions, each distinct one once, in the questions' order.

    Args:
        style: how tokens become text, a key of `STYLES`.
    """
    contexts = dict.fromkeys(question.context for question in questions)
    texts = (" ".join(STYLES[style](context)) for context in contexts)
    return tuple(text for text in texts if text)
