"""--calibration from the command line: what is refused before weights are read, and
what a calibrated run leaves."""

import csv
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from experiments import (
    calibrating,
    inputs,
    model_run,
    prune,
    prune_settings,
    sweep,
    usage,
)
from jaxsparse import cbt
from jaxsparse.calibration import Walk
from tests.experiments import binary

FEW = (
    "--data=data", "--num_examples=4", "--context=query", "--calibration_rows=4",
    "--calibration_tokens=16",
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory to run in, with questions and texts."""
    monkeypatch.chdir(tmp_path)
    binary.write_directory(tmp_path / "data", each=1)
    (question, *_) = cbt.read_questions("data", word_classes="CN")
    for name, content in (
        ("empty", b" \n"), ("latin", b"caf\xe9"), ("short", b"The fox."),
        ("long", b"The fox saw the hen. " * 400),
        ("same", f"{' '.join(question.context)} The fox slept. ".encode() * 9),
    ):  # fmt: skip
        (tmp_path / f"{name}.txt").write_bytes(content)
    return tmp_path


@pytest.fixture
def unread(monkeypatch):
    """Nobody may look at a weight."""

    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(inputs, "check_values", refuse)
    for module in model_run, prune:
        monkeypatch.setattr(module, "load", refuse)


def refused(ended):
    assert (ended.status, ended.stdout) == (2, ""), ended
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ("--calibration=none.txt", "--calibration=none.txt: no such file"),
        ("--calibration=", "--calibration: an entry is empty; name a file"),
        ("--calibration=empty.txt", "--calibration=empty.txt: the file is empty"),
        ("--calibration=latin.txt", "--calibration=latin.txt: byte 4 of the file is"),
        (
            "--calibration=short.txt",
            "gpt2: --calibration=short.txt: a text of 3 tokens is shorter than one "
            "window of 512",
        ),
        (
            "--calibration=long.txt --calibration_tokens=9999",
            "gpt2: --calibration_tokens=9999: a window of 9999 tokens; the model takes",
        ),
        ("--calibration_rows=0", "--calibration_rows=0: "),
        ("--calibration_rows=9", "--calibration_rows goes with --calibration, or a"),
        ("--calibration_tokens=9", "--calibration_tokens goes with --calibration, or"),
        ("--allow_overlap", "--allow_overlap goes with --calibration, or a method"),
        ("--calibration=train", "--calibration=train: data has no cbtest_CN_train.txt"),
        (
            "--calibration=same.txt",
            "--calibration=same.txt: sentences of question CN-test-1 stand in it",
        ),
        (
            "--calibration=data/cbtest_V_test_2500ex.txt --calibration_tokens=64 "
            "--num_examples=1",
            "_2500ex.txt: sentences of question V-test-1 stand in it",  # CN is asked
        ),
        ("--method=wanda --prunable=all", "gpt2: --prunable=all: wpe/embedding has no"),
        ("--allocation=owl --prunable=all", "wpe/embedding has no inputs, which owl"),
        ("--method=wanda --pattern=3:7", "--pattern=3:7"),
    ],
)
def test_what_cannot_be_calibrated_is_told_in_a_line_before_weights(
    place, saved, unread, flags, problem
):
    model = f"--model={saved('gpt2')}"
    line = refused(binary.run(sweep, model, "--data=data", *flags.split(), "--out=out"))
    assert problem in line
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("model", "method", "problem"),
    [
        (
            "t5-gated",
            "magnitude+bias",
            r"=magnitude\+bias: .* of t5 has no bias",
        ),
        ("electra-discriminator", "fisher", "--method=fisher: a discriminator"),
    ],
)
def test_what_a_family_lacks_is_told_before_weights(
    place, saved, unread, model, method, problem
):
    flags = (f"--model={saved(model)}", f"--method={method}")
    ended = binary.run(sweep, *flags, "--data=data", "--out=out")
    assert re.search(problem, refused(ended))
    ended = binary.run(prune, *flags, "--sparsities=0.5", "--export=new")
    assert re.search(problem, refused(ended))
    assert not (place / "new").exists()


def test_prune_has_no_stories_of_questions_and_checks_its_text(place, saved, unread):
    (place / "test.txt").write_text(" ".join(cbt.bundled_texts("test")))
    flags = (f"--model={saved('gpt2')}", "--sparsities=0.5", "--export=new")
    for given, problem in (
        ("--calibration=train", "--calibration=train: prune asks no questions"),
        ("--calibration=short.txt", "--calibration=short.txt: a text of 3 tokens"),
        ("--calibration_rows=3", "--calibration_rows goes with --calibration"),
        ("--allow_overlap", "--allow_overlap goes with --calibration, or a method"),
        (
            "--method=wanda --calibration=test.txt",
            "--calibration=test.txt: sentences of question NE-test-",
        ),
    ):
        assert problem in refused(binary.run(prune, *flags, *given.split()))
    assert not (place / "new").exists()


def test_stories_of_the_train_split_are_read_once_each(place):
    stories = [binary.item(seed) for seed in (2, 5, 2)]
    for name in ("CN", "V"):
        binary.write_items(place / f"data/cbtest_{name}_train.txt", stories)
    flags = ("--data=data", "--calibration=train", "--word_classes=CN,V")
    texts = calibrating.texts_of(binary.settings(*flags, "--detokenize=none"))
    questions = cbt.read_questions("data", "train", ["CN"])
    assert texts == tuple(" ".join(question.context) for question in questions[:2])


def test_prune_reads_stories_of_train_where_it_asks_questions(place):
    binary.write_items(place / "data/cbtest_V_train.txt", [binary.item(2)])
    argv = "--margin=5 --sparsities=0.5 --data=data --calibration=train"
    argv += " --word_classes=V --detokenize=none --model=m --export=new"
    usage.parse("prune", argv.split())
    (question,) = cbt.read_questions("data", "train", ["V"])
    texts = calibrating.texts_of(prune_settings.pruning_from_flags())
    assert texts == (" ".join(question.context),)


def write_task(path, *rows):
    same = {"task": "hats", "options": ["hat", "hen"], "answer": "hat"}
    rows = [{**same, "query": "He took the XXXXX .", **row} for row in rows]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_no_story_of_a_task_is_both_of_train_and_asked(place, saved, unread):
    story = "Ned had a hat and Ann had a hen of her own ."
    flags = (f"--model={saved('gpt2')}", "--data=hats.jsonl", "--calibration=train")
    train, test = ({"context": story, "split": name} for name in ("train", "test"))
    for rows, problem in (
        (
            [{"context": story}, test, {"context": "It rained ."}],
            "--calibration=train: hats.jsonl:1: this row names no split, so it can be "
            "asked as well (such rows: 2); give every row a split, or name a text file",
        ),
        ([train, test], "--calibration=train: sentences of question hats-2 stand in"),
    ):
        write_task(place / "hats.jsonl", *rows)
        line = refused(binary.run(sweep, *flags, "--calibration_tokens=4", "--out=out"))
        assert problem in line
    assert not (place / "out").exists()


def test_a_pruned_model_keeps_what_it_was_calibrated_on(place, saved):
    tests = " ".join(cbt.bundled_texts("test")[:1])
    (place / "both.txt").write_text(f"The fox saw the hen. {tests}")
    flags = ("--calibration=both.txt", "--calibration_rows=5", "--calibration_tokens=8")
    made = (f"--model={saved('gpt2')}", "--method=wanda", "--sparsities=0.5")
    ended = binary.run(prune, *made, *flags, "--allow_overlap", "--export=new")
    assert (ended.status, ended.stderr) == (0, "")
    (matches,) = re.findall(
        r"^test questions in the calibration text: ([1-9]\d*) matches with the 568 "
        r"bundled ones, which --allow_overlap allowed$", ended.stdout, re.M,
    )  # fmt: skip
    assert f"| test questions in it | {matches} matches" in (
        place / "new/README.md"
    ).read_text(encoding="utf-8")
    table = pq.read_table("new/calibration.parquet")
    assert table.column_names == ["tokens", "attended"]
    assert table.num_rows == 5


def test_a_calibrated_run_says_what_on_and_how_far_matrices_are(
    place, saved, monkeypatch
):
    flags = (
        f"--model={saved('gpt2')}", *FEW, "--method=magnitude,wanda", "--out=out",
        "--sparsities=0.5", "--calibration=same.txt", "--allow_overlap",
    )  # fmt: skip
    ended = binary.run(sweep, *flags)
    assert ended.status == 0, ended.stderr
    facts = json.loads((place / "out/run.json").read_text())
    rows = facts["calibration"]["gpt2"]
    assert (rows["source"], rows["rows"], rows["tokens"]) == ("same.txt", 4, 16)
    assert (rows["seed"], rows["overlapping"]) == (0, False)
    said = "calibrated on same.txt: 4 windows of 16 tokens, seed 0 (gpt2 {})"
    assert said.format(rows["digest"][:8]) in facts["notes"]
    assert "sentences in that text: 19 (--allow_overlap)" in ended.stdout
    assert pq.read_table("out/calibration.parquet").num_rows == 4
    errors = {name: [] for name in ("magnitude", "wanda")}
    with open("out/layers.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            errors[row["method"]].append(float(row["error"]))
            assert row["damping_raised"] == "0"
    assert np.mean(errors["wanda"]) < np.mean(errors["magnitude"])
    markdown = (place / "out/report.md").read_text()
    assert "## Reconstruction error at each sparsity" in markdown
    assert f"| gpt2 · wanda | {100 * np.mean(errors['wanda']):.2f} |" in markdown

    monkeypatch.delattr(Walk, "statistics")  # a rerun calibrates nothing
    layers = (place / "out/layers.csv").read_bytes()
    ended = binary.run(sweep, *flags)
    assert "nothing to score" in ended.stderr
    assert (place / "out/layers.csv").read_bytes() == layers
