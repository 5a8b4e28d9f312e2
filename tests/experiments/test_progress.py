"""Progress: plain lines where nobody watches, one live line in a terminal."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import sys
import termios
import threading

import pytest

from experiments import progress
from experiments.progress import Shown

COLUMNS = 100


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets, and nobody who looks at it meanwhile."""
    now = [100.0]
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", None)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_say_model_point_rate_and_time_left(capsys, clock):
    shown = Shown()
    shown.models(2)
    shown.model("one")
    shown.stage("cloze · reading", 4)
    shown.done(4)
    shown.stage("cloze", 40, known=10, unit="answers")
    shown.point("dense")
    clock[0] += 5
    shown.done(10)
    shown.point("magnitude 0.5")
    clock[0] += 5
    shown.done(10)
    clock[0] += 31  # long without a word
    shown.done(5)
    clock[0] += 4
    shown.done(5)
    shown.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[1/2] one · cloze · reading, 4 questions",
        "[1/2] one · cloze, 40 answers, 10 done already",
        "[1/2] one · cloze · dense: 10 of 40",
        "[1/2] one · cloze · magnitude 0.5: 20 of 40, 2.0 answers/s, 00:10 left",
        "[1/2] one · cloze · magnitude 0.5: 35 of 40, 0.6 answers/s, 00:08 left",
        "[1/2] one · cloze: 40 of 40, 0.7 answers/s, 00:00 left",
    ]


def test_what_takes_long_has_its_seconds(capsys, clock):
    shown = Shown()
    shown.stage("pruning", 36, unit="blocks")
    for _ in range(2):
        clock[0] += 40
        shown.done(1)
    shown.close()
    last = "pruning: 2 of 36, 40 s each, 22:40 left"
    assert capsys.readouterr().err.splitlines()[-1] == last


def test_what_is_all_known_is_said_in_one_line(capsys, clock):
    shown = Shown()
    shown.models(1)
    shown.model("one")
    shown.stage("cloze", 40, known=40, unit="answers")
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "[1/1] one · cloze, 40 answers, 40 done already"
    ]


def test_a_patient_stage_is_told_once_it_takes_long(capsys, clock):
    shown = Shown()
    shown.stage("reading", 4, patient=True)
    clock[0] += 1
    shown.done(4)
    shown.stage("loading", 4_000_000_000, unit="bytes", patient=True)
    clock[0] += 4
    shown.done(1_000_000_000)
    clock[0] += 31
    shown.done(2_500_000_000)
    shown.stage("statistics", patient=True)
    clock[0] += 4
    shown._look()
    clock[0] += 31
    shown._look()
    shown.close()
    clock[0] += 99
    shown._look()  # which is over
    assert capsys.readouterr().err.splitlines() == [
        "loading, 4.00GB",
        "loading: 3.50GB of 4.00GB, 100MB/s, 00:05 left",
        "statistics",
        "statistics: 00:35 so far",
    ]


def test_what_is_waited_for_is_said_and_does_not_count_as_slow(capsys, clock):
    shown = Shown()
    shown.stage("cloze", 40, unit="answers")
    with shown.busy("compiling"):
        clock[0] += 60
        shown._look()
    shown.measured("loss 3.1")
    clock[0] += 10
    shown.done(10)
    clock[0] += 31
    shown.note("halfway")
    shown._look()  # something was said just now
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "cloze, 40 answers",
        "cloze · compiling: 0 of 40",
        "halfway",
    ]
    shown.stage("training", 40, known=10, unit="steps")
    shown.measured("loss 3.1")
    clock[0] += 31
    shown.done(10)
    assert capsys.readouterr().err.splitlines() == [
        "training, 40 steps, 10 done already",
        "training · loss 3.1: 20 of 40, 0.3 steps/s, 01:02 left",
    ]
    shown.stage("training", 40, unit="steps")
    with shown.busy("validating"):
        with shown.busy("compiling"):
            clock[0] += 50
        clock[0] += 10
        shown._look()
    assert capsys.readouterr().err.splitlines()[-1] == "training · validating: 0 of 40"
    clock[0] += 31
    shown.done(10)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "training: 10 of 40, 0.3 steps/s, 01:33 left"


def test_somebody_looks_while_nothing_is_done(capsys, monkeypatch):
    """It says the next line by itself, however long that takes it here."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.001)
    monkeypatch.setattr(progress, "SECONDS_UNTIL_LINE", 0)
    begun = threading.Event()
    begin = Shown._begin
    monkeypatch.setattr(Shown, "_begin", lambda self: (begin(self), begun.set()))
    shown = Shown()
    shown.stage("statistics", patient=True)
    assert begun.wait(60)
    shown.close()
    assert capsys.readouterr().err.splitlines() == ["statistics"]


def test_of_many_processes_one_speaks(capsys, clock):
    shown = Shown(quiet=True)
    shown.stage("cloze", 40)
    shown.point("dense")
    clock[0] += 99
    shown.done(10)
    shown.note("halfway")
    shown.close()
    assert capsys.readouterr().err == ""


def written_to(terminal):
    """What a terminal was sent: the kernel hands it over a little later, in parts."""
    said = b""
    while select.select([terminal], [], [], 1)[0]:
        said += os.read(terminal, 1 << 16)
    return said.decode()


def test_a_terminal_has_one_live_line_that_fits_and_goes(monkeypatch, clock):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    terminal = io.TextIOWrapper(io.FileIO(theirs, "w"), write_through=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = Shown()
    shown.models(3)
    shown.model("one")
    shown.stage("loading", 5_000_000, unit="bytes", patient=True)
    shown.done(0)
    clock[0] += 1
    shown.done(2_500_000)
    shown.stage("cloze", 40, known=10, unit="answers")
    shown.point("magnitude 0.5")
    for _ in range(3):
        shown.done(10)
        shown._bar.refresh()
    shown.close()
    shown.stage("cloze · pruning")
    shown.close()
    terminal.flush()
    said = written_to(ours)
    os.close(ours)
    terminal.close()
    line = r"\[1/3\] one · loading +50% .* 2\.50M/5\.00M, +[\d.]+[kM]?B/s, [\d:]+ left"
    assert re.search(line, said)
    line = r"\[1/3\] one · cloze · magnitude 0\.5 +\d+% .* \d\d/40, .*"
    last = [part for part in said.split("\r") if re.search(line, part)][-1]
    assert re.search(r"100% .* 40/40, +[\d.]+ answers/s, 00:00 left", last)
    assert "\n" not in said  # all in one line
    assert max(map(len, said.split("\r"))) <= COLUMNS
    assert said.rstrip("\r").endswith(" ")  # which is wiped
