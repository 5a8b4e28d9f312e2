"""The question record, and what makes an item one of the Children's Book Test.

A story of 20 sentences, a query with one blank, ten options, one of them the answer.
Readers turn files into items (`Item`: nothing checked yet), and `judge` is the one
place that turns an item into a `Question` or says why it is `Malformed`; of any other
cloze, whose context and options are free, tasks.py does.

Source: Hill et al. (2016), The Goldilocks Principle, https://arxiv.org/abs/1511.02301.
"""

import functools
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxsparse.types import InputError

CLASS_NAMES = {
    "CN": "common nouns",
    "NE": "named entities",
    "V": "verbs",
    "P": "prepositions",
}
WORD_CLASSES = tuple(CLASS_NAMES)
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {split: split for split in SPLITS} | {"valid": "validation"}
BLANK = "XXXXX"
SENTENCES = 20
OPTIONS = 10
COLUMNS = ("sentences", "question", "answer", "options")  # the hub's names
STORY_COLUMNS = ("story", "book")  # of data that has one; `book` where no `story` is
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Fault = tuple[int, str]  # which of the 21 lines of an item (from 0), and what is wrong


@dataclass(frozen=True)
class Question:
    """One checked question; its strings are as read, stripped."""

    context: tuple[str, ...]  # sentences: CBT has 20
    query: str  # holds BLANK once
    options: tuple[str, ...]  # in file order: CBT has 10, a task 2 to 64
    answer: str  # one of the options
    word_class: str  # one of WORD_CLASSES; of a task, its group
    id: str  # "<class>-<split>-<1-based position in the file>"; a task's own
    split: str = "test"  # one of SPLITS; "" of a task's row that names none
    source: str = ""  # "file:line" of its query, for error messages
    story: str = ""  # the book or story it was made from; "" where that is not known
    task: str = ""  # the word for any other cloze; "" of CBT

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the content: the same wherever the question was read.

        Names (of story, class, task) are no part of it: text files have none.
        """
        content = [self.context, self.query, self.options, self.answer]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone, so that a pickle does not depend on what was asked for."""
        return {name: value for name, value in vars(self).items() if name != "digest"}


@dataclass(frozen=True)
class Malformed:
    """An item that is no question, and why; in parquet and hub data `line` is a row."""

    file: str
    line: int
    reason: str
    id: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Reading:
    """All that was read: every item is in one of the two."""

    questions: tuple[Question, ...]
    malformed: tuple[Malformed, ...]
    unread: tuple[str, ...] = ()  # keys of a task's rows, and how many have each


@dataclass(frozen=True)
class Selection:
    """Which questions to read; None is what was not said."""

    split: str | None
    word_classes: tuple[str, ...] | None

    @property
    def the_split(self) -> str:
        return self.split or "test"

    @property
    def the_classes(self) -> tuple[str, ...]:
        return self.word_classes or WORD_CLASSES


@dataclass(frozen=True)
class Item:
    """One item as its file has it: nothing is checked yet.

    `fields` go by the hub's names. `step` is the distance from one of the 21 lines to
    the next: 1 in CBTest text, 0 in a row. `fault` is what a reader found wrong.
    """

    line: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    fault: Fault | None = None


def judge(
    item: Item, file: str, word_class: str, split: str, position: int
) -> Question | Malformed:
    """The question that `item` is, or why it is none."""
    name = f"{word_class}-{split}-{position}"
    story = story_of(item.fields)
    fault = (
        item.fault
        or _fault(*(item.fields.get(column) for column in COLUMNS))
        or _placed(0, story_fault(story))
    )
    if fault:
        part, reason = fault
        return Malformed(file, item.line + item.step * part, reason, name)
    sentences, query, answer, options = (item.fields[column] for column in COLUMNS)
    return Question(
        context=tuple(sentence.strip() for sentence in sentences),
        query=query.strip(),
        options=tuple(option.strip() for option in options),
        answer=answer.strip(),
        word_class=word_class,
        split=split,
        id=name,
        source=f"{file}:{item.line + item.step * SENTENCES}",
        story=story.strip(),
    )


def select(
    questions: Sequence[Question], num_examples: int, seed: int | None = None
) -> tuple[Question, ...]:
    """`num_examples` questions (0: all), spread evenly over their classes: the first of
    each class, or with a `seed` drawn from it.

    Each class gives its first one, then its second, and so on until there are enough:
    shares differ by one at most, in favour of the class that appears first, and a class
    with too few leaves its share to the others. The order of `questions` is kept. What
    is drawn depends on the seed and on how many questions each class has; fewer of them
    are among more.
    """
    if num_examples < 0:
        raise InputError(f"`num_examples` is {num_examples}; give 0 (all) or more")
    members: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        members.setdefault(question.word_class, []).append(index)
    if seed is not None:
        draw = np.random.Generator(np.random.PCG64(seed))
        members = {name: draw.permutation(of).tolist() for name, of in members.items()}
    rounds = itertools.zip_longest(*members.values())
    turns = [index for turn in rounds for index in turn if index is not None]
    return tuple(questions[index] for index in sorted(turns[: num_examples or None]))


def check(malformed: Sequence[Malformed], skip: bool) -> None:
    """Raises one InputError for all malformed items, unless they are to be skipped."""
    if not malformed or skip:
        return
    count = f"{len(malformed)} malformed item{'s' * (len(malformed) > 1)}"
    first = "; ".join(map(str, malformed[:3]))
    more = "; …" * (len(malformed) > 3)
    raise InputError(
        f"{count}: {first}{more}; "
        "mend the data, or leave them out with `skip_malformed`"
    )


def shown(value: object) -> str:
    """`value` as an error message quotes it: on one line, cut when long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fault(sentences: Any, query: Any, answer: Any, options: Any) -> Fault | None:
    return _sentence_fault(sentences) or _placed(
        SENTENCES,
        query_fault(query, answer, options, range(OPTIONS, OPTIONS + 1), "question"),
    )


def _placed(part: int, reason: str | None) -> Fault | None:
    return (part, reason) if reason else None


def _sentence_fault(sentences: Any) -> Fault | None:
    if not are_text(sentences):
        return 0, f"sentences is {shown(sentences)}, not a list of strings"
    if len(sentences) != SENTENCES:
        return 0, f"{len(sentences)} sentences, not {SENTENCES}"
    for part, sentence in enumerate(sentences):
        if not sentence.strip():
            return part, f"sentence {part + 1} is empty"
    return None


def query_fault(
    query: Any, answer: Any, options: Any, counts: range, name: str
) -> str | None:
    """What is wrong with an item's end, if anything.

    Args:
        counts: how many options there may be.
        name: what the query is called.
    """
    if not is_text(query):
        return f"{name} is {shown(query)}, not a string"
    if query.count(BLANK) != 1:
        return f"{query.count(BLANK)} blanks ({BLANK}) in {shown(query)}, not one"
    if not is_text(answer):
        return f"answer is {shown(answer)}, not a string"
    if not are_text(options):
        return f"options is {shown(options)}, not a list of strings"
    if len(options) not in counts:
        number = f"{len(options)} option{'s' * (len(options) != 1)}"
        wanted = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        return f"{number}, not {wanted}: {shown('|'.join(options))}"
    if not all(option.strip() for option in options):
        return f"an empty option: {shown('|'.join(options))}"
    if answer.strip() not in {option.strip() for option in options}:
        return f"the answer {shown(answer)} is not among the options"
    return None


def story_of(fields: Mapping[str, Any]) -> Any:
    """The name of the story an item is from; whole numbers are names as well. What else
    a column `book` may hold names none: it need not be ours."""
    story, book = (fields.get(column) for column in STORY_COLUMNS)
    if story is None:
        story = book if is_text(book) or is_whole_number(book) else ""
    return str(story) if is_whole_number(story) else story


def story_fault(story: Any) -> str | None:
    return None if is_text(story) else f"story is {shown(story)}, not a string"


def is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether `value` is a string with a UTF-8 form: JSON can hold lone surrogates."""
    return isinstance(value, str) and (
        value.isascii() or not _LONE_SURROGATE.search(value)
    )


def are_text(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(is_text(value) for value in values)
