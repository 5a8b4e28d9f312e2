"""The stories and questions that ship with the package are what they should be."""

import functools
import itertools
from collections import Counter

import pytest

from jaxsparse.assets import QUESTIONS, STORIES
from jaxsparse.cbt import SPLITS, WORD_CLASSES, read
from jaxsparse.cbt.books import read_book
from jaxsparse.cbt.build import Skipped, Words, build, hanta_tagger
from jaxsparse.cbt.items import from_json
from jaxsparse.cbt.references import FIELDS, to_lines

LEAST = {"test": 100, "validation": 50, "train": 1000}  # questions of each class


@functools.cache
def stories(split):
    return tuple(read_book(path) for path in sorted((STORIES / split).glob("*.txt")))


@functools.cache
def reading(split):
    return read("bundled", split, None)


def test_there_are_fifty_stories_of_fifty_sentences():
    books = [book for split in SPLITS for book in stories(split)]
    assert len(books) >= 50
    short = {b.name: n for b in books if (n := len(list(b.sentences()))) < 50}
    assert not short
    assert all(book.left_out == 1 for book in books)  # the title


def test_stories_are_ascii():
    for path in STORIES.rglob("*"):
        assert path.is_dir() or (path.suffix, path.read_bytes().isascii()) == (
            ".txt",
            True,
        )


def test_splits_share_no_story():
    """Neither by name nor by text, not a paragraph of it."""
    for one, other in itertools.combinations(map(stories, SPLITS), 2):
        assert not {book.name for book in one} & {book.name for book in other}
        for mine, theirs in itertools.product(one, other):
            assert not set(mine.paragraphs) & set(theirs.paragraphs)


@pytest.mark.parametrize("split", SPLITS)
def test_there_are_enough_questions_and_none_is_malformed(split):
    assert not reading(split).malformed
    counts = Counter(question.word_class for question in reading(split).questions)
    assert set(counts) == set(WORD_CLASSES)
    assert min(counts.values()) >= LEAST[split]


@pytest.mark.parametrize("split", SPLITS)
def test_questions_follow_the_recipe(split):
    questions = reading(split).questions
    assert len({question.digest for question in questions}) == len(questions)
    for question in questions:
        assert list(question.options) == sorted(question.options)
        assert len({option.lower() for option in question.options}) == 10
        assert question.split == split
        if question.word_class != "NE":
            assert all(option.islower() for option in question.options)


def test_every_story_has_questions_and_they_take_turns():
    """So that the first few questions of a class are from many stories."""
    for split in SPLITS:
        rows = [item.fields for item in from_json(QUESTIONS / f"{split}.jsonl", FIELDS)]
        names = {book.name for book in stories(split)}
        assert {row["book"] for row in rows} == names
        assert {question.story for question in reading(split).questions} == names
        for word_class in WORD_CLASSES:
            of = [row["book"] for row in rows if row["word_class"] == word_class]
            assert len(set(of[: len(set(of))])) == len(set(of)) >= 0.9 * len(names)


def test_classes_are_read_in_the_asked_order():
    every = reading("test").questions
    some = read("bundled", None, ["V", "CN"]).questions
    assert some == tuple(
        question
        for word_class in ("V", "CN")
        for question in every
        if question.word_class == word_class
    )
    assert some[0].id == "V-test-1"
    assert some[0].source.startswith(str(QUESTIONS / "test.jsonl"))


def test_they_are_what_build_cbt_makes_of_the_stories():
    pytest.importorskip("HanTa")
    tag = hanta_tagger()
    made = set()
    for book in stories("validation"):
        words = Words.of(book, tag)
        made.update(to_lines(build(words, WORD_CLASSES, 8, 0, Skipped())))
    shipped = (QUESTIONS / "validation.jsonl").read_text()
    assert set(shipped.splitlines(keepends=True)) == made
