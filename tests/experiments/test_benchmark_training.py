"""The benchmark of a training step: both take the same steps, and its table adds up."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import benchmark
from experiments.benchmark import training, training_sweep, training_torch
from jaxsparse.assets import MODELS
from tests.experiments import binary
from tests.oracle import torch


def test_both_train_the_same(tmp_path, monkeypatch):
    """Whose losses stay equal over four steps has the same gradients and updates."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(training, "SHAPES", ((2, 40),))
    monkeypatch.setattr(training_torch, "threads", lambda: 1)
    settings = SimpleNamespace(seed=0, repeats=3)
    result = training.measure(
        "gpt2-tiny", MODELS / "tiny-gpt2", settings, tmp_path, lambda what: None
    )
    torch.set_num_threads(threads)
    row = result["steps"]["2 x 40"]
    assert [len(seconds) for seconds in row["seconds"].values()] == [3, 3]
    losses = np.array([*row["losses"].values()])
    assert losses.shape == (2, 4)
    assert (np.diff(losses) < -1e-3).all()  # and so they learn
    assert training.disagreement(result) is None


def made(losses):
    seconds = {"ours": [1.0, 2.0, 4.0], "torch": [2.0, 5.0, 4.0]}
    row = {"tokens": 1024, "seconds": seconds, "losses": losses}
    return {"shape": "s", "steps": {"4 x 256": row}}


def test_the_table_adds_up():
    _, header, line = training.table(made({"ours": [1.0], "torch": [1.0]}))
    assert header.split()[-2:] == ["torch/ours", "spread"]
    assert line.split() == [
        *("4", "x", "256", "2.00", "s", "512.0", "4.00", "s", "256.0", "2.00"),
        "1.00–2.50",
    ]


def test_a_sweep_is_beside_runs_of_the_same_repetition():
    seconds = {"five runs": [8.0, 10.0], "one job": [4.0, 10.0], "one call": [12.0, 15]}
    title, _, *lines = training_sweep.table({"shape": "s", "seconds": seconds})
    assert title.startswith("s: 20 steps")
    assert [line.split()[:5] for line in lines] == [
        ["five", "runs", "9.0", "1.00", "1.00–1.00"],
        ["one", "job", "7.0", "0.75", "0.50–1.00"],
        ["one", "call", "13.5", "1.50", "1.50–1.50"],
    ]


@pytest.mark.parametrize("ours", [1.0002, float("nan")])
def test_losses_that_differ_are_an_error(ours):
    assert training.disagreement(made({"ours": [1.00005], "torch": [1.0]})) is None
    wrong = training.disagreement(made({"ours": [1.0, ours], "torch": [1.0, 1.0]}))
    assert wrong is not None
    assert wrong.startswith("s, 4 x 256: the loss is 1.0002" if ours == ours else "s,")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--masks", "--masks and --training are measured one at a time"),
        ("--model=t5-tiny", "--model=t5-tiny: --training measures GPT-2"),
    ],
)
def test_flags_that_do_not_go_with_training_are_one_line(tmp_path, flag, said):
    ended = binary.run(benchmark, "--training", flag, f"--json={tmp_path / 'made'}")
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {said}")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_shape(tmp_path):
    line = ("--training", "--model=gpt2-tiny", "--repeats=1")
    ended = binary.start("-m", "experiments.benchmark", *line, cwd=tmp_path)
    assert ended.status == 0, ended.stderr
    names = [line[2:18].strip() for line in ended.stdout.splitlines()[2:4]]
    assert names == ["4 x 256", "4 x 512"]
    results = json.loads((tmp_path / "benchmark.json").read_text())["results"]
    assert [result["shape"] for result in results] == [
        "gpt2-tiny", "tiny-gpt2, five sparsities",
    ]  # fmt: skip
    assert [*results[1]["seconds"]] == [*training_sweep.WAYS]
