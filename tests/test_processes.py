"""A function over many things: the same in one process and in several, whatever fails
in them, and none is left."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsparse import processes
from jaxsparse.processes import map_on_all_cores
from jaxsparse.types import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=[1, 2, 5])
def cores(request, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: request.param)
    return request.param


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 2)


def nobody(number):
    """Is told what is done."""


def square_and_where(number):
    return number * number, os.getpid(), "jax" in sys.modules


def squaring():
    return square_and_where


def test_results_come_in_order_each_told_once(cores):
    numbers, told = [3, 1, 4, 1, 5, 9, 2, 6], []
    found = map_on_all_cores(squaring, numbers, abs, told.append)
    assert [square for square, *_ in found] == [n * n for n in numbers]
    assert told == [1] * len(numbers)
    at = {process for _, process, _ in found}
    assert at == {os.getpid()} if cores == 1 else os.getpid() not in at
    assert len(at) <= cores
    assert cores == 1 or not any(jax for *_, jax in found)  # it takes a second


@pytest.mark.parametrize("numbers", [[], [7]])
def test_what_cannot_be_shared_stays_here(numbers, two_cores):
    found = map_on_all_cores(squaring, numbers, abs, nobody)
    assert found == [(n * n, os.getpid(), True) for n in numbers]


def test_one_call_is_in_another_process(two_cores):
    square, process, _ = processes.call(square_and_where, 7)
    assert square == 49
    assert process != os.getpid()


def test_the_largest_begin_first(two_cores, monkeypatch):
    asked, ask = [], processes._ask

    def note(pipe, process, what):
        asked.append(what)
        ask(pipe, process, what)

    monkeypatch.setattr(processes, "_ask", note)
    map_on_all_cores(echoing, [2, 90, 1, 80, 3], abs, nobody)
    assert asked == [echoing, echoing, 90, 80, 3, 2, 1]


def test_a_large_task_and_its_result_pass(two_cores):
    texts = ["a" * 5_000_000, "b" * 4_000_000, "c"]
    assert map_on_all_cores(echoing, texts, len, nobody) == texts


def echoing():
    return lambda task: task


def failing(error):
    def fail(number):
        if number == 3:
            raise error
        return number

    return fail


@pytest.mark.parametrize("error", [InputError("no hen in `book=3`"), OSError("full")])
def test_what_fails_in_a_worker_fails_here(error, two_cores):
    with pytest.raises(type(error)) as raised:
        map_on_all_cores(functools.partial(failing, error), range(9), abs, nobody)
    assert str(raised.value) == str(error)
    assert "in fail" in "".join(raised.value.__notes__)  # where it was


def without_tools():
    raise InputError("no tools")


def test_what_fails_before_the_first_task_fails_here(two_cores):
    with pytest.raises(InputError, match="no tools"):
        map_on_all_cores(without_tools, range(9), abs, nobody)


def dying(how):
    def die(number):
        if number == 3:
            how()
        return number

    return die


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def leaving():
    os._exit(3)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (killed, "was killed by SIGKILL, as the system does when memory runs out; run"),
        (leaving, "ended with status 3; run it again"),
    ],
)
def test_a_worker_that_dies_is_told(how, said, two_cores):
    with pytest.raises(ChildProcessError, match=said):
        map_on_all_cores(functools.partial(dying, how), range(9), abs, nobody)


def waiting():
    def wait(number):
        os.write(1, b"ready\n")
        while True:  # as busy as a tagger
            number += 1

    return wait


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_go_with_the_process_that_asks(number):
    """They hold its stdout, which does not end before."""
    script = """
from experiments import signals
signals.take()
from jaxsparse import processes
from tests.test_processes import nobody, waiting
processes.cores = lambda: 2
processes.map_on_all_cores(waiting, range(9), abs, nobody)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: workers get it, too
        else:
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    status = -number if number == signal.SIGKILL else 128 + number
    said = "interrupted\n" * (number == signal.SIGINT)
    assert (process.returncode, stdout, stderr) == (status, "", said)
