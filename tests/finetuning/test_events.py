"""TensorBoard's events, written by a module that takes tensorboardX's place."""

import sys
from types import SimpleNamespace

import pytest

from jaxsparse import finetuning, hosts
from jaxsparse.finetuning import events
from jaxsparse.finetuning.metrics import Metrics, read
from jaxsparse.types import InputError


@pytest.fixture
def written(monkeypatch):
    """What a writer is told, in order."""
    told = []

    class Writer:
        def __init__(self, directory, purge_step):
            told.append((directory, purge_step))

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            told.append("closed")

    fake = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    monkeypatch.setattr(events, "is_installed", lambda: True)
    return told


def steps(metrics, *numbers):
    for number in numbers:
        metrics.step(number, 2.0 + number, None, 100.0, 0.1, 1.0)


def test_events_are_the_rows_of_metrics_each_once(tmp_path, written):
    metrics = Metrics(tmp_path, 0.5, 0, tmp_path / "events")
    steps(metrics, 1)
    metrics.flush()
    steps(metrics, 2)
    metrics.validated(0.25, 1.5, 1.0)
    metrics.flush()
    metrics.close()
    assert written[0] == (str(tmp_path / "events"), 1)
    assert [each for each in written if each[0] == "loss"] == [
        ("loss", 3.0, 1), ("loss", 4.0, 2),
    ]  # fmt: skip
    assert ("validation_accuracy", 0.25, 2) in written
    assert not [each for each in written if each[0] == "accuracy"]  # there is none
    assert written[-1] == "closed"


def test_what_a_killed_run_told_behind_its_checkpoint_is_told_again(tmp_path, written):
    first = Metrics(tmp_path, 0.5, 0, tmp_path / "events")
    steps(first, 1, 2, 3)
    first.flush()
    written.clear()
    again = Metrics(tmp_path, 0.5, 0, tmp_path / "events")
    again.begin(2)
    steps(again, 3)
    again.flush()
    assert written[0] == (str(tmp_path / "events"), 3)  # from there on anew
    assert {each[2] for each in written[1:]} == {3}


def test_without_the_package_or_a_directory_there_are_none(
    tmp_path, written, monkeypatch
):
    for directory, installed in (None, True), (tmp_path / "events", False):
        monkeypatch.setattr(events, "is_installed", lambda found=installed: found)
        metrics = Metrics(tmp_path, 0.5, 0, directory)
        steps(metrics, 1)
        metrics.flush()
        metrics.close()
    assert written == []
    assert len(read(tmp_path)) == 1


def test_one_process_of_several_trains_nothing(loaded, monkeypatch):
    monkeypatch.setattr(hosts, "several", lambda: True)
    every = finetuning.Finetuning(loaded("gpt2"), (), (), finetuning.Settings())
    with pytest.raises(InputError, match="by one process alone"):
        every.tuned([])
