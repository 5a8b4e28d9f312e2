"""Which state of each run answers the validation questions best, and when to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from jaxsparse.exam import Exam
from jaxsparse.finetuning.losses import choice_losses
from jaxsparse.types import Leaves


class Best:
    """By accuracy, and between equals by loss; or the other way round."""

    def __init__(self, seeds: Sequence[int], stop_on: str, patience: int):
        """
        Args:
            seeds: of the runs, so that a checkpoint has them.
            stop_on: accuracy or loss.
            patience: exams without a gain, after which a run stops.
        """
        runs = len(seeds)
        self._stop_on, self._patience = stop_on, patience
        self.arrays = {  # as a checkpoint has them
            "step": np.zeros(runs, np.int32),
            "accuracy": np.zeros(runs),
            "loss": np.full(runs, np.inf),
            "waited": np.zeros(runs, np.int32),
            "digest": np.zeros((runs, 32), np.uint8),  # of the leaves that are best
            "seed": np.array(seeds, np.int64),
        }

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {name: np.array(value) for name, value in arrays.items()}

    def examined(self, number: int, step: int, measured: Mapping[str, float]) -> bool:
        """Takes the accuracy and loss of a run at a step; whether they are its best."""
        best = self.arrays
        before = best["accuracy"][number], -best["loss"][number]
        now = measured["accuracy"], -measured["loss"]
        if self._stop_on == "loss":
            before, now = before[::-1], now[::-1]
        best["waited"][number] += 1
        if best["step"][number] and now <= before:
            return False
        for name, value in measured.items():
            best[name][number] = value
        best["step"][number], best["waited"][number] = step, 0
        return True

    def kept(self, number: int, digest: str) -> None:
        """Takes the SHA-256 of the leaves that were kept of a run's best state."""
        self.arrays["digest"][number] = np.frombuffer(bytes.fromhex(digest), np.uint8)

    def is_kept(self, number: int, step: int, measured: Mapping[str, Any]) -> bool:
        """Whether what was measured of a run's leaves is what a checkpoint of this step
        knows, or of a later step, which comes again."""
        best = int(self.arrays["step"][number])
        there = int(measured.get("step", 0))
        if best == there:
            known = self.arrays["digest"][number].tobytes().hex()
            return not best or measured["digest"] == known
        return there > step

    def going(self) -> Bool[np.ndarray, " run"]:
        """Of each run whether it still gains; one by itself would have stopped."""
        return self.arrays["waited"] < self._patience


def measured(exam: Exam, leaves: Leaves, dtype: str) -> dict[str, float]:
    """The accuracy of a state of training, and its loss (nats, a mean); not a number
    where scores are not finite."""
    answers = exam.answers({path: leaf.astype(dtype) for path, leaf in leaves.items()})
    right = [q.options.index(q.answer) for q in answers.questions]
    losses = choice_losses(jnp.asarray(answers.scores), jnp.asarray(right))
    finite = bool(np.isfinite(answers.of_options).all())
    return {
        "accuracy": float(answers.correct.mean()),
        "loss": float(losses.mean()) if finite else float("nan"),
    }
