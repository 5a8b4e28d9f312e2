"""Questions by reference: written, read, and refused where the book is not the same."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.cbt.build import QuestionPlace
from jaxsparse.cbt.questions import Question, judge
from jaxsparse.cbt.references import from_references, to_lines
from jaxsparse.types import InputError

OPTIONS = ("bell", "coat", "door", "fork", "gate", "hen", "inn", "jug", "key", "lamp")
BUILT = QuestionPlace("mill", "CN", 21, 2, "hen", OPTIONS)
STORY = [f"Ann can't count to {number}." for number in range(21)]
BOOK = "\n\n".join([*STORY, "So the hen went home."])


def write(directory, *built, book=BOOK):
    """A file of references beside the one book that they are from."""
    (directory / "mill.txt").write_text(book)
    path = directory / "questions.jsonl"
    path.write_text("".join(to_lines(built)))
    return path


def items(path):
    return list(from_references(path, path.parent))


def changed(**changes):
    return dataclasses.replace(BUILT, **changes)


def test_references_become_whole_items(tmp_path):
    second = changed(sentence=20, token=5, answer="20", options=("20", *OPTIONS[1:]))
    first, other = items(write(tmp_path, BUILT, second))
    assert first.fields == {
        "sentences": [f"Ann ca n't count to {number} ." for number in range(1, 21)],
        "question": "So the XXXXX went home .",
        "answer": "hen",
        "options": list(OPTIONS),
        "word_class": "CN",
        "story": "mill",
    }
    assert (first.line, other.line) == (1, 2)
    assert other.fields["question"] == "Ann ca n't count to XXXXX ."
    assert other.fields["sentences"][0] == "Ann ca n't count to 0 ."
    assert isinstance(judge(first, "questions.jsonl", "CN", "test", 1), Question)


FIELDS = st.tuples(
    st.text(),
    st.sampled_from(["CN", "NE"]),
    st.integers(20),
    st.integers(0),
    st.text(),
    st.lists(st.text(), min_size=10, max_size=10).map(tuple),
)


@given(st.lists(FIELDS, max_size=3))
def test_a_line_holds_one_question_whole(fields):
    questions = [QuestionPlace(*values) for values in fields]
    lines = list(to_lines(questions))
    assert all(line.index("\n") == len(line) - 1 for line in lines)
    rows = [json.loads(line) for line in lines]
    assert [
        QuestionPlace(**row | {"options": tuple(row["options"])}) for row in rows
    ] == (questions)


@pytest.mark.parametrize(
    ("built", "message"),
    [
        (changed(sentence=22), "mill has no sentence 22"),
        (changed(sentence=19), "mill has no sentence 19"),
        (changed(token=3), "mill, sentence 21: token 3 is not 'hen'; the"),
        (changed(answer="inn"), "mill, sentence 21: token 2 is not 'inn'; the"),
        (changed(token=6), "mill, sentence 21: token 6 is not 'hen'; the"),
    ],
)
def test_a_place_without_the_answer_is_told_by_line(tmp_path, built, message):
    with pytest.raises(InputError) as raised:
        items(write(tmp_path, BUILT, built))
    assert f"questions.jsonl:2: {message}" in str(raised.value)


def test_a_book_that_changed_is_refused(tmp_path):
    path = write(tmp_path, BUILT, book=f"Once more.\n\n{BOOK}")
    with pytest.raises(InputError, match=r"jsonl:1: mill, .* is not what it was"):
        items(path)


@pytest.mark.parametrize(
    ("book", "message"),
    [
        ("barn", r"barn\.txt cannot be read"),
        ("../mill", "'../mill' is no name of a book"),
        ("", "'' is no name of a book"),
    ],
)
def test_a_book_must_lie_in_the_directory(tmp_path, book, message):
    with pytest.raises(InputError, match=message):
        items(write(tmp_path, changed(book=book)))


def test_a_broken_line_is_kept_for_judging(tmp_path):
    path = write(tmp_path, BUILT)
    path.write_text("{\n" + path.read_text())
    broken, whole = items(path)
    assert "invalid JSON" in broken.fault[1]
    assert whole.fields["answer"] == "hen"


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "So the XXXXX went home ."}\n')
    with pytest.raises(InputError, match="no column 'book'; it needs book, word_class"):
        items(path)
