"""What build_cbt warns of: rules that do well on many questions, and no others."""

import pytest

from experiments import build_cbt_summary as summary
from jaxsparse import cbt
from jaxsparse.cbt import Question
from jaxsparse.cbt.build import FEW, SHORT, Skipped
from jaxsparse.cbt.shortcuts import shortcuts
from tests.told import Told

WORDS = ("oak", "elm", "ash", "fir", "yew", "box", "bay", "fig", "nut", "ivy")
RULES = len(shortcuts([Question((), "", WORDS, "oak", "CN", "id")]))


def question(number, answer, word_class="NE"):
    """No option stands in the story, and all are as long."""
    return Question(
        ("Hush !",) * 20, "A XXXXX .", WORDS, answer, word_class, str(number)
    )


def first_is_right(of, word_class="NE", questions=100):
    """So many questions of which `of` have their first option for answer; the others
    have the rest in turn."""
    return [
        question(number, WORDS[0 if number < of else 1 + number % 9], word_class)
        for number in range(questions)
    ]


def too_good(questions):
    found = list(summary.answered_blindly(questions))
    return {(one.word_class, one.rule) for one in found if one.is_too_good}


def test_chance_is_no_shortcut():
    assert too_good(first_is_right(10)) == set()


@pytest.mark.parametrize(
    ("right", "classes"),
    [(44, set()), (45, {"all"}), (54, {"all"}), (55, {"all", "NE"})],
)
def test_a_rule_is_warned_of_far_above_chance(right, classes):
    """By the low end of its interval: 0.347, 0.356, 0.443 and 0.452."""
    found = too_good(first_is_right(right))
    assert {name for name, rule in found if rule == "the first option"} == classes


def test_few_questions_prove_nothing():
    assert too_good(first_is_right(2, questions=4)) == set()
    assert too_good(first_is_right(8, questions=8)) != set()


def test_every_class_is_looked_at_by_itself():
    questions = first_is_right(60) + first_is_right(10, "CN", 300)
    assert {name for name, _ in too_good(questions)} == {"NE"}
    found = list(summary.answered_blindly(questions))
    assert [one.word_class for one in found[::RULES]] == ["NE", "CN", "all"]
    assert {one.questions for one in found} == {100, 300, 400}


def test_every_question_is_told():
    told = Told()
    list(summary.answered_blindly(first_is_right(6, questions=10), told))
    assert told.stages == [("answering without reading", 10, "questions", True)]
    assert told.counts == [10]


def test_a_warning_has_its_figure_and_what_to_do():
    found = list(summary.answered_blindly(first_is_right(60)))
    *said, advice, empty = summary.warnings(found)
    right = "is right in 60.0 % of 100 questions, chance 10.0 %."
    assert f"Warning: NE: the first option {right}" in said
    assert "--word_classes" in advice
    assert empty == ""
    assert summary.warnings(found[:0]) == []


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_bundled_questions_have_to_be_read(split):
    assert too_good(cbt.read("bundled", split, None).questions) == set()


def test_skipped_sentences_are_counted_by_reason_in_each_book_class_and_in_all():
    skipped = Skipped()
    for key, number in {
        ("a", "CN", SHORT): 1, ("a", "NE", SHORT): 2, ("b", "CN", SHORT): 4,
        ("b", "NE", FEW): 8,
    }.items():  # fmt: skip
        skipped.sentences[key] = number
    books = [cbt.books.Book(name, (), 0) for name in "ab"]
    rows = summary.skipped_table(books, skipped, ["CN", "NE"])[2:-1]
    assert rows == [
        "| a | 3 | 0 | 0 | 0 | 0 |",
        "| b | 4 | 0 | 0 | 0 | 8 |",
        "| CN, all books | 5 | 0 | 0 | 0 | 0 |",
        "| NE, all books | 2 | 0 | 0 | 0 | 8 |",
        "| all | 7 | 0 | 0 | 0 | 8 |",
    ]
