"""Two processes of four devices each, on this host: the results of one process, written
once; and what is wrong with one of them ends both.

Scores are compared to 1e-5, relative: sums are taken in another order.
"""

import csv
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pyarrow.parquet
import pytest

from experiments import sweep
from jaxsparse import readings, report
from jaxsparse.journal import NAME
from tests.experiments import binary
from tests.experiments.binary import Ended

ASKED = (
    "--model=gpt2", "--data=data", "--context=query",
    "--method=magnitude,random", "--batch_tokens=400",
)  # fmt: skip
SPARSITIES = "--sparsities=0.5,0.9"
SECONDS = 200
TIMINGS = ("seconds", "questions_per_second")


@pytest.fixture(scope="module")
def place(saved, tmp_path_factory):
    directory = tmp_path_factory.mktemp("distributed")
    binary.write_directory(directory / "data", each=2)
    shutil.copytree(saved("gpt2"), directory / "gpt2")
    return directory


def start(place, devices, *argv, **variables):
    environment = {
        name: value
        for name, value in os.environ.items()
        if "_proxy" not in name.lower()
    } | {
        "PYTHONPATH": str(binary.ROOT),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "HF_HUB_OFFLINE": "1",
        "JAX_COMPILATION_CACHE_DIR": str(place / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "experiments.sweep", *ASKED, *argv],
        cwd=place,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def both(place, *argv, second=()):
    """The same command in two processes, `second` in addition in process 1."""
    address = (f"--coordinator=localhost:{free_port()}", "--num_processes=2")
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(start, place, 4, *argv, *address, f"--process_id={n}", *more)
            for n, more in enumerate(((), second))
        ]
        return [run.result() for run in runs]


def both_by_slurm(place, *argv):
    """The same command in two tasks, with what Slurm tells them. JAX makes the port of
    the job's number."""
    job = {
        "SLURM_JOB_ID": str(free_port(65536 - 4096) - (65536 - 4096)),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
    }
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(
                start, place, 4, *argv, "--distributed",
                **job, SLURM_PROCID=str(n), SLURM_LOCALID=str(n),
            )
            for n in range(2)
        ]  # fmt: skip
        return [run.result() for run in runs]


def free_port(least=0):
    """A port that is free now; from `least` on, if there is one."""
    for port in random.sample(range(least, 65536), 100) if least else [0]:
        with socket.socket() as free, suppress(OSError):
            free.bind(("localhost", port))
            return free.getsockname()[1]
    raise OSError("no port is free")


@pytest.fixture(scope="module")
def ended(place):
    """A run of two processes; others of one process, with one device and with eight."""
    two = both(place, SPARSITIES, "--out=two", second=("--out=never",))
    eight = start(place, 8, SPARSITIES, "--out=eight")
    assert eight.status == 0, eight
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        one = binary.run(sweep, *ASKED, SPARSITIES, "--out=one")
    assert one.status == 0, one
    return two


def rows_of(out):
    """predictions.parquet without scores, the scores (nats), results.csv untimed."""
    predictions = pyarrow.parquet.read_table(out / "predictions.parquet").to_pylist()
    scores = np.array([row.pop("scores") for row in predictions], np.float64)
    with (out / "results.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for row in table:
        for name in TIMINGS:
            del row[name]
    return predictions, scores, table


def assert_alike(one, other):
    predictions, scores, table = rows_of(one)
    expected, close_to, expected_table = rows_of(other)
    assert predictions == expected
    assert table == expected_table
    np.testing.assert_allclose(scores, close_to, rtol=1e-5)


def assert_both_refused(runs, said_by):
    """Status 2 and one line from each, the culprit's own and what the other heard."""
    for run, line in zip(runs, said_by, strict=True):
        assert run.status == 2, run
        assert run.stderr.splitlines() == [line]


def test_two_processes_write_what_one_does_and_once(ended, place):
    first, second = ended
    assert (first.status, second.status) == (0, 0), ended
    assert "Written to two: " in first.stdout
    assert "Written" not in second.stdout
    assert second.stderr == ""
    assert not (place / "never").exists()
    assert {path.name for path in (place / "two").iterdir()} == {
        *report.FILES,
        NAME,
        readings.NAME,
    }
    assert_alike(place / "two", place / "eight")
    assert_alike(place / "two", place / "one")


def test_two_processes_prune_block_by_block_as_one_does(place):
    flags = (
        "--method=magnitude+bias", "--sparsities=0.5", "--num_examples=4",
        "--calibration_rows=4", "--calibration_tokens=16",
    )  # fmt: skip
    for run in both(place, *flags, "--out=two-blocks"):
        assert run.status == 0, run
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        one = binary.run(sweep, *ASKED, *flags, "--out=one-blocks")
    assert one.status == 0, one
    assert_alike(place / "two-blocks", place / "one-blocks")


@pytest.mark.usefixtures("ended")
def test_run_json_says_where_it_ran(place):
    facts = json.loads((place / "two" / "run.json").read_text(encoding="utf-8"))
    assert (len(facts["devices"]), facts["processes"]) == (8, 2)
    assert facts["models"]["gpt2"]["mesh"] == {"data": 8, "model": 1}
    (made_by,) = facts["answers"]["made_by"]
    assert (len(made_by["devices"]), made_by["processes"]) == (8, 2)
    alone = json.loads((place / "one" / "run.json").read_text(encoding="utf-8"))
    assert (len(alone["devices"]), alone["processes"]) == (1, 1)
    assert alone["models"]["gpt2"]["mesh"] is None


@pytest.mark.usefixtures("ended")
def test_two_processes_that_slurm_started_go_on_from_the_first_ones_journal(place):
    out = place / "resumed"
    out.mkdir()
    shutil.copy(place / "one" / NAME, out)
    more = ("--sparsities=0.5,0.7,0.9", "--out=resumed", "--mesh=model:8")
    runs = both_by_slurm(place, *more)
    assert [run.status for run in runs] == [0, 0], runs
    facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert facts["answers"]["new"] == 8 * 2  # questions, methods at 0.7
    old, new = facts["answers"]["made_by"]
    assert (old["processes"], new["processes"]) == (1, 2)
    assert facts["models"]["gpt2"]["mesh"] == {"data": 1, "model": 8}


def test_one_that_lacks_the_model_ends_both(place):
    runs = both(place, SPARSITIES, "--out=lacks", second=("--model=nowhere",))
    (line,) = runs[1].stderr.splitlines()
    assert line.startswith("error: ")
    assert "nowhere" in line
    heard = line.replace("error: ", "error: process 1: ")
    assert_both_refused(runs, (heard, line))
    assert not (place / "lacks").exists()


def test_other_questions_are_refused_by_both(place):
    binary.write_directory(place / "fewer", each=1)
    runs = both(place, SPARSITIES, "--out=other", second=("--data=fewer",))
    line = (
        "error: process 1 has other questions than process 0; give all processes the "
        "same"
    )
    assert_both_refused(runs, (line, line))
    assert not (place / "other").exists()
