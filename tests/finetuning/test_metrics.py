"""metrics.jsonl: a line a step, with the names of the contract."""

import json

import pytest

from jaxsparse import whole
from jaxsparse.finetuning.metrics import NAME, Metrics, read
from jaxsparse.types import InputError

CONTRACT = {  # DESIGN section 9
    "step", "sparsity", "seed", "loss", "tokens_per_second", "validation_accuracy",
}  # fmt: skip


def measured(directory, steps, exams=()):
    metrics = Metrics(directory, 0.9, 3)
    metrics.begin(0)
    for step in range(1, steps + 1):
        metrics.step(step, 2.0 / step, 0.5, 100.0 * step, 0.01, seconds=2.0)
        if step in exams:
            metrics.validated(0.25 * step, 1.0, seconds=0.5)
    return metrics


def test_a_line_a_step_and_what_was_examined_with_its_step(tmp_path):
    metrics = measured(tmp_path, 3, exams=[2])
    metrics.flush()
    lines = (tmp_path / NAME).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row.keys() >= CONTRACT for row in rows)
    assert {(row["sparsity"], row["seed"]) for row in rows} == {(0.9, 3)}
    assert [row["validation_accuracy"] for row in rows] == [None, 0.5, None]
    assert metrics.seconds == 6.5
    assert metrics.told() == "loss 0.6667, accuracy 50%, validation 50.0%, 300 tokens/s"


def test_what_stands_behind_the_checkpoint_is_forgotten(tmp_path):
    measured(tmp_path, 5, exams=[2, 4]).flush()
    again = Metrics(tmp_path, 0.9, 3)
    again.begin(3)
    assert again.rows == measured(None, 3, exams=[2]).rows
    again.flush()
    assert len((tmp_path / NAME).read_text().splitlines()) == 3
    again.begin(0)
    assert again.rows == []
    assert again.seconds == 0


@pytest.mark.parametrize("line", ["{", "[]", "{}", "\xff", '{"step": 1}'])
def test_damaged_lines_are_refused_by_the_file(tmp_path, line):
    (tmp_path / NAME).write_text(f"{line}\n", encoding="latin-1")
    with pytest.raises(InputError, match=f"^{tmp_path / NAME} cannot be read .*remove"):
        read(tmp_path)


def test_in_memory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured(None, 2).flush()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_lines_before(tmp_path, monkeypatch):
    measured(tmp_path, 2).flush()
    more = measured(tmp_path, 4)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "replace", full)
    said = f"^{tmp_path / NAME} could not be written .*No space.*; make room, and rep"
    with pytest.raises(InputError, match=said):
        more.flush()
    assert len((tmp_path / NAME).read_text().splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
