"""How far a job is: one live line in a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from jaxsparse.progress import Progress

LIVE = "{desc} {percentage:3.0f}% {bar:12} {n_fmt}/{total_fmt}, {rate_noinv_fmt}, "
LIVE += "{remaining} left"
BYTES = "bytes"  # a unit that is shown in MB and GB
SECONDS_BETWEEN_LINES = 30
# A patient stage that is over sooner is not shown. What is wrong with the input is then
# told in the only line.
SECONDS_UNTIL_LIVE = 0.5
SECONDS_UNTIL_LINE = 3
# How often somebody looks whether there is something to show: what takes long may never
# call. None: nobody does, as in tests, where no line may hang on the time.
SECONDS_BETWEEN_LOOKS: float | None = 0.5


class Shown(Progress):
    """Shows on stderr what is done, the rate and the time left.

    The time is what is left of the stage: the other models may be larger or smaller.
    """

    def __init__(self, quiet: bool = False):
        self._models = 0
        self._quiet = quiet  # of many processes one speaks
        self._number = 0
        self._model = self._stage = self._point = self._extra = self._unit = ""
        self._total = self._known = self._done = 0
        self._started = self._told = self._waited = 0.0
        self._busy = ""  # what is done by `busy`
        self._is_on = self._is_said = False
        self._bar: tqdm | None = None
        self._lock = threading.RLock()  # another thread looks at all this
        self._closed: threading.Event | None = None

    def models(self, number: int) -> None:
        """So many models are to come."""
        self._models = number

    def model(self, name: str) -> None:
        """What comes next is about the next of the models."""
        self._end()
        self._number += 1
        number = f"[{self._number}/{self._models}] " if self._models else ""
        self._model = f"{number}{name}"

    def rest(self) -> None:
        """What comes next is about all models."""
        self._end()
        self._model = ""

    def stage(
        self,
        name: str,
        total: int = 0,
        known: int = 0,
        unit: str = "questions",
        patient: bool = False,
    ) -> None:
        self._end()
        with self._lock:
            self._stage, self._point, self._extra, self._unit = name, "", "", unit
            self._total, self._known, self._done = total, known, 0
            self._started, self._waited = time.monotonic(), 0.0
            self._is_on, self._is_said = True, False
            if not patient:
                self._begin()
        self._keep_looking()

    def point(self, name: str) -> None:
        with self._lock:
            self._point = name
            self._retitle()
            if self._is_said and self._bar is None:
                self._tell(f": {self._state()}")

    def done(self, number: int) -> None:
        with self._lock:
            self._done += number
            if self._bar is not None:
                self._bar.update(number)
            elif self._point and self._known + self._done == self._total:
                self._point = ""
                if self._is_said:
                    self._tell(f": {self._state()}")
            else:
                self._look()

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Within another the seconds are the outer one's."""
        began, outer = time.monotonic(), self._busy
        self._busy = what
        self.measured(what)
        try:
            yield
        finally:
            if not outer:
                self._waited += time.monotonic() - began
            self._busy = outer
            self.measured(outer)

    def measured(self, what: str) -> None:
        with self._lock:
            self._extra = what
            self._retitle()

    def note(self, line: str) -> None:
        with self._lock:
            self._told = time.monotonic()
            if not self._quiet:
                tqdm.write(line, file=sys.stderr)  # above a live line

    def close(self) -> None:
        """Ends the live line, and looks no more."""
        self._end()
        if self._closed is not None:
            self._closed.set()
            self._closed = None

    def _end(self) -> None:
        with self._lock:
            self._is_on = False
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def _begin(self) -> None:
        """The first that is seen of a stage."""
        self._is_said = True
        if self._is_live():
            self._bar = self._live()
            return
        amount = ""
        if self._total:
            unit = "" if self._unit == BYTES else f" {self._unit}"
            amount = f", {self._count(self._total)}{unit}"
        if self._known:
            amount += f", {self._known} done already"
        self._tell(amount)

    def _look(self) -> None:
        """Shows what is due by now."""
        now, live = time.monotonic(), self._is_live()
        if not self._is_on:
            return
        if self._bar is not None:
            self._bar.refresh()
        elif not self._is_said:
            patience = SECONDS_UNTIL_LIVE if live else SECONDS_UNTIL_LINE
            if now - self._started > patience:
                self._begin()
        elif now - self._told > SECONDS_BETWEEN_LINES:
            self._tell(f": {self._state()}")

    def _keep_looking(self) -> None:
        """Looks every so often, until this is closed."""
        if self._closed is not None or SECONDS_BETWEEN_LOOKS is None:
            return
        self._closed = closed = threading.Event()

        def watch() -> None:
            while not closed.wait(SECONDS_BETWEEN_LOOKS):
                with self._lock:
                    self._look()

        threading.Thread(target=watch, daemon=True).start()

    def _is_live(self) -> bool:
        return not self._quiet and sys.stderr.isatty()

    def _live(self) -> tqdm:
        of_bytes = self._unit == BYTES
        bar = tqdm(
            total=self._total or None,
            initial=self._known,
            desc=self._title(),
            unit="B" if of_bytes else f" {self._unit}",
            unit_scale=of_bytes,
            bar_format=LIVE if self._total else "{desc} … {elapsed}",
            dynamic_ncols=True,
            leave=False,
        )
        # It may come late: its time is that of the stage.
        bar.start_t -= time.monotonic() - self._started
        bar.n += self._done
        bar.refresh()
        return bar

    def _retitle(self) -> None:
        if self._bar is not None:
            self._bar.set_description_str(self._title())

    def _title(self) -> str:
        parts = (self._model, self._stage, self._point, self._extra)
        return " · ".join(filter(None, parts))

    def _state(self) -> str:
        seconds = time.monotonic() - self._started
        if not self._total:
            return f"{tqdm.format_interval(seconds)} so far"
        done = self._known + self._done
        so_far = f"{self._count(done)} of {self._count(self._total)}"
        if not self._done:
            return so_far
        rate = self._done / max(seconds - self._waited, 1e-9)
        left = tqdm.format_interval((self._total - done) / rate)
        if self._unit == BYTES:
            return f"{so_far}, {self._count(rate)}/s, {left} left"
        if rate < 0.1:
            return f"{so_far}, {1 / rate:.0f} s each, {left} left"
        return f"{so_far}, {rate:.1f} {self._unit}/s, {left} left"

    def _count(self, number: float) -> str:
        return f"{tqdm.format_sizeof(number)}B" if self._unit == BYTES else f"{number}"

    def _tell(self, what: str) -> None:
        self._told = time.monotonic()
        if not self._quiet:
            print(f"{self._title()}{what}", file=sys.stderr, flush=True)
