"""What binaries do before their work."""

import io
import os
import signal
import subprocess
import sys

import pytest

from experiments import command
from tests.experiments import binary

WITHOUT_TORCH = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name.split(".")[0] == "torch" else find_spec(name, *rest)
)
from experiments.command import quiet_libraries
quiet_libraries()
"""


def test_nothing_is_said_of_torch_where_it_is_not_installed():
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_within_a_callback_of_the_collector_ends_the_program_all_the_same(
    number,
):
    """JAX has such a callback, and what is raised in it is printed and forgotten."""
    script = f"""
import gc, os, time
from experiments import command
def some_gc_callback(*_):
    if not told:
        told.append(True)
        os.kill(os.getpid(), {int(number)})
told = []
def main():
    gc.callbacks.append(some_gc_callback)
    gc.collect()
    assert told
    time.sleep(30)
command.run(main, "")
"""
    ended = binary.start("-c", script, cwd=binary.ROOT)
    assert ended.status == 128 + number
    assert ended.stderr.splitlines() == ["interrupted"] * (number == signal.SIGINT)


def test_a_terminal_that_lacks_letters_gets_others(monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="latin-1"))
    monkeypatch.setattr(sys, "argv", ["sweep.py"])
    command.run(lambda: print("a − b …"), "")
    sys.stdout.flush()
    assert out.getvalue() == b"a ? b ?\n"
