"""Reports of real runs from the command line, and runs that cannot be reported."""

import csv
import re
import shutil

import pytest

from experiments import report, sweep
from tests.experiments import binary
from tests.experiments.test_bad_input import assert_refused


@pytest.fixture(scope="module")
def place(saved, tmp_path_factory):
    """Two runs over the same questions, and one over others."""
    directory = tmp_path_factory.mktemp("report")
    binary.write_directory(directory / "data", each=2)
    shutil.copytree(saved("gpt2"), directory / "gpt2")
    asked = ("--data=data", "--model=gpt2", "--context=query", "--sparsities=0.5,0.9")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        for flags in (
            ("--num_examples=8", "--out=one"),
            ("--num_examples=8", "--method=random", "--out=two"),
            ("--num_examples=4", "--out=fewer"),
        ):
            ended = binary.run(sweep, *asked, *flags)
            assert ended.status == 0, ended.stderr
    return directory


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def pooled(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["word_class"] == "all"]


def test_two_runs_become_one_report(here):
    ended = binary.run(report, "--runs=one,two", "--out=both")
    assert (ended.status, ended.stderr) == (0, "")
    rows = pooled(here / "both/results.csv")
    assert rows == [
        *pooled(here / "one/results.csv"),
        *pooled(here / "two/results.csv"),
    ]
    names = {path.name for path in (here / "both").iterdir()}
    # No layers.png: within matrices, every layer loses the same.
    kinds = {f"{name}.{kind}" for name in ("accuracy", "classes")
             for kind in ("png", "svg")}  # fmt: skip
    assert names == {"report.md", "report.html", "results.csv", *kinds}
    *_, last = ended.stdout.splitlines()
    assert last.startswith("Written to both: report.md, report.html, results.csv, acc")
    text = (here / "both/report.md").read_text()
    assert "./run.sh report --runs=one,two --out=both" in text
    page = (here / "both/report.html").read_text()
    assert "./run.sh --data=data --model=gpt2" in page
    assert re.search(r"<dt>started</dt><dd>20\d\d-.* UTC; 20", page)  # both runs
    assert re.search(r"<dt>version</dt><dd>jaxsparse \d", page)
    overview, costs, points, *originals, _ = text.split("\n## ")[1:]
    assert re.search(r"\| gpt2 · cloze, random \| [\d.]+ \|", overview)
    assert "| gpt2 · cloze, magnitude |" in costs
    assert re.search(r"\| random \| 0.9 \|", points)
    assert len(originals) == 2  # a method each
    for original in originals:
        assert re.search(r"\n\| gpt2 \| [\d.]+ / [\d.]+ s \|", original)


def test_a_margin_is_the_reports_own(here):
    ended = binary.run(report, "--runs=one,two", "--out=within", "--margin=60")
    assert (ended.status, ended.stderr) == (0, "")
    assert "60 excluded up to" in (here / "within/report.md").read_text()
    ended = binary.run(report, "--runs=one", "--out=never", "--margin=-2")
    assert_refused(ended, "--margin=-2: a number is wanted, from 0 to 100")
    assert not (here / "never").exists()
    ended = binary.run(report, "--runs=one", "--out=more", "--verbose")
    assert "p Holm" in ended.stdout


def test_one_run_is_reported_too_and_the_page_holds_as_many_questions_as_asked(here):
    ended = binary.run(report, "--runs=one", "--out=few", "--explorer_questions=4")
    assert ended.status == 0
    page = (here / "few/report.html").read_text()
    assert "4 of 8 questions are in this file" in page
    assert page.count('"sentences":') == 4


def test_a_directory_with_commas_is_one_run(here):
    shutil.copytree(here / "one", here / "one,or,1")
    ended = binary.run(report, "--runs=one,or,1,two", "--out=by,two")
    assert (ended.status, ended.stderr) == (0, "")
    assert (
        "./run.sh report --runs=one,or,1,two" in (here / "by,two/report.md").read_text()
    )
    ended = binary.run(report, "--runs=one,or,2,two", "--out=new")
    assert_refused(ended, "--runs: or: no such directory", "commas separate")


FILE = "data/cbtest_CN_test_2500ex.txt"
BAD = {
    "no runs": ([], ["--runs is missing"]),
    "empty entry": (["--runs=one,"], ["--runs", "empty"]),
    "twice": (["--runs=one,./one"], ["--runs", "one is given twice"]),
    "no such run": (["--runs=one,three"], ["three: no such directory"]),
    "a file": ([f"--runs={FILE}"], ["no such directory"]),
    "no results": (["--runs=data"], ["data: no results", "run.json is missing"]),
    "other questions": (["--runs=one,fewer"], ["one and fewer", "8 and 4, 4 in"]),
    "out is a run": (["--runs=one", "--out=./one"], ["--out=./one is one of"]),
    "out is a file": (["--runs=one", f"--out={FILE}"], ["is a file"]),
    "negative": (["--runs=one", "--explorer_questions=-1"], ["--explorer_q"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(here, name):
    flags, patterns = BAD[name]
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert_refused(binary.run(report, "--out=new", *flags), *patterns)
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


def test_a_full_disk_is_said_and_leaves_nothing(here, small_disk):
    disk, fill = small_disk
    fill()
    ended = binary.run(report, "--runs=one", f"--out={disk / 'out'}")
    assert_refused(ended, "out", "No space left on device", "name another directory")
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_run_is_never_replaced(here):
    before = {path: path.read_bytes() for path in (here / "two").iterdir()}
    ended = binary.run(report, "--runs=one", "--out=two")
    assert_refused(ended, "two: holds a run's run.json")
    assert {path: path.read_bytes() for path in (here / "two").iterdir()} == before


def test_out_must_be_named(here):
    assert_refused(binary.run(report, "--runs=one"), "--out is missing")


def test_a_run_that_was_killed_says_how_to_go_on(here):
    shutil.copytree(here / "one", here / "killed")
    for path in (here / "killed").iterdir():
        if path.name != "journal.sqlite":
            path.unlink()
    ended = binary.run(report, "--runs=killed", "--out=new")
    assert_refused(ended, "killed: no results", "not ended: repeat its command")
