"""Makes Children's Book Test questions from any plain-text books.

    ./run.sh build_cbt --books=FILES --out=DIR

Writes CBTest's own files (cbtest_NE_test.txt, …), questions.parquet with the hub's
columns, references.jsonl (questions by where they stand in their books) and summary.md.
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from experiments.jobs import flags_of
from experiments.paths import new_directory, text_files
from jaxsparse.cbt import WORD_CLASSES, build, references, writers
from jaxsparse.cbt.books import Book, read_book
from jaxsparse.cbt.questions import BLANK
from jaxsparse.types import InputError
from jaxsparse.whole import whole_directory

FLAGS = flags_of("build_cbt")
FILE_SPLITS = {"validation": "valid"}  # as CBTest's file names have it


@dataclass(frozen=True)
class Made:
    built: build.Built
    text: build.Text


def main() -> None:
    word_classes = tuple(dict.fromkeys(FLAGS.word_classes))
    if not word_classes or not set(word_classes) <= set(WORD_CLASSES):
        raise InputError(
            f"--word_classes={','.join(word_classes)}: choose of "
            f"{','.join(WORD_CLASSES)}"
        )
    out = new_directory("out", FLAGS.out)
    books = [read_book(path) for path in text_files("books", FLAGS.books)]
    if twice := [name for name, n in Counter(b.name for b in books).items() if n > 1]:
        raise InputError(f"--books: {twice[0]} names two books; rename one")
    skipped = build.Skipped()
    questions = list(build_all(books, word_classes, skipped))
    if not questions:
        raise InputError(f"--books: no questions. {' '.join(explain(skipped))}")
    with whole_directory(out) as directory:
        write(directory, questions, word_classes, summary(books, questions, skipped))
    print(summary(books, questions, skipped), end="")
    print(f"Written to {out}")


def build_all(
    books: Sequence[Book], word_classes: Sequence[str], skipped: build.Skipped
) -> Iterator[Made]:
    """Class by class, as CBT's files are; within a class one of each book in turn, so
    that the first questions of a file come from all books."""
    tag = build.hanta_tagger()
    made: dict[str, list[list[Made]]] = {name: [] for name in word_classes}
    for book in tqdm(books, desc="books", disable=None):
        words = build.Words.of(book, tag)
        for questions in made.values():
            questions.append([])
        for built in build.build(
            words, word_classes, FLAGS.per_book, FLAGS.seed, skipped
        ):
            text = build.text_of(built, words.sentences)
            made[built.word_class][-1].append(Made(built, text))
    for by_book in made.values():
        for round_of_books in itertools.zip_longest(*by_book):
            yield from (question for question in round_of_books if question)


def write(
    directory: Path,
    questions: Sequence[Made],
    word_classes: Sequence[str],
    text: str,
) -> None:
    split = FILE_SPLITS.get(FLAGS.split, FLAGS.split)
    for name in word_classes:
        of_class = [q.text for q in questions if q.built.word_class == name]
        blocks = [writers.cbtest(text) for text in of_class]
        if not blocks:  # an empty file would be no file of the test
            continue
        path = directory / f"cbtest_{name}_{split}.txt"
        path.write_text("\n".join(blocks), encoding="utf-8", newline="\n")
    rows = [writers.hub_row(q.built, q.text, FLAGS.split) for q in questions]
    with (directory / "questions.parquet").open("wb") as file:
        pq.write_table(pa.Table.from_pylist(rows), file)
    lines = references.to_lines(question.built for question in questions)
    with (directory / "references.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(lines)
    (directory / "summary.md").write_text(text, encoding="utf-8")


def summary(
    books: Sequence[Book], questions: Sequence[Made], skipped: build.Skipped
) -> str:
    """How many questions of each class each book gave, and what gave none."""
    counts = Counter((q.built.book, q.built.word_class) for q in questions)
    classes = [name for name in WORD_CLASSES if name in FLAGS.word_classes]
    lines = [
        "# Questions in the form of the Children's Book Test",
        "",
        f"    ./run.sh build_cbt {shlex.join(sys.argv[1:])}",
        "",
        f"| book | {' | '.join(classes)} | paragraphs left out as no prose |",
        "|---" * (len(classes) + 2) + "|",
    ]
    for book in books:
        cells = [str(counts[book.name, name]) for name in classes]
        name = book.name.replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(cells)} | {book.left_out} |")
    totals = [sum(counts[book.name, name] for book in books) for name in classes]
    lines.append(f"| all | {' | '.join(map(str, totals))} | |")
    notes = explain(skipped)
    if without := [
        name for name, total in zip(classes, totals, strict=True) if not total
    ]:
        notes.append(f"No question and no file: {', '.join(without)}.")
    return "\n".join([*lines, "", *notes, ""])


def explain(skipped: build.Skipped) -> list[str]:
    """What was passed over, in words."""
    lines = [
        f"{name}: {count} sentences, a question needs 21; skipped."
        for name, count in skipped.short_books.items()
    ]
    lines += [
        f"{name}: {count} sentences skipped, fewer than ten candidates in the book."
        for name, count in sorted(skipped.too_few_options.items())
    ]
    lines += [
        f"{name}: {count} sentences skipped, nothing to blank that the story holds "
        f"too, too short, or with | or {BLANK}."
        for name, count in sorted(skipped.nothing_to_blank.items())
    ]
    return lines
