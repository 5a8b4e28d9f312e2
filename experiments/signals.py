"""A signal ends the program at once, with 128 + its number, whatever Python is doing.

A handler does not raise: an exception is lost in a `__del__` or in a callback of the
garbage collector, and one that gets through lets Python take XLA apart under its
threads' feet. It says its line, takes temporary files away and leaves. What is on disk
is whole at every instant: other files take their names only when they are written.

Python calls a handler in the main thread, between two bytecodes. It waits while that
thread is in C, as for minutes while XLA compiles. The part of Python's handler that is
C writes the signal's number to a pipe at once, and a thread that reads it leaves if the
main thread has not done so within a second. It needs the lock of the interpreter, which
XLA gives away while it works.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0  # seconds


@dataclass
class _State:
    taken: bool = False
    printed: bool = False
    clean_up: Callable[[], None] = lambda: None


_state = _State()


def take() -> None:
    """From now on signals end this process. To be called before what takes long to
    import; this module needs little."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(readable,), daemon=True).start()
    _state.taken = True
    take_again()
    # run.sh has them wait for this, where it can.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def take_again() -> None:
    """Where other code took them over; nothing in a process that never took them."""
    for number in SIGNALS if _state.taken else ():
        # Ignored by `nohup`: what hangs up is none of our business.
        if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:
            signal.signal(number, _leave)


def clean_up_by(function: Callable[[], None]) -> None:
    """What is called before the process leaves; in any thread, and perhaps twice."""
    _state.clean_up = function


def _watch(readable: int) -> None:
    while True:
        number = os.read(readable, 1)[0]
        if number in SIGNALS:
            time.sleep(PATIENCE)
            _leave(number)


def _leave(number: int, frame: FrameType | None = None) -> None:
    # No lock: a second signal may come while the first is here, in the same thread.
    with suppress(Exception):
        _say("interrupted\n" if number == signal.SIGINT else "")
    with suppress(Exception):
        _state.clean_up()
    os._exit(128 + number)


def _say(line: str) -> None:
    """Straight to stderr, whose buffer the main thread may be writing to; not at all if
    nobody reads it."""
    if _state.printed or sys.stderr is None:
        return
    _state.printed = True
    if os.isatty(2):
        line = f"\r\x1b[K{line}"  # over the live line
    if line and select.select([], [2], [], 0)[1]:
        os.write(2, line.encode())
