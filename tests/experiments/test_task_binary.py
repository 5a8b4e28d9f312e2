"""Any cloze from the command line: read, asked, written, and asked again."""

import csv
import json

import numpy as np
import pyarrow.parquet
import pytest

from experiments import report, sweep
from jaxsparse.cbt import read
from tests.experiments import binary

ROWS = (
    {"context": [], "options": ["hen", "fox"]},
    {"context": "Ned ran .", "options": ["fox", "hen", "pony"], "id": "x", "kind": 1},
    {"context": ["It rained .", "Ned ran ."], "options": ["a", "the hen"]},
    {"context": [], "options": ["hen", *"abcd"], "group": "b | c", "split": "test"},
    {"context": [], "options": ["hen", "cow"], "group": "b | c", "split": "train"},
)
ASKED = ("pets-1", "x", "pets-3", "b | c-4")


@pytest.fixture(scope="module")
def place(saved, tmp_path_factory):
    """Where the questions were asked twice, from the rows and from what they became."""
    place = tmp_path_factory.mktemp("task")
    query = {"task": "pets", "query": "The XXXXX saw him ."}
    rows = [{**query, "answer": row["options"][-1], **row} for row in ROWS]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (place / "pets.jsonl").write_text(lines)
    models = f"--model={saved('gpt2')},{saved('electra-generator')}"
    for data, out in (("pets.jsonl", "first"), ("first/questions.parquet", "second")):
        flags = (f"--data={place / data}", f"--out={place / out}", "--sparsities=0.5")
        ended = binary.run(sweep, models, *flags)
        assert ended.status == 0, ended.stderr
    return place


def predictions(directory):
    return pyarrow.parquet.read_table(directory / "predictions.parquet").to_pylist()


def test_every_question_has_a_score_for_each_of_its_options(place):
    rows = predictions(place / "first")
    assert [row["question_id"] for row in rows] == [*ASKED] * 4
    assert [row["split"] for row in rows[:4]] == ["", "", "", "test"]
    for row in rows:
        scores = row["scores"]
        assert len(scores) == len(row["options"]) == len(row["option_tokens"])
        assert np.isfinite(scores).all()
        assert row["predicted"] == np.argmax(scores)
        assert row["correct"] == (row["options"][row["predicted"]] == row["answer"])


def test_its_groups_have_the_rows_of_word_classes(place):
    with (place / "first/results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [(row["word_class"], int(row["questions"])) for row in rows[:3]]
    assert found == [("pets", 3), ("b | c", 1), ("all", 4)]
    said = (place / "first/report.md").read_text(encoding="utf-8")
    assert "keys that were not read: kind (1 row)" in said


def test_what_was_asked_can_be_asked_again(place):
    first, second = place / "first", place / "second"
    again = read(str(first / "questions.parquet"), "train", None)
    assert [question.id for question in again.questions] == [*ASKED[:3]]
    assert again.questions[0].context == ()
    assert not again.unread
    assert predictions(second) == predictions(first)


def test_a_report_reads_it(place):
    ended = binary.run(report, f"--runs={place / 'first'}", f"--out={place / 'joined'}")
    assert ended.status == 0, ended.stderr
    rows = (place / "joined/results.csv").read_text(encoding="utf-8")
    assert rows == (place / "first/results.csv").read_text(encoding="utf-8")
