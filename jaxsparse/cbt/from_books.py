"""The questions of many books in full. Tagging their words takes nearly all the time:
every core takes books of its own."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxsparse.cbt.books import Book
from jaxsparse.cbt.build import (
    QuestionPlace,
    QuestionText,
    Skipped,
    Tagger,
    Words,
    build,
    hanta_tagger,
    text_of,
)
from jaxsparse.cbt.questions import Question
from jaxsparse.processes import map_on_all_cores
from jaxsparse.progress import NOBODY, Progress


@dataclass(frozen=True)
class BookQuestion:
    built: QuestionPlace
    text: QuestionText

    def question(self, id: str) -> Question:
        return Question(
            context=self.text.sentences,
            query=self.text.question,
            options=self.text.options,
            answer=self.text.answer,
            word_class=self.built.word_class,
            id=id,
            story=self.built.book,
        )


def from_books(
    books: Sequence[Book],
    word_classes: Sequence[str],
    per_book: int,
    seed: int,
    progress: Progress = NOBODY,
    tagger: Callable[[], Tagger] = hanta_tagger,
) -> tuple[list[list[BookQuestion]], Skipped]:
    """The questions of each book, and why there are not more of them.

    Args:
        per_book: of each class at most so many; 0: every sentence that gives one.
        progress: is told each book that is done.
        tagger: is called in each process, by its name.

    Raises:
        InputError: there is no tagger.
        ChildProcessError: a process died, for want of memory perhaps.
    """
    made = map_on_all_cores(
        functools.partial(_with_tagger, tagger, word_classes, per_book, seed),
        books,
        lambda book: sum(map(len, book.paragraphs)),
        progress.done,
    )
    skipped = Skipped()
    for _, of_book in made:
        skipped.short_books.update(of_book.short_books)
        skipped.sentences.update(of_book.sentences)
    return [questions for questions, _ in made], skipped


def _with_tagger(
    tagger: Callable[[], Tagger], word_classes: Sequence[str], per_book: int, seed: int
) -> Callable[[Book], tuple[list[BookQuestion], Skipped]]:
    tag = tagger()

    def of_book(book: Book) -> tuple[list[BookQuestion], Skipped]:
        words, skipped = Words.of(book, tag), Skipped()
        places = build(words, word_classes, per_book, seed, skipped)
        sentences = [" ".join(tokens) for tokens in words.sentences]
        return [BookQuestion(at, text_of(at, sentences)) for at in places], skipped

    return of_book
