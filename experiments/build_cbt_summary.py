"""What build_cbt says of the questions it made: how many, of what, what gave none, and
what needs no reading."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxsparse import stats
from jaxsparse.cbt import build, chance
from jaxsparse.cbt.books import Book
from jaxsparse.cbt.from_books import BookQuestion
from jaxsparse.cbt.questions import Question
from jaxsparse.cbt.shortcuts import shortcuts
from jaxsparse.progress import NOBODY, Progress

ADVICE = (
    "Who answers such questions well need not have read the story. Take more books or "
    "other ones, draw again with another --seed or --per_book, or leave the class out "
    "with --word_classes; and show every accuracy beside these figures."
)


# Times chance, by the low end of the 95 % interval. Good questions, too, give ground to
# such rules: a story often names what it is about, and many verbs are `said`. Those of
# very many books, and the bundled ones, stay below this; docs/assets.md has figures.
TOO_MUCH = 4.5
TOO_MUCH_OF_ALL = 3.5
ALL = "all"  # in place of a word class
WARNED_ABOVE = (
    f"A rule is warned of above {TOO_MUCH:g} × chance in a class, or "
    f"{TOO_MUCH_OF_ALL:g} × in all, by the low end of its 95 % interval."
)


@dataclass(frozen=True)
class Shortcut:
    """What a rule that reads nothing gets right of a word class, or of all."""

    rule: str
    word_class: str
    questions: int
    accuracy: float  # a fraction, like the others
    low: float  # of its 95 % interval, Wilson's
    chance: float

    @property
    def is_too_good(self) -> bool:
        most = TOO_MUCH_OF_ALL if self.word_class == ALL else TOO_MUCH
        return self.low > most * self.chance


def text(
    books: Sequence[Book],
    questions: Sequence[BookQuestion],
    skipped: build.Skipped,
    classes: Sequence[str],
    progress: Progress = NOBODY,
) -> str:
    """How many questions of each class each book gave, what gave none, and what needs
    no reading."""
    plain = [built.question(str(n)) for n, built in enumerate(questions)]
    found = list(answered_blindly(plain, progress))
    lines = [
        "# Questions in the form of the Children's Book Test",
        "",
        f"    ./run.sh build_cbt {shlex.join(sys.argv[1:])}",
        "",
        *_made_table(books, questions, skipped, classes),
        "## Sentences that gave no question",
        "",
        "A sentence counts once for each class, and with the first reason that holds.",
        "",
        *skipped_table(books, skipped, classes),
        "## Answers without reading, in percent",
        "",
        WARNED_ABOVE,
        "",
        *_shortcut_table(found),
        *warnings(found),
    ]
    return "\n".join(lines)


def answered_blindly(
    questions: Sequence[Question], progress: Progress = NOBODY
) -> Iterator[Shortcut]:
    """Every rule, of each word class in turn, and of all."""
    progress.stage("answering without reading", len(questions), patient=True)
    right = shortcuts(questions, progress)
    classes = np.array([question.word_class for question in questions])
    for word_class in (*dict.fromkeys(classes.tolist()), ALL):
        chosen = np.flatnonzero((classes == word_class) | (word_class == ALL))
        blind = chance([questions[number] for number in chosen.tolist()])
        for rule, of_rule in right.items():
            correct, number = int(of_rule[chosen].sum()), len(chosen)
            low, _ = stats.wilson(correct, number)
            yield Shortcut(rule, word_class, number, correct / number, low, blind)


def _made_table(
    books: Sequence[Book],
    questions: Sequence[BookQuestion],
    skipped: build.Skipped,
    classes: Sequence[str],
) -> list[str]:
    counts = Counter((q.built.book, q.built.word_class) for q in questions)
    rows = [
        (book.name, *(counts[book.name, name] for name in classes), book.left_out)
        for book in books
    ]
    totals = [sum(counts[book.name, name] for book in books) for name in classes]
    header = ("book", *classes, "paragraphs left out as no prose")
    notes = _short_books(skipped)
    if without := [n for n, total in zip(classes, totals, strict=True) if not total]:
        notes.append(f"No question and no file: {', '.join(without)}.")
    return [
        *_table(header, [*rows, ("all", *totals, "")]),
        *notes,
        *([""] if notes else []),
    ]


def skipped_table(
    books: Sequence[Book], skipped: build.Skipped, classes: Sequence[str]
) -> list[str]:
    """By book, by class, and in all."""
    counts: Counter[tuple[str, str]] = Counter()
    for (book, word_class, reason), number in skipped.sentences.items():
        for name in f"book {book}", f"class {word_class}", "all":
            counts[name, reason] += number
    names = [(f"book {book.name}", book.name) for book in books]
    names += [(f"class {name}", f"{name}, all books") for name in classes]
    rows = [
        (shown, *(counts[name, reason] for reason in build.REASONS))
        for name, shown in (*names, ("all", "all"))
    ]
    return _table(("", *build.REASONS), rows)


def _shortcut_table(found: Sequence[Shortcut]) -> list[str]:
    """A row for each rule, a column for each class and for all."""
    classes = list(dict.fromkeys(shortcut.word_class for shortcut in found))
    rows: dict[str, list[str]] = {}
    for shortcut in found:
        rows.setdefault(shortcut.rule, []).append(f"{100 * shortcut.accuracy:.1f}")
    blind = {shortcut.word_class: f"{100 * shortcut.chance:.1f}" for shortcut in found}
    last = ("chance", *(blind[name] for name in classes))
    return _table(
        ("what is chosen", *classes),
        [*((rule, *row) for rule, row in rows.items()), last],
    )


def warnings(found: Sequence[Shortcut]) -> list[str]:
    """What does too well without reading, and what to do."""
    lines = [
        f"Warning: {shortcut.word_class}: {shortcut.rule} is right in "
        f"{100 * shortcut.accuracy:.1f} % of {shortcut.questions} questions, chance "
        f"{100 * shortcut.chance:.1f} %."
        for shortcut in found
        if shortcut.is_too_good
    ]
    if lines:
        lines.append(ADVICE)
    return [part for line in lines for part in (line, "")]


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """In markdown, with an empty line behind it."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in cells]
    return [lines[0], "|---" * len(header) + "|", *lines[1:], ""]


def _short_books(skipped: build.Skipped) -> list[str]:
    return [
        f"{name}: {count} sentences, a question needs 21; skipped."
        for name, count in skipped.short_books.items()
    ]


def explain(skipped: build.Skipped) -> list[str]:
    """What was passed over, in words."""
    counts: Counter[tuple[str, str]] = Counter()
    for (_, word_class, reason), number in skipped.sentences.items():
        counts[word_class, reason] += number
    return _short_books(skipped) + [
        f"{word_class}: {number} sentences skipped, {reason}."
        for (word_class, reason), number in sorted(counts.items())
    ]
