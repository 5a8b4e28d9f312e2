"""How far a sweep is: one live line in a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm

from jaxsparse.evaluation import Progress

LIVE = "{desc} {percentage:3.0f}% {bar:12} {n_fmt}/{total_fmt}, {rate_noinv_fmt}, "
LIVE += "{remaining} left"
SECONDS_BETWEEN_LINES = 30


class Shown(Progress):
    """Shows model, point, questions per second and time left on stderr.

    The time is what is left of the stage: the other models may be larger or smaller.
    """

    def __init__(self, models: int, quiet: bool = False):
        self._models = models
        self._quiet = quiet  # of many processes one speaks
        self._number = 0
        self._model = self._stage = self._point = ""
        self._total = self._known = self._done = 0
        self._started = self._told = 0.0
        self._bar: tqdm | None = None

    def model(self, name: str) -> None:
        """The next of the models is loaded."""
        self.close()
        self._number += 1
        self._model = f"[{self._number}/{self._models}] {name}"
        self._begin("loading", 0, 0)
        # No plain line: what is wrong with its weights is to be the only one.
        if self._is_live():
            self._bar = self._live()

    def stage(
        self, name: str, total: int = 0, known: int = 0, unit: str = "questions"
    ) -> None:
        self.close()
        self._begin(name, total, known)
        if self._is_live():
            self._bar = self._live()
            return
        amount = f", {total} {unit}" * bool(total)
        amount += f", {known} known already" * bool(known)
        self._tell(f"{self._title()}{amount}")

    def point(self, name: str) -> None:
        self._point = name
        if self._bar is not None:
            self._bar.set_description_str(self._title())
        else:
            self._tell(f"{self._title()}: {self._state()}")

    def done(self, number: int) -> None:
        self._done += number
        if self._bar is not None:
            self._bar.update(number)
        elif self._point and self._known + self._done == self._total:
            self._point = ""
            self._tell(f"{self._title()}: {self._state()}")
        elif time.monotonic() - self._told > SECONDS_BETWEEN_LINES:
            self._tell(f"{self._title()}: {self._state()}")

    def close(self) -> None:
        """Ends the live line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _begin(self, stage: str, total: int, known: int) -> None:
        self._stage, self._point = stage, ""
        self._total, self._known, self._done = total, known, 0
        self._started = time.monotonic()

    def _is_live(self) -> bool:
        return not self._quiet and sys.stderr.isatty()

    def _live(self) -> tqdm:
        return tqdm(
            total=self._total or None,
            initial=self._known,
            desc=self._title(),
            unit=" q",
            bar_format=LIVE if self._total else "{desc} …",
            dynamic_ncols=True,
            leave=False,
        )

    def _title(self) -> str:
        return " · ".join(filter(None, (self._model, self._stage, self._point)))

    def _state(self) -> str:
        so_far = f"{self._known + self._done} of {self._total}"
        if not self._done:
            return so_far
        rate = self._done / (time.monotonic() - self._started)
        left = (self._total - self._known - self._done) / rate
        return f"{so_far}, {rate:.1f} questions/s, {tqdm.format_interval(left)} left"

    def _tell(self, line: str) -> None:
        self._told = time.monotonic()
        if not self._quiet:
            print(line, file=sys.stderr, flush=True)
