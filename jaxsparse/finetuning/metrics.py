"""What is measured at every step of a run: metrics.jsonl, a line a step.

step, sparsity, seed     which
loss                     mean of the step, before its update
accuracy                 of the step's own questions; null where there are none
tokens_per_second        real tokens, without compilation and validation
learning_rate
validation_accuracy, validation_loss    where the step was followed by an exam
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxsparse.finetuning.events import SCALARS, Events
from jaxsparse.finetuning.kept import UNREADABLE, unreadable, write_text

NAME = "metrics.jsonl"
NAMES = ("step", *SCALARS, "seconds")  # of every line, beside what is known before


class Metrics:
    """Those of one run; what a killed run wrote behind its checkpoint is forgotten."""

    def __init__(
        self,
        directory: Path | None,
        sparsity: float,
        seed: int,
        events: Path | None = None,
    ):
        """
        Args:
            events: directory of the same for TensorBoard.
        """
        self._directory = directory
        self._known = {"sparsity": sparsity, "seed": seed}
        self._events, self._flushed = Events(events), 0  # rows
        self.rows: list[dict[str, Any]] = []

    def begin(self, step: int) -> None:
        """Takes up what was measured in so many steps."""
        rows = read(self._directory)
        self.rows = [row for row in rows if row["step"] <= step]
        self._flushed = len(self.rows)

    def step(
        self,
        step: int,
        loss: float,
        accuracy: float | None,
        tokens_per_second: float,
        learning_rate: float,
        seconds: float,
    ) -> None:
        self.rows.append(
            {
                "step": step, **self._known, "loss": loss, "accuracy": accuracy,
                "tokens_per_second": tokens_per_second,
                "learning_rate": learning_rate, "seconds": seconds,
                "validation_accuracy": None, "validation_loss": None,
            }
        )  # fmt: skip

    def validated(self, accuracy: float, loss: float, seconds: float) -> None:
        """After the last step."""
        self.rows[-1] |= {"validation_accuracy": accuracy, "validation_loss": loss}
        self.took(seconds)

    def took(self, seconds: float) -> None:
        """What was done after the last step."""
        self.rows[-1]["seconds"] += seconds

    @property
    def seconds(self) -> float:
        """What all steps took, with their exams and decisions on masks."""
        return sum((row["seconds"] for row in self.rows), 0.0)

    def told(self) -> str:
        """The last step in a few words."""
        last = self.rows[-1]
        told = [f"loss {last['loss']:.4g}"]
        if last["accuracy"] is not None:
            recent = [row["accuracy"] for row in self.rows[-20:]]
            told.append(f"accuracy {sum(recent) / len(recent):.0%}")
        exams = (row["validation_accuracy"] for row in reversed(self.rows))
        examined = next((each for each in exams if each is not None), None)
        if examined is not None:
            told.append(f"validation {examined:.1%}")
        return ", ".join([*told, f"{last['tokens_per_second']:,.0f} tokens/s"])

    def flush(self) -> None:
        """Raises InputError where the file cannot be written; then it is as it was."""
        if self._directory:
            write(self._directory / NAME, self.rows)
            self._events.write(self.rows[self._flushed :])
            self._flushed = len(self.rows)

    def close(self) -> None:
        """No more is measured."""
        self._events.close()


def check(directory: Path | None, finished: bool) -> None:
    """Raises InputError where the rows of a run's directory cannot be read, or where
    those of a finished run are gone."""
    if not read(directory) and directory and finished:
        raise unreadable(directory / NAME, FileNotFoundError("it has no rows"))


def read(directory: Path | None) -> list[dict[str, Any]]:
    """The rows of a run's directory; none where there are none.

    Raises InputError where they cannot be read."""
    if directory is None or not (file := directory / NAME).is_file():
        return []
    try:
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        if not all({*NAMES} <= row.keys() for row in rows):
            raise ValueError("a line lacks what was measured")
    except UNREADABLE as error:
        raise unreadable(file, error) from None
    return rows


def write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raises InputError where the file cannot be written; then it is as it was."""
    write_text(file, "".join(f"{json.dumps(row)}\n" for row in rows))
