"""Progress: plain lines where nobody watches, one live line in a terminal."""

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios

import pytest

from experiments import progress
from experiments.progress import Shown

COLUMNS = 100


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_say_model_point_rate_and_time_left(capsys, clock):
    shown = Shown(2)
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
        "[1/2] one · cloze, 40 answers, 10 known already",
        "[1/2] one · cloze · dense: 10 of 40",
        "[1/2] one · cloze · magnitude 0.5: 20 of 40, 2.0 questions/s, 00:10 left",
        "[1/2] one · cloze · magnitude 0.5: 35 of 40, 0.6 questions/s, 00:08 left",
        "[1/2] one · cloze: 40 of 40, 0.7 questions/s, 00:00 left",
    ]


def test_what_is_all_known_is_said_in_one_line(capsys):
    shown = Shown(1)
    shown.model("one")
    shown.stage("cloze", 40, known=40, unit="answers")
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "[1/1] one · cloze, 40 answers, 40 known already"
    ]


def test_a_terminal_has_one_live_line_that_fits_and_goes(monkeypatch):
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    terminal = io.TextIOWrapper(io.FileIO(theirs, "w"), write_through=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = Shown(3)
    shown.model("one")
    shown.stage("cloze", 40, known=10, unit="answers")
    shown.point("magnitude 0.5")
    for _ in range(3):
        shown.done(10)
        shown._bar.refresh()
    shown.close()
    shown.stage("cloze · pruning")
    shown.close()
    terminal.flush()
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    terminal.close()
    assert "[1/3] one · loading …" in said
    line = r"\[1/3\] one · cloze · magnitude 0\.5 +\d+% .* \d\d/40, .*"
    last = [part for part in said.split("\r") if re.search(line, part)][-1]
    assert re.search(r"100% .* 40/40, +[\d.]+ q/s, 00:00 left", last)
    assert "\n" not in said  # all in one line
    assert max(map(len, said.split("\r"))) <= COLUMNS
    assert said.rstrip("\r").endswith(" ")  # which is wiped
