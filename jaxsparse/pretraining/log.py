"""What is measured while a model learns: shown, and kept in the run's log.jsonl."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from jaxsparse.pretraining.exam import Exam
from jaxsparse.pretraining.run import Run
from jaxsparse.whole import whole_file


class Log:
    """Shows how far training is, and keeps what was measured on the way."""

    def __init__(self, run: Run, exam: Exam | None, name: str, every: int):
        """Measures after every so many steps, and at the end."""
        self._run = run
        self._exam = exam
        self._name = name
        self._every = every
        self._steps = run.recipe.schedule.steps
        self._file = run.directory / "log.jsonl"
        self._bar: tqdm | None = None
        self._losses: list[Any] = []
        self._since = 0.0

    def __call__(self, step: int, params: Any, loss: Any) -> None:
        if loss is None:  # what there was to measure was, before the checkpoint
            self._bar = self._begin(step)
            return
        if self._bar is None:
            self._bar = self._begin(0)
        self._bar.update(step - self._bar.n)
        self._losses.append(loss)
        if step % self._every == 0 or step == self._steps:
            self._measure(step, params)

    def _begin(self, done: int) -> tqdm:
        kept = [line for line in self._lines() if line["step"] <= done]
        with whole_file(self._file) as partial:
            text = "".join(f"{json.dumps(line)}\n" for line in kept)
            partial.write_text(text, encoding="utf-8")
        self._since = time.perf_counter()
        return tqdm(total=self._steps, initial=done, desc=self._name, disable=None)

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
                tqdm.write(f"{self._file}: left out {line!r}", file=sys.stderr)

    def _measure(self, step: int, params: Any) -> None:
        losses = [float(loss) for loss in self._losses]
        seconds = time.perf_counter() - self._since
        line = {
            "step": step,
            "loss": sum(losses) / len(losses),
            "validation_loss": self._run.validation_loss(params, step),
            "tokens_per_second": len(losses) * self._run.recipe.batch_tokens / seconds,
        }
        if self._exam is not None:
            line["cbt_accuracy"] = self._exam.accuracy(params)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
        shown = ", ".join(f"{name} {value:.5g}" for name, value in line.items())
        tqdm.write(shown, file=sys.stderr)
        self._losses = []
        self._since = time.perf_counter()
