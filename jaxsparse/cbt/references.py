"""Questions by where they stand in their books, one JSON object a line: a story of
twenty sentences need not be repeated for each of its questions.

    {"book": "a", "word_class": "NE", "sentence": 41, "token": 3,
     "answer": "Pim", "options": […]}
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jaxsparse.cbt.books import read_book
from jaxsparse.cbt.build import QuestionPlace, text_of
from jaxsparse.cbt.items import from_json
from jaxsparse.cbt.questions import Item
from jaxsparse.types import InputError

FIELDS = tuple(field.name for field in dataclasses.fields(QuestionPlace))


def to_lines(questions: Iterable[QuestionPlace]) -> Iterator[str]:
    for question in questions:
        values = dataclasses.asdict(question)
        yield json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"


def from_references(path: Path, books: Path) -> Iterator[Item]:
    """The items of a file of references, in full, with the hub's columns.

    Args:
        books: the directory with <book>.txt of each book that the file names.

    Raises:
        InputError: a book is missing, or is not what the questions were built from.
    """

    @functools.cache
    def sentences_of(book: str) -> list[str]:
        if not book or Path(book).name != book:
            raise InputError(f"{path}: {book!r} is no name of a book")
        return list(read_book(books / f"{book}.txt").sentences())

    for item in from_json(path, FIELDS):
        yield item if item.fault else _in_full(item, sentences_of, path)


def _in_full(item: Item, sentences_of: Callable[[str], list[str]], path: Path) -> Item:
    fields = dict(item.fields)
    if missing := [name for name in FIELDS if name not in fields]:
        raise InputError(f"{path}:{item.line}: no {' and no '.join(missing)}")
    fields["options"] = tuple(fields["options"])
    built = QuestionPlace(**{name: fields[name] for name in FIELDS})
    try:
        text = text_of(built, sentences_of(built.book))
    except InputError as error:
        raise InputError(f"{path}:{item.line}: {error}") from None
    return Item(
        item.line,
        {
            "sentences": list(text.sentences),
            "question": text.question,
            "answer": text.answer,
            "options": list(text.options),
            "word_class": built.word_class,
            "story": built.book,
        },
    )
