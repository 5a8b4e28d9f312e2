"""What is measured while a model learns: shown, and kept in the run's log.jsonl."""

import json
import time
from collections.abc import Iterator
from typing import Any

from jaxsparse.exam import Exam
from jaxsparse.pretraining.run import PretrainingRun
from jaxsparse.progress import Progress
from jaxsparse.whole import atomic_file

SECONDS_BETWEEN_LOSSES = 1  # shown: each has to be waited for


class Log:
    """Shows what training comes to, and keeps what was measured on the way."""

    def __init__(
        self, run: PretrainingRun, exam: Exam | None, every: int, progress: Progress
    ):
        """Measures after every so many steps, and at the end."""
        self._run = run
        self._exam = exam
        self._every = every
        self._progress = progress
        self._steps = run.recipe.schedule.steps
        self._file = run.directory / "log.jsonl"
        self._is_begun = False
        self._losses: list[Any] = []
        self._since = self._shown = 0.0

    def __call__(self, step: int, params: Any, loss: Any) -> None:
        if loss is None:  # what there was to measure was, before the checkpoint
            self._begin(step)
            return
        if not self._is_begun:
            self._begin(0)
        self._losses.append(loss)
        if time.perf_counter() - self._shown > SECONDS_BETWEEN_LOSSES:
            told = f"loss {float(loss):.4g}"
            if len(self._losses) > 1:
                told += f", {self._rate():.0f} tokens/s"
            self._progress.measured(told)
            self._shown = time.perf_counter()
        if step % self._every == 0 or step == self._steps:
            with self._progress.busy("measuring"):
                self._measure(step, params)

    def _begin(self, done: int) -> None:
        kept = [line for line in self._lines() if line["step"] <= done]
        with atomic_file(self._file) as partial:
            text = "".join(f"{json.dumps(line)}\n" for line in kept)
            partial.write_text(text, encoding="utf-8")
        self._is_begun = True
        self._since = time.perf_counter()

    def _lines(self) -> Iterator[dict]:
        """Those written whole: a crash of the machine may leave half of the last."""
        if not self._file.is_file():
            return
        text = self._file.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            try:
                read = json.loads(line)
            except ValueError:
                read = None
            if isinstance(read, dict) and isinstance(read.get("step"), int):
                yield read
            else:
                self._progress.note(f"{self._file}: left out {line!r}")

    def _rate(self) -> float:
        """Tokens per second since something was measured last."""
        seconds = time.perf_counter() - self._since
        return len(self._losses) * self._run.recipe.batch_tokens / seconds

    def _measure(self, step: int, params: Any) -> None:
        losses = [float(loss) for loss in self._losses]
        rate = self._rate()
        line = {
            "step": step,
            "loss": sum(losses) / len(losses),
            "validation_loss": self._run.validation_loss(params, step),
            "tokens_per_second": rate,
        }
        if self._exam is not None:
            line["cbt_accuracy"] = self._exam.accuracy(params)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
        shown = ", ".join(f"{name} {value:.5g}" for name, value in line.items())
        self._progress.note(shown)
        self._losses = []
        self._since = time.perf_counter()
