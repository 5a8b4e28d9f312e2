"""--execution from the command line."""

import csv
import re

import pyarrow.parquet
import pytest

from experiments import sweep
from tests import tiny
from tests.experiments import binary
from tests.sparse.conftest import library  # noqa: F401

ASKED = (
    "--data=data", "--context=query", "--num_examples=4", "--sparsities=0.5",
)  # fmt: skip


@pytest.fixture
def place(saved, tmp_path, monkeypatch):
    binary.write_directory(tmp_path / "data", each=1)
    tiny.save("gpt2", tmp_path / "other", seed=1)
    (tmp_path / "gpt2").symlink_to(saved("gpt2"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scores(directory):
    rows = pyarrow.parquet.read_table(directory / "predictions.parquet").to_pylist()
    return [score for row in rows for score in row["scores"]]


def executions(directory):
    with (directory / "results.csv").open(newline="", encoding="utf-8") as file:
        return {row["execution"] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_a_compiler_that_fails_is_said_once_and_all_is_dense(place, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    models = "--model=gpt2,other"
    flags = (models, *ASKED, "--execution=auto", "--out=fallen")
    ended = binary.start("-m", "experiments.sweep", *flags, cwd=place)
    assert ended.status == 0, ended.stderr
    said = "all execution is dense instead of auto: false failed with status 1"
    assert ended.stderr.count(said) == 1
    assert executions(place / "fallen") == {"dense"}
    dense = binary.run(sweep, models, *ASKED, "--out=dense")
    assert dense.status == 0
    assert scores(place / "fallen") == scores(place / "dense")


@pytest.mark.usefixtures("library")
def test_the_same_command_goes_on_where_it_was(place):
    how = ("--execution=sparse", "--mesh=data:1")  # one device is no mesh
    flags = ("--model=gpt2", *ASKED, *how, "--out=out")
    for known in (False, True):
        ended = binary.run(sweep, *flags)
        assert ended.status == 0, ended.stderr
        assert ("nothing to score" in ended.stderr) == known
        assert executions(place / "out") == {"sparse"}
    dense = binary.run(sweep, "--model=gpt2", *ASKED, "--out=dense")
    assert dense.status == 0
    assert scores(place / "out") == pytest.approx(scores(place / "dense"), rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--dtype=bfloat16",), r"float32 only, not --dtype=bfloat16"),
        (("--mesh=data:2",), r"as --mesh=data:1 has it, not on several; .*--pattern="),
        (("--levels_at_once=2",), r"not --levels_at_once=2; leave it out"),
    ],
)
def test_what_is_not_executed_so_is_refused(place, monkeypatch, flags, said):
    monkeypatch.setattr(sweep.parallel, "check", lambda mesh: None)  # as if there were
    asked = ("--model=gpt2", *ASKED, "--execution=sparse", "--out=out", *flags)
    ended = binary.run(sweep, *asked)
    assert ended.status == 2
    (line,) = ended.stderr.splitlines()
    assert re.search(rf"^error: --execution=sparse: .*{said}", line)
    assert not (place / "out").exists()
