"""The benchmark runs, and reads its flags as every binary does."""

import json
import re
from pathlib import Path

import pytest

from experiments import benchmark
from experiments.benchmark import host, host_table, table
from tests.experiments import binary


def start(place, *argv, models="gpt2-tiny"):
    line = ("-m", "experiments.benchmark", f"--model={models}", "--repeats=1", *argv)
    return binary.start(*line, cwd=place)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    place = tmp_path_factory.mktemp("benchmark")
    argv = ("--questions=4", "--peer_questions=4", "--tokens=100", "--seed=3")
    return place, start(place, *argv)


def test_ours_and_its_peers_on_the_same_questions(ended):
    place, run = ended
    assert run.status == 0, run.stderr
    titles = ("ours, 4 questions", "torch, one question at a time", "torch, sorted")
    for title in (*titles, "lm-evaluation-harness", "CN, 1", "NE, 1", "V, 1", "P, 1"):
        assert re.search(rf"^ +{title}", run.stdout, re.MULTILINE), title
    assert max(map(len, run.stdout.splitlines())) <= 100
    facts = json.loads((place / "benchmark.json").read_text())
    (result,) = facts["results"]
    assert facts["flags"]["seed"] == 3
    assert facts["versions"]["jax"]
    assert result["questions"] == {
        "all": 4, "mix": 4, "CN": 1, "NE": 1, "V": 1, "P": 1
    }  # fmt: skip
    assert set(result["seconds"]["mix"]) >= {"ours", "torch", "batched"}
    assert all(
        len(seconds) == 1 and seconds[0] > 0
        for who in result["seconds"].values()
        for seconds in who.values()
    )
    assert result["differences"]["torch"] < 1e-3
    assert result["differences"]["batched"] < 1e-3
    assert result["compile"]["seconds"] > 0


def made(**changes):
    """What a run measures, in round numbers."""
    return {
        "dtype": "float32",
        "shape": "gpt2-tiny",
        "questions": {"all": 8, "mix": 4},
        "operations": {
            "all": {"ours": 2 * 4096**3, "naive": 2 * 10**12},
            "mix": {"ours": 10**11, "naive": 10**12},
        },
        "seconds": {
            "all": {"ours": [2.0, 4.0, 4.0], "sweep": [11.0, 20.0, 21.0]},
            "mix": {"ours": [1.0, 2.0, 2.0], "torch": [10.0, 22.0, 18.0]},
            "before": {"matmul": [1.0, 1.0, 1.0]},
            "between": {"matmul": [1.0, 3.0, 1.0]},
        },
        "differences": {"torch": 1e-4},
        **changes,
    }


def test_the_arithmetic_of_the_table():
    result = made()
    assert table._share_of_matmul(result) == pytest.approx(0.25)
    assert table._sweep_cost(result) == pytest.approx(1.05)
    assert table._ratios_of(result, "torch", "mix") == [10.0, 11.0, 9.0]
    line = table._compared(result, "torch", "mix").split()
    assert line == ["0.222", "10.00", "9–11", "10.00"]


def test_scores_that_differ_are_an_error():
    assert table.disagreement(made()) is None
    wrong = table.disagreement(made(differences={"torch": float("nan")}))
    assert "the ratios mean nothing" in wrong
    rounded = made(differences={"torch": 0.5}, dtype="bfloat16")
    assert table.disagreement(rounded) is None


def test_without_torch_there_are_no_peers(tmp_path):
    Path(tmp_path / "torch.py").write_text("raise ImportError('not here')\n")
    ended = start(tmp_path)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: benchmark needs torch")
    assert not (tmp_path / "benchmark.json").exists()


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--model=gpt5", "--model: unknown value 'gpt5'; choose from gpt2-tiny"),
        ("--tokenizer=.", "--tokenizer=.: no tokenizer in gpt2/"),
        ("--data=nowhere", "--data=nowhere: there is no such file or directory"),
    ],
)
def test_bad_input_is_one_line(tmp_path, flag, said):
    ended = start(tmp_path, flag)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {said}")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_masks_of_ours_at_all_sparsities_and_torch_at_each(tmp_path):
    ended = start(tmp_path, "--masks", "--sparsities=0.9,0.5")
    assert (ended.status, ended.stderr) == (0, "")
    _, header, *lines, _ = ended.stdout.splitlines()
    assert header.split() == ["seconds", "spread", "of", "ours"]
    names = [re.split("  +", line)[0] for line in lines]
    assert names == ["ours, 2 sparsities", "torch, sparsity 0.5", "torch, sparsity 0.9"]


def test_sparsities_that_are_no_numbers_are_one_line(tmp_path):
    ended = start(tmp_path, "--masks", "--sparsities=0.5,abc")
    remedy = "error: --sparsities: 'abc' is not a number\n"
    assert (ended.status, ended.stdout, ended.stderr) == (2, "", remedy)


def test_the_host_step_by_step_for_every_model_and_protocol(tmp_path):
    models = "gpt2-tiny,electra-tiny,t5-tiny"
    ended = start(tmp_path, "--host", "--questions=6", models=models)
    assert ended.status == 0, ended.stderr
    title, *lines = ended.stdout.splitlines()
    assert title.startswith("6 questions, one run")
    assert max(map(len, lines)) <= 100
    shared = [host.READING, host.DETOKENIZING, host.WRITING]
    own = [
        *(host.TOKENIZING, host.KEEPING, host.RECALLING, host.PLANNING),
        *(host.BATCHING, host.COMMITTING, host_table.IN_ALL),
        *(f"device, {times} times" for times in ("0.5", "1", "2")),
    ]
    names = [re.split("  +", line)[1] for line in lines if line.startswith("  ")]
    assert names[-len(shared + 6 * own) :] == shared + 6 * own
    made = [
        f"{model}, {protocol}"
        for model in models.split(",")
        for protocol in ("cloze", "append")
    ]
    assert [line.partition(":")[0] for line in lines if ": rows" in line] == made
    (result,) = json.loads((tmp_path / "benchmark.json").read_text())["results"]
    for repeat in (one for repeats in result["repeats"].values() for one in repeats):
        assert [*repeat["steps"]] == [host.READING, host.DETOKENIZING, host.WRITING]
        assert [*repeat["models"]] == made
        for about in repeat["models"].values():
            assert [*about["steps"]] == own[:6]
            assert about["not_word_by_word"] == 0
            assert len(about["devices"]) == 3
    limits = [about["limit"] for about in repeat["models"].values()]
    assert limits == [1024, 1024, 512, 512, 512, 512]


def test_how_many_questions_there_are_is_told():
    few = {"steps": {}, "questions": 568, "models": {}}
    title, *_ = host_table.lines({"asked": 10_000, "repeats": {"one core": [few] * 3}})
    assert title.startswith("568 questions (all there are; 10,000 were asked for), med")


def test_data_that_the_host_does_not_find_are_one_line(tmp_path):
    ended = start(tmp_path, "--host", "--data=nowhere")
    assert (ended.status, ended.stdout) == (2, "")
    said = "error: --data=nowhere: there is no such file or directory"
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--masks", "--masks and --host are measured one at a time"),
        ("--questions=0", "--questions=0: "),
    ],
)
def test_flags_that_do_not_go_with_the_host_are_one_line(tmp_path, flag, said):
    ended = binary.run(benchmark, "--host", flag, f"--json={tmp_path / 'made'}")
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {said}")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
