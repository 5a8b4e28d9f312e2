"""A device that is pretended: it takes its time, and needs nothing of the host. Beside
it batches are made and answers committed, as in a sweep."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxsparse.evaluation import Scorer, ScoringPlan, score_batches
from jaxsparse.journal import NAME, Answer, Journal, key_of
from jaxsparse.scoring import Batch

SPEEDS = (0.5, 1, 2)  # seconds of the device over those of the host


def beside_devices(plan: ScoringPlan, place: Path) -> list[dict[str, float]]:
    """Seconds of a run with a device of each speed, beside those of the device alone,
    and of the host alone, which are those of a run with a device that takes no time. At
    best a run takes the larger of the two."""
    host = _run(plan, place, 0)
    return [
        {
            "wall": _run(plan, place, speed * host),
            "host": host,
            "device": speed * host,
        }
        for speed in SPEEDS
    ]


def _run(plan: ScoringPlan, place: Path, seconds: float) -> float:
    """Wall seconds beside a device that takes so many for all batches."""
    room = sum(batch.shape.questions for batch in plan.batches)
    device = _Device(seconds=seconds / room)
    batches = score_batches(device, plan, lambda _, inputs: inputs, {}, {})
    with _new_journal(place) as journal:
        start = time.perf_counter()
        for members, scores, _ in batches:
            _commit(journal, plan, members, scores[0])
        return time.perf_counter() - start


def commit_all(plan: ScoringPlan, place: Path) -> None:
    """Commits answers to all questions, batch by batch."""
    with _new_journal(place) as journal:
        for batch in plan.batches:
            shape = len(batch.questions), batch.shape.options
            _commit(journal, plan, batch.questions, np.zeros(shape, np.float32))


@contextmanager
def _new_journal(place: Path) -> Iterator[Journal]:
    (place / NAME).unlink(missing_ok=True)
    with closing(Journal(place / NAME)) as journal:
        yield journal


def _commit(
    journal: Journal, plan: ScoringPlan, members: Sequence[int], scores: np.ndarray
) -> None:
    """The answers of a batch, in one transaction."""
    key, answers = key_of({"benchmark": "host"}), []
    for number, said in zip(members, scores, strict=True):
        tokens = plan.encoded[number].option_tokens
        answer = Answer(said[: len(tokens)], np.array(tokens, np.int32), 0.0)
        answers.append((key, plan.digests[number], answer))
    journal.record(answers)


@dataclass
class _Device(Scorer):
    """Does one batch after another."""

    seconds: float = 0.0  # for each question that a batch has room for
    done: float = 0.0  # when all that it was given will be

    def _compile(self, *_: Any) -> Any:
        return self._begin

    def _begin(self, shared: Any, changed: Any, batch: Batch) -> "_Awaited":
        questions, options, _ = batch.terms.valid.shape
        begins = max(self.done, time.perf_counter())
        self.done = begins + self.seconds * questions
        return _Awaited(self.done, (1, questions, options))


@dataclass(frozen=True)
class _Awaited:
    """Scores that are there from some time on."""

    done: float
    shape: tuple[int, ...]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        time.sleep(max(0, self.done - time.perf_counter()))
        return np.zeros(self.shape, np.float32)
