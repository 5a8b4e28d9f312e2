"""A signal ends a process with 128 + its number, whatever Python is in the middle of.

Each process says when it is where it is to be interrupted, and stays there far longer
than a test waits.
"""

import os
import signal
import subprocess
import sys

import pytest

from tests.experiments import binary

# Whatever is raised in these, Python prints and forgets.
WITHIN = {
    "__del__": """
class Held:
    def __del__(self):
        say("ready")
        for _ in range(6000):
            time.sleep(0.01)
held = Held()
del held
""",
    "a callback of the collector": """
def callback(*_):
    if not called:
        called.append(True)
        say("ready")
        for _ in range(6000):
            time.sleep(0.01)
called = []
gc.callbacks.append(callback)
gc.collect()
""",
    # No bytecode is run in the main thread; the interpreter's lock is free.
    "C": """
counting = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
say("ready")
sqlite3.connect(":memory:").execute(f"{counting} SELECT count(*) FROM c").fetchone()
""",
    "an exception that was caught": """
try:
    say("ready")
    time.sleep(60)
except BaseException:
    pass
""",
}
BEGIN = """
import gc, os, sqlite3, time
from experiments import signals
signals.take()
def say(word):
    os.write(1, f"{word}\\n".encode())
"""


def interrupted(script, number, *argv, cwd=binary.ROOT):
    """How a process ended that got a signal when it had said its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script, *map(str, argv)],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": str(binary.ROOT),
            "JAX_COMPILATION_CACHE_DIR": "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdout.readline()
        process.send_signal(number)
        stdout, stderr = process.communicate()
    return binary.Ended(process.returncode, stdout, stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("within", WITHIN)
def test_a_signal_ends_it_at_once_and_says_at_most_a_word(within, number):
    ended = interrupted(WITHIN[within], number)
    said = "interrupted\n" * (number == signal.SIGINT)
    assert ended == binary.Ended(128 + number, "", said)


def test_a_signal_ends_what_xla_computes():
    script = """
import jax
import jax.numpy as jnp
def endless(x):
    return jax.lax.while_loop(lambda x: x[0, 0] < 2, lambda x: jnp.sin(x @ x), x)
run = jax.jit(endless).lower(jnp.ones((9, 9))).compile()
say("ready")
run(jnp.ones((9, 9))).block_until_ready()
"""
    ended = interrupted(script, signal.SIGINT)
    assert ended == binary.Ended(130, "", "interrupted\n")


def test_what_is_there_only_for_a_while_is_taken_away(tmp_path):
    script = """
from jaxsparse import whole
signals.clean_up_by(whole.abandon)
from pathlib import Path
out = Path("deep/out")
with (
    whole.made(out),
    whole.locked(out),
    whole.atomic_file(out / "file") as file,
    whole.atomic_directory(Path("new/directory")) as directory,
):
    file.touch()
    (directory / "half").touch()
    say("ready")
    time.sleep(60)
"""
    ended = interrupted(script, signal.SIGTERM, cwd=tmp_path)
    assert ended == binary.Ended(143, "", "")
    assert not list(tmp_path.iterdir())


SWEEP = """
import sys
from experiments import command, curves, sweep
where, *sys.argv = sys.argv[1:]
def stay(*_):
    say("ready")
    time.sleep(60)
if where == "scored":  # all batches
    curves.conclude = stay
else:  # the journal is open, and empty
    sweep.inputs.read_inputs = stay
command.run("sweep")
"""


@pytest.mark.parametrize(
    ("where", "kept"),
    [("scored", {"journal.sqlite", "reading.sqlite"}), ("opened", None)],
)
def test_an_interrupt_keeps_the_journal_alone_if_it_holds_anything(
    saved, tmp_path, where, kept
):
    binary.write_items(tmp_path / "cbtest_CN_test.txt", [binary.item(2)])
    argv = (
        "sweep", f"--model={saved('gpt2')}", "--data=cbtest_CN_test.txt",
        "--context=query", "--sparsities=0", "--out=out",
    )  # fmt: skip
    ended = interrupted(SWEEP, signal.SIGINT, where, *argv, cwd=tmp_path)
    assert ended.status == 130
    assert ended.stderr.splitlines()[-1] == "interrupted"
    out = tmp_path / "out"
    assert (set(os.listdir(out)) if out.exists() else None) == kept


def test_nohup_is_respected():
    script = """
signal = signals.signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signals.take()
assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
say("ready")
time.sleep(60)
"""
    assert interrupted(script, signal.SIGTERM).status == 143


def test_a_process_that_never_took_signals_keeps_its_handlers():
    from experiments import signals

    before = signal.getsignal(signal.SIGINT)
    signals.take_again()
    assert signal.getsignal(signal.SIGINT) == before
