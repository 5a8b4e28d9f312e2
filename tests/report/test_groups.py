"""A report on a cloze that is no CBT: any number of options, groups of any name, and
no context."""

import dataclasses
import json
import re

import numpy as np
import pyarrow.parquet
import pytest

from jaxsparse import report
from jaxsparse.accuracy import accuracies
from jaxsparse.answers import Answers, padded
from jaxsparse.cbt import Question
from jaxsparse.report import explorer, pictures
from jaxsparse.report.statistics import statistics
from jaxsparse.report.tables import all_tables, tables
from tests.report.made import RUN, curve

SIZES = {"ties": 2, "V": 5, "<b>": 64, "constructor": 3}  # a group's options
WORDS = tuple(f"w{n}" for n in range(64))


def asked(number, group):
    return Question(
        (), f"Number {number} is XXXXX .", WORDS[: SIZES[group]], "w1", group,
        id=f"{group}-{number}", split="", task="numbers",
    )  # fmt: skip


QUESTIONS = tuple(asked(n, list(SIZES)[n % 4]) for n in range(12))


def answers(right):
    """All scores far below 0; the first so many questions right."""
    rows = [np.full(len(one.options), -900, np.float32) for one in QUESTIONS]
    for number, row in enumerate(rows):
        row[1 if number < right else 0] = -850
    return Answers(QUESTIONS, padded(rows), np.full(12, 0.25))


def points(correct):
    """Sparsity -> how many are right."""
    dense = answers(correct[0.0])
    for point in curve(correct):
        mine = dense if not point.sparsity else answers(correct[point.sparsity])
        yield dataclasses.replace(
            point,
            answers=mine,
            option_tokens=tuple((1,) * len(one.options) for one in QUESTIONS),
            accuracies=tuple(accuracies(mine, dense, np.zeros(12, bool))),
        )


@pytest.fixture(scope="module")
def found():
    return statistics(list(points({0.0: 12, 0.5: 3})))


CHANCE = {"ties": 1 / 2, "V": 1 / 5, "<b>": 1 / 64, "constructor": 1 / 3}


def test_chance_is_the_mean_of_one_over_the_options(found):
    (chance,) = found.baselines  # there is no story to count in
    assert chance.name == "chance"
    mean = sum(CHANCE.values()) / 4
    assert chance.accuracy == pytest.approx({**CHANCE, "all": mean})
    (loss,) = found.losses
    assert loss.chance == pytest.approx(mean)
    assert loss.half == pytest.approx(0.5 * (1 - mean) / 2 / 0.75)


def test_a_group_named_as_a_column_has_a_column_of_its_own(found):
    (table,) = tables(found)
    assert len(set(table.header)) == len(table.header)
    dense, _, chance = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (dense["group ties"], dense["ties"]) == ("100.0", "0")
    names = ("group ties", "group V", "<b>", "constructor")
    assert [chance[name] for name in names] == ["50.0", "20.0", "1.6", "33.3"]
    assert chance["ties"] == ""


def test_nothing_is_said_of_word_classes_or_the_book_test(found):
    made = "\n".join(
        [report.terminal(found, verbose=True), explorer.page(found, (), [], [])]
    )
    for words in ("word class", "CBT", "most frequent", "verbs"):
        assert words not in made
    assert "all groups pooled" in made
    titles = [axes.get_title() for axes in pictures.figures(found)["accuracy"].axes]
    assert titles[0] == "one"


def test_the_page_has_each_questions_own_options(found):
    page = explorer.page(found, all_tables(found), [], [])
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    dense = data["curves"][0]["points"][0]
    sizes = [len(one.options) for one in QUESTIONS]
    assert [len(row) for row in dense["scores"]] == sizes
    assert dense["places"] == [1] * 12
    assert set(data["curves"][0]["points"][1]["places"]) == {1, 2}
    assert data["classNames"] == {}
    assert [len(one["texts"][0]["options"]) for one in data["questions"]] == sizes


def test_files_hold_no_padding_and_are_read_again(found, tmp_path):
    report.write(tmp_path, found, RUN)
    rows = pyarrow.parquet.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert [len(row["scores"]) for row in rows[:4]] == list(SIZES.values())
    assert all(np.isfinite(row["scores"]).all() for row in rows)
    run = report.read(tmp_path)
    assert run.questions == QUESTIONS
    for mine, theirs in zip(run.points, found.points, strict=True):
        np.testing.assert_array_equal(mine.answers.scores, theirs.answers.scores)
        assert mine.accuracies == theirs.accuracies
        assert mine.option_tokens == theirs.option_tokens
    merged = report.merge([run])
    np.testing.assert_array_equal(
        merged.points[1].answers.scores, found.points[1].answers.scores
    )
