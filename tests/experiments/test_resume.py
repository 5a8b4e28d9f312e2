"""Runs that end too early, and runs that ask for more: nothing is lost, nothing is
scored twice, and the files come out the same."""

import csv
import json
import multiprocessing
import multiprocessing.forkserver as forkserver
import os
import random
import re
import signal
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest

from experiments import sweep
from jaxsparse import readings
from jaxsparse.calibration import Walk
from jaxsparse.journal import NAME, Journal
from jaxsparse.one_shot.leaves import PrunedLeaves
from jaxsparse.whole import locked
from tests import tiny
from tests.experiments import binary
from tests.experiments.logged import run_logged, run_until_block

SLOW = pytest.mark.slow
TIMINGS = ("seconds", "questions_per_second")
SWEEP = (
    "--data=data", "--protocol=cloze,append",
    "--method=magnitude,random", "--sparsities=0,0.5,0.9", "--context=query",
    "--batch_tokens=130",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(saved, tmp_path_factory):
    """Four questions of each class and two models, and a cache of compilations."""
    directory = tmp_path_factory.mktemp("resume")
    binary.write_directory(directory / "data", each=4)
    for name, variant in ("gpt2", "gpt2"), ("electra", "electra-discriminator"):
        os.symlink(saved(variant), directory / name)
    return directory


@pytest.fixture(scope="module")
def processes():
    """New processes in no time: imports are done, and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run_logged.__module__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(binary.ROOT))  # or it would import nothing
        forkserver.ensure_running()
    return context


def batches(log):
    return Counter(log.read_text().split()) if log.exists() else Counter()


def contents(out: Path) -> dict[str, object]:
    """predictions.parquet byte for byte, results.csv but for the timings."""
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    untimed = [
        {name: value for name, value in row.items() if name not in TIMINGS}
        for row in rows
    ]
    return {"predictions": (out / "predictions.parquet").read_bytes(), "rows": untimed}


@pytest.mark.parametrize(
    ("models", "kills", "more"),
    [
        (("gpt2",), 6, "--levels_at_once=2"),
        pytest.param(("gpt2", "electra"), 60, "--batch_tokens=130", marks=SLOW),
    ],
)
def test_killed_at_any_moment_and_repeated_it_ends_as_if_never_killed(
    place, processes, models, kills, more
):
    """Each kill comes some batches further on, at a random moment of the next one; the
    last ones when all is scored and the files are written."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    moments = random.Random(seed)

    def start(name):
        log = place / f"{name}-{kills}.log"
        flags = (*SWEEP, f"--model={','.join(models)}", f"--out={name}-{kills}", more)
        process = processes.Process(
            target=run_logged, args=(str(place), str(log), flags)
        )
        process.start()
        return process, log, place / f"{name}-{kills}"

    process, log, whole = start("whole")
    process.join()
    expected = batches(log)
    assert set(expected.values()) == {1}

    killed = 0
    for left in range(kills)[::-1]:
        process, log, out = start("killed")
        target = batches(log).total()
        target += moments.randrange(1 + 2 * expected.total() // (kills + 2))
        writing = left < kills // 3
        while process.is_alive() and not reached(log, out, expected, target, writing):
            process.join(0.002)
        process.join(moments.random() * (0.3 if writing else 0.03))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    process, *_ = start("killed")
    process.join()
    assert process.exitcode == 0, log.with_name(f"{log.name}.out").read_text()
    assert killed > kills // 2

    assert contents(out) == contents(whole)
    scored = batches(log)
    assert scored.keys() == expected.keys()
    # At most two are scored again after each kill: the batch in flight, and the one
    # before it, whose answers are committed meanwhile.
    assert scored.total() - expected.total() <= 2 * killed
    made_by = json.loads((out / "run.json").read_text())["answers"]["made_by"]
    points = len(models) * 2 * (1 + 2 * 2)
    assert sum(session["answers"] for session in made_by) == points * 16
    assert len(made_by) > 1
    assert {path.name for path in out.iterdir()} == {
        path.name for path in whole.iterdir()
    }


def reached(log, out, expected, target, writing):
    """Whether so many batches are scored, or all, and the files begun."""
    if not writing:
        return batches(log).total() >= target
    return len(batches(log)) == len(expected) and any(out.glob(".*.partial"))


@SLOW
def test_killed_between_blocks_it_goes_on_and_a_rerun_calibrates_nothing(
    place, processes, monkeypatch
):
    """Two methods, each of three blocks: six, of which four are pruned."""
    monkeypatch.chdir(place)
    flags = (
        "--model=gpt2", "--data=data", "--num_examples=4", "--context=query",
        "--method=wanda,sparsegpt", "--sparsities=0.5", "--calibration_rows=4",
        "--calibration_tokens=16",
    )  # fmt: skip
    killed = (str(place), "blocks.log", (*flags, "--out=blocks-killed"), 4)
    process = processes.Process(target=run_until_block, args=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    pruned, block_done = [], PrunedLeaves.block_done

    def counted(self, matrices):
        pruned.append(matrices)
        block_done(self, matrices)

    monkeypatch.setattr(PrunedLeaves, "block_done", counted)
    for name, blocks in ("killed", 2), ("whole", 6):
        ended = binary.run(sweep, *flags, f"--out=blocks-{name}")
        assert ended.status == 0, ended.stderr
        assert len(pruned) == blocks
        pruned.clear()
    out, whole = place / "blocks-killed", place / "blocks-whole"
    assert contents(out) == contents(whole)
    layers = (whole / "layers.csv").read_bytes()
    assert (out / "layers.csv").read_bytes() == layers

    monkeypatch.delattr(Walk, "statistics")
    ended = binary.run(sweep, *flags, "--out=blocks-killed")
    assert "nothing to score" in ended.stderr
    assert contents(out) == contents(whole)
    assert (out / "layers.csv").read_bytes() == layers


# Asking for more


@pytest.fixture
def counted(monkeypatch, place):
    """The number of questions times levels that are scored."""
    monkeypatch.chdir(place)
    scored = []
    record = Journal.record

    def counting(self, answers):
        answers = list(answers)
        scored.append(len(answers))
        record(self, answers)

    monkeypatch.setattr(Journal, "record", counting)

    def run(*argv):
        scored.clear()
        ended = binary.run(sweep, *argv)
        assert ended.status == 0, ended.stderr
        known = re.findall(
            "^all ([\\d,]+) answers known; nothing to score$", ended.stderr, re.M
        )
        assert bool(known) == (not scored)
        return sum(scored)

    return run


def scores_of(out):
    rows = pyarrow.parquet.read_table(out / "predictions.parquet").to_pylist()
    names = ("model", "protocol", "method", "sparsity", "question_id")
    return {tuple(row[name] for name in names): row["scores"] for row in rows}


def test_only_what_is_new_is_scored(counted, place, tmp_path):
    base = ("--data=data", "--context=query", f"--out={tmp_path / 'out'}")
    first = (*base, "--model=gpt2", "--num_examples=8")
    assert counted(*first, "--sparsities=0.5") == 2 * 8  # dense comes with it
    before = scores_of(tmp_path / "out")
    assert counted(*first, "--sparsities=0.5") == 0
    assert scores_of(tmp_path / "out") == before
    assert counted(*first, "--sparsities=0.5,0.9") == 8
    assert counted(*first, "--sparsities=0.9,0.5,0.7", "--method=random") == 3 * 8
    assert counted(*first, "--sparsities=0.5", "--method=magnitude,random") == 0
    assert counted(*first, "--sparsities=0.5", "--protocol=append") == 2 * 8
    more = (*base, "--model=gpt2", "--sparsities=0.5,0.9")
    assert counted(*more, "--num_examples=12") == 3 * 4
    known = scores_of(tmp_path / "out")
    assert all(known[key] == scores for key, scores in before.items())
    assert counted(*more, "--num_examples=8", "--levels_at_once=2") == 0
    assert counted(*more, "--num_examples=16", "--levels_at_once=2") == 3 * 4
    # A method that draws nothing has no seed; one that draws has.
    assert counted(*more, "--num_examples=8", "--seed=1") == 0
    random = ("--num_examples=8", "--method=random")
    assert counted(*more, *random) == 0
    assert counted(*more, *random, "--seed=1") == 2 * 8
    assert counted(*more, "--num_examples=8", "--model=gpt2,electra") == 3 * 8


def test_questions_are_told_by_their_content_not_by_their_place(counted, tmp_path):
    base = ("--model=gpt2", "--context=query", "--sparsities=0", f"--out={tmp_path}/o")
    binary.write_items(tmp_path / "cbtest_CN_test.txt", [binary.item(2)])
    assert counted(*base, f"--data={tmp_path}/cbtest_CN_test.txt") == 1
    items = [binary.item(5), binary.item(2)]
    binary.write_items(tmp_path / "cbtest_CN_test.txt", items)
    assert counted(*base, f"--data={tmp_path}/cbtest_CN_test.txt") == 1
    # One that is there twice has one answer, whether it is scored now or was before.
    binary.write_items(tmp_path / "cbtest_CN_test.txt", [binary.item(8)] * 2)
    assert counted(*base, f"--data={tmp_path}/cbtest_CN_test.txt") == 1
    first, second = scores_of(tmp_path / "o").values()
    assert first == second
    assert counted(*base, f"--data={tmp_path}/cbtest_CN_test.txt") == 0


def test_other_weights_of_the_same_name_are_scored_anew(counted, tmp_path):
    tiny.save("gpt2", tmp_path / "model", seed=1)
    base = (
        "--data=data", f"--model={tmp_path}/model", "--context=query",
        "--sparsities=0", "--num_examples=4", f"--out={tmp_path}/o",
    )  # fmt: skip
    assert counted(*base) == 4
    assert counted(*base) == 0
    before = scores_of(tmp_path / "o")
    for path in (tmp_path / "model").iterdir():
        path.unlink()
    tiny.save("gpt2", tmp_path / "model", seed=2)
    assert counted(*base) == 4
    assert scores_of(tmp_path / "o") != before


# Bad places


KEPT = {NAME, readings.NAME}


def refused(*argv):
    ended = binary.run(sweep, *argv)
    assert ended.status == 2
    *progress, error = ended.stderr.splitlines()
    assert all(line.startswith("[1/1] gpt2") for line in progress)
    assert ended.stdout == ""
    return error


SMALL = (
    "--data=data", "--model=gpt2", "--context=query", "--sparsities=0,0.5",
    "--batch_tokens=64",
)  # fmt: skip


def test_a_directory_that_another_process_holds_is_refused(place, monkeypatch):
    monkeypatch.chdir(place)
    with held_directory(place / "busy"):
        error = refused(*SMALL, "--out=busy")
    assert f"busy: another process ({os.getpid()}) is writing there; wait" in error
    assert list((place / "busy").iterdir()) == []


def held_directory(path):
    path.mkdir()
    return locked(path)


def test_a_journal_that_cannot_be_used_stops_the_run_before_weights(place, monkeypatch):
    monkeypatch.chdir(place)
    (place / "bad").mkdir()
    (place / "bad" / NAME).write_text("no journal\n" * 99)
    ended = binary.run(sweep, *SMALL, "--out=bad")
    assert ended.status == 2
    (line,) = ended.stderr.splitlines()
    assert "journal.sqlite: damaged, or no SQLite file" in line
    assert [path.name for path in (place / "bad").iterdir()] == [NAME]


def test_a_full_disk_loses_nothing_and_the_same_command_goes_on(
    counted, small_disk, place, monkeypatch
):
    disk, fill = small_disk
    flags = (*SMALL, f"--out={disk / 'out'}")
    with monkeypatch.context() as patch:
        record = Journal.record

        def filling(self, answers):
            if self.recorded == 20:
                fill()
            record(self, answers)

        patch.setattr(Journal, "record", filling)
        error = refused(*flags)
    assert f"{disk / 'out' / NAME}: " in error
    assert "there is no room left for it" in error
    assert {path.name for path in (disk / "out").iterdir()} == KEPT
    (disk / "ballast").unlink()
    assert counted(*flags) == 2 * 16 - 20
    assert counted(*SMALL, "--out=roomy") == 2 * 16
    assert contents(disk / "out") == contents(place / "roomy")


def test_a_disk_too_full_for_the_results_keeps_the_journal(
    counted, small_disk, monkeypatch
):
    disk, fill = small_disk
    flags = (*SMALL, f"--out={disk / 'out'}")
    with monkeypatch.context() as patch:
        write = sweep.report.write
        patch.setattr(
            sweep.report, "write", lambda *args, **how: (fill(), write(*args, **how))
        )
        error = refused(*flags)
    assert "results could not be written (No space left on device)" in error
    assert "the journal keeps all 32 answers: mend that and repeat the command" in error
    assert {path.name for path in (disk / "out").iterdir()} == KEPT
    (disk / "ballast").unlink()
    assert counted(*flags) == 0


def test_a_disk_that_is_full_from_the_start_is_said(small_disk, place, monkeypatch):
    monkeypatch.chdir(place)
    disk, fill = small_disk
    fill()
    assert "there is no room left for it" in refused(*SMALL, f"--out={disk / 'out'}")
    assert [path.name for path in disk.iterdir()] == ["ballast"]
