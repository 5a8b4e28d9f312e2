"""Makes Children's Book Test questions from any plain-text books.

    ./run.sh build_cbt --books=FILES --out=DIR

Writes CBTest's own files (cbtest_NE_test.txt, …), questions.parquet with the hub's
columns, references.jsonl (questions by where they stand in their books) and summary.md.
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from experiments import build_cbt_summary as summary
from experiments.jobs import flags_of
from experiments.paths import new_directory, text_files
from experiments.progress import Shown
from jaxsparse.cbt import WORD_CLASSES, references
from jaxsparse.cbt.books import Book, read_book
from jaxsparse.cbt.build import QuestionText
from jaxsparse.cbt.from_books import BookQuestion, from_books
from jaxsparse.types import InputError
from jaxsparse.whole import atomic_directory

FLAGS = flags_of("build_cbt")
FILE_SPLITS = {"validation": "valid"}  # as CBTest's file names have it


def main() -> None:
    word_classes = tuple(dict.fromkeys(FLAGS.word_classes))
    if not word_classes or not set(word_classes) <= set(WORD_CLASSES):
        raise InputError(
            f"--word_classes={','.join(word_classes)}: choose of "
            f"{','.join(WORD_CLASSES)}"
        )
    out = new_directory("out", FLAGS.out)
    with closing(Shown()) as shown:
        print(_make(word_classes, out, shown), end="")
    print(f"Written to {out}")


def _make(word_classes: Sequence[str], out: Path, shown: Shown) -> str:
    """Writes all files; says what is in them."""
    books = _read_books(text_files("books", FLAGS.books), shown)
    if twice := [name for name, n in Counter(b.name for b in books).items() if n > 1]:
        raise InputError(f"--books: {twice[0]} names two books; rename one")
    shown.stage("tagging words", len(books), unit="books", patient=True)
    by_book, skipped = from_books(
        books, word_classes, FLAGS.per_book, FLAGS.seed, shown
    )
    questions = list(_in_turn(by_book, word_classes))
    if not questions:
        raise InputError(f"--books: no questions. {' '.join(summary.explain(skipped))}")
    classes = [name for name in WORD_CLASSES if name in word_classes]
    text = summary.text(books, questions, skipped, classes, shown)
    shown.stage("writing", patient=True)
    with atomic_directory(out) as directory:
        _write(directory, questions, word_classes, text)
    return text


def _read_books(paths: Sequence[Path], shown: Shown) -> list[Book]:
    shown.stage("reading", len(paths), unit="books", patient=True)
    books = []
    for path in paths:
        books.append(read_book(path))
        shown.done(1)
    return books


def _in_turn(
    by_book: Sequence[Sequence[BookQuestion]], word_classes: Sequence[str]
) -> Iterator[BookQuestion]:
    """Class by class, as CBT's files are; within a class one of each book in turn, so
    that the first questions of a file come from all books."""
    for name in word_classes:
        of_class = [[q for q in book if q.built.word_class == name] for book in by_book]
        for round_of_books in itertools.zip_longest(*of_class):
            yield from (question for question in round_of_books if question)


def _write(
    directory: Path,
    questions: Sequence[BookQuestion],
    word_classes: Sequence[str],
    text: str,
) -> None:
    split = FILE_SPLITS.get(FLAGS.split, FLAGS.split)
    for name in word_classes:
        of_class = [q.text for q in questions if q.built.word_class == name]
        blocks = [_cbtest(text) for text in of_class]
        if not blocks:  # an empty file would be no file of the test
            continue
        path = directory / f"cbtest_{name}_{split}.txt"
        path.write_text("\n".join(blocks), encoding="utf-8", newline="\n")
    rows = [_hub_row(q, FLAGS.split) for q in questions]
    with (directory / "questions.parquet").open("wb") as file:
        pq.write_table(pa.Table.from_pylist(rows), file)
    lines = references.to_lines(question.built for question in questions)
    with (directory / "references.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(lines)
    (directory / "summary.md").write_text(text, encoding="utf-8")


def _cbtest(text: QuestionText) -> str:
    """An item in CBTest's own format, without the empty line between items."""
    lines = [f"{number} {line}" for number, line in enumerate(text.sentences, 1)]
    last = f"{len(lines) + 1} {text.question}"
    lines.append(f"{last}\t{text.answer}\t\t{'|'.join(text.options)}")
    return "".join(f"{line}\n" for line in lines)


def _hub_row(question: BookQuestion, split: str) -> Mapping[str, object]:
    """A row with the hub's columns, and where it is from."""
    text = question.text
    return {
        "sentences": list(text.sentences),
        "question": text.question,
        "answer": text.answer,
        "options": list(text.options),
        "word_class": question.built.word_class,
        "split": split,
        "story": question.built.book,
    }
