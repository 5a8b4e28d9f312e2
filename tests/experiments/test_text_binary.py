"""--text from the command line: what is refused before weights are read, and what a run
with texts leaves."""

import csv
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from experiments import inputs, sweep
from jaxsparse.assets import DIRECTORY
from tests.experiments import binary
from tests.slices import slow

STORY = DIRECTORY / "stories" / "validation" / "the-lamp-at-mizzen-house.txt"
ALL = "tiny-gpt2,tiny-electra,tiny-t5"
FEW = ("--num_examples=4", "--context=query", "--sparsities=0.5,0.9")


@pytest.fixture
def unread(monkeypatch):
    """Nobody may look at a weight, nor at a question."""

    def refuse(*args, **kwargs):
        raise AssertionError

    for name in ("check_values", "cbt"):
        monkeypatch.setattr(inputs, name, refuse)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--text=none.txt",), "--text=none.txt: no such file or directory"),
        (("--text=",), "--text is missing; name text files"),
        (("--text=empty.txt",), "--text=empty.txt: the file is empty; name one"),
        (("--text=latin.txt",), "--text=latin.txt: byte 4 of the file is not UTF-8"),
        (("--text=short.txt",), "--text=short.txt: a text of 3 tokens is shorter"),
        (("--text=long.txt", "--text_tokens=513"), "--text_tokens=513: a window of"),
        (("--text=long.txt,long.txt",), "--text: long.txt is given twice"),
        (("--text_tokens=64",), "--text_tokens goes with --text; name text files"),
        (("--seeds=0,1",), "--seeds=0,1: several go with --text; name text files"),
        (("--seeds=0,x", "--text=long.txt"), "--seeds=0,x: not whole numbers from 0"),
        (("--seeds=1,01", "--text=long.txt"), "--seeds=1,01: a value is given twice"),
        (("--seeds=1", "--seed=1"), "--seed and --seeds exclude each other"),
        (
            ("--seeds=0,1", "--text=long.txt", "--calibration=bundled"),
            "--seeds=0,1: no --method draws or is calibrated, so that all would be the",
        ),
        (("--text_details",), "--text_details goes with --text; name text files"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line_before_weights(
    tmp_path, monkeypatch, unread, flags, problem
):
    monkeypatch.chdir(tmp_path)
    for name, content in (
        ("empty", b" \n"), ("latin", b"caf\xe9"), ("short", b"The fox."),
        ("long", b"The fox saw the hen. " * 400),
    ):  # fmt: skip
        (tmp_path / f"{name}.txt").write_bytes(content)
    ended = binary.run(sweep, "--model=tiny-gpt2", *flags, "--out=out")
    assert ended.status == 2
    (line,) = ended.stderr.splitlines()
    assert problem in line
    assert not (tmp_path / "out").exists()


def test_a_discriminator_is_refused_in_a_line(tmp_path, saved, unread):
    model = saved("electra-discriminator")
    ended = binary.run(
        sweep, f"--model={model}", f"--text={STORY}", f"--out={tmp_path / 'out'}"
    )
    assert ended.status == 2
    (line,) = ended.stderr.splitlines()
    assert "electra-discriminator: a discriminator tells replaced tokens" in line
    assert "leave the model or --text out" in line


def test_old_names_of_directories_stay_and_texts_have_names_of_their_own():
    def out(*flags):
        return binary.settings("--model=tiny-gpt2", "--data=bundled", *flags).out.name

    assert out() == out("--text_tokens=0")
    with_text = out(f"--text={STORY}")
    assert len({out(), with_text, out(f"--text={STORY}", "--text_tokens=64")}) == 3
    assert out(f"--text={STORY}", "--text_details") == with_text  # the same scores


@pytest.mark.parametrize("models", slow(["tiny-gpt2", ALL], [ALL]))
def test_a_run_with_texts_from_end_to_end(tmp_path, models):
    def run(*flags):
        return binary.run(
            sweep, f"--model={models}", f"--text={STORY}", *FEW, *flags,
            f"--out={tmp_path}",
        )  # fmt: skip

    ended = run()
    assert ended.status == 0, ended.stderr
    assert "Nats (and perplexity) of the-lamp-at-mizzen-house.txt" in ended.stdout
    assert "text.csv, text.png" in ended.stdout
    first = (tmp_path / "text.csv").read_bytes()
    rows = list(csv.DictReader(first.decode().splitlines()))
    assert Counter(row["model"] for row in rows) == dict.fromkeys(models.split(","), 3)
    for row in rows:
        assert row["text"] == STORY.name
        assert bool(row["perplexity"]) == (row["family"] == "gpt2")
    for dense, half, most in (rows[at : at + 3] for at in range(0, len(rows), 3)):
        losses = [float(row["nats"]) for row in (dense, half, most)]
        assert losses[0] < losses[2]  # sparsity 0.9
        assert losses[1] < losses[2]
    # The journal knows all, and the details as well.
    again = run("--text_details")
    assert "nothing to score" in again.stderr
    assert (tmp_path / "text.csv").read_bytes() == first
    tokens = pq.read_table(tmp_path / "text_tokens.parquet")
    assert tokens.num_rows == sum(int(row["targets"]) for row in rows)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["texts"].keys() == {STORY.name}
    assert facts["settings"]["texts"] == [str(STORY)]
