"""What was read is not read twice; the file that keeps it can be lost or damaged."""

import dataclasses
import sqlite3

import pytest

from jaxsparse import cbt, scoring
from jaxsparse.model import open_model
from jaxsparse.readings import NAME, Readings
from jaxsparse.types import InputError, Presentation
from tests.scoring.test_words import assert_same
from tests.told import Told


@pytest.fixture(scope="module")
def questions():
    return cbt.read("bundled", "test", ["CN"]).questions[:6]


@pytest.fixture
def counted(monkeypatch):
    """The questions that were read, and not known."""
    read = []
    every = scoring.Reader.all

    def counting(self, questions):
        asked = list(questions)
        read.extend(question.id for question in asked)
        return every(self, asked)

    monkeypatch.setattr(scoring.Reader, "all", counting)
    return read


def reader(name="tiny-gpt2", *put, **config):
    model = open_model(name)
    changed = dataclasses.replace(model.config, **config)
    return scoring.Reader(model.tokenizer, changed, Presentation(*put))


def ask(path, questions, *how, told=None, **config):
    readings = Readings(path / NAME)
    found = readings.read(reader(*how, **config), questions, told or Told())
    readings.close()
    return found


def test_what_was_read_is_known_again(tmp_path, questions, counted):
    first = ask(tmp_path, questions[:4])
    again = ask(tmp_path, questions)
    assert counted == [question.id for question in questions]
    for one, other in zip(first, again, strict=False):
        assert_same(other, one)


@pytest.mark.parametrize(
    ("how", "config"),
    [
        (("tiny-t5",), {}),
        (("tiny-gpt2", "append"), {}),
        (("tiny-gpt2", "cloze", "last"), {}),
        (("tiny-gpt2", "cloze", "full", "none"), {}),
        (("tiny-gpt2",), {"positions": 400}),
    ],
)
def test_what_decides_a_reading_is_part_of_its_key(
    tmp_path, questions, counted, how, config
):
    ask(tmp_path, questions[:1])
    ask(tmp_path, questions[:1], *how, **config)
    ask(tmp_path, questions[:1])
    assert len(counted) == 2


def test_nothing_is_made_where_there_is_no_path(questions, counted):
    Readings().read(reader(), questions[:1])
    Readings().read(reader(), questions[:1])
    assert len(counted) == 2


def lose(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def scribble(path):
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(bytes(content))


def no_text(path):
    content = path.read_bytes().replace(b"CREATE", b"DELETE")
    path.write_bytes(content.replace(b"tablereadings", b"tableread\xd2ngs"))


def other_tables(path):
    with sqlite3.connect(path) as file:
        file.execute("DROP TABLE readings")


@pytest.mark.parametrize("harm", [lose, empty, cut, scribble, no_text, other_tables])
def test_a_file_that_is_lost_or_damaged_is_made_again(
    tmp_path, questions, counted, harm
):
    ask(tmp_path, questions[:2])
    harm(tmp_path / NAME)
    told = Told()
    ask(tmp_path, questions[:2], told=told)
    ask(tmp_path, questions[:2])
    assert len(counted) == 2 * 2
    damaged = harm not in (lose, empty)
    assert any(NAME in line for line in told.lines) is damaged


def test_an_answer_that_was_changed_is_read_again(tmp_path, questions, counted):
    ask(tmp_path, questions[:2])
    with sqlite3.connect(tmp_path / NAME) as file:
        file.execute("UPDATE readings SET content = x'3c75320000' WHERE rowid = 1")
    ask(tmp_path, questions[:2])
    ask(tmp_path, questions[:2])
    assert len(counted) == 3


@pytest.mark.parametrize("other", ["text", "database", "directory"])
def test_a_file_of_somebody_else_stays(tmp_path, questions, counted, other):
    path = tmp_path / NAME
    if other == "text":
        path.write_text("my reading list\n" * 300)
    elif other == "database":
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE books (name TEXT)")
    else:
        path.mkdir()
    before = path.is_dir() or path.read_bytes()
    told = Told()
    for _ in range(2):
        ask(tmp_path, questions[:1], told=told)
    assert (path.is_dir() or path.read_bytes()) == before
    assert len(counted) == 2
    assert [line for line in told.lines if NAME in line]


def test_a_question_that_cannot_be_read_is_named_and_nothing_is_kept(
    tmp_path, questions
):
    long = dataclasses.replace(questions[1], query="the " * 200 + "XXXXX")
    with pytest.raises(InputError, match=r"the query alone is \d+ tokens.*leave the"):
        ask(tmp_path, [questions[0], long], positions=100)
    assert not (tmp_path / NAME).exists()
