"""Variants that are trained back: one, or several that share shapes in one call.

Batches are functions of seed and step, and a checkpoint holds the rest: what is
trained, the optimizer's moments, the masks, the step and what was best. So a run that
was killed and started again ends with the same bits as one that was not.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse.exam import Exam
from jaxsparse.finetuning import holding
from jaxsparse.finetuning.best import Best, measured
from jaxsparse.finetuning.kept import Kept, make_directory
from jaxsparse.finetuning.lessons import QuestionLessons, StoryLessons, parts_of
from jaxsparse.finetuning.losses import Losses
from jaxsparse.finetuning.metrics import Metrics
from jaxsparse.finetuning.parts import Part, placed
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.state import (
    State,
    finite,
    first_state,
    grown,
    no_sums,
    of_run,
    on_mesh,
    together,
)
from jaxsparse.finetuning.step import Transform, compiled, transform_of
from jaxsparse.finetuning.trained import Masks, merged, split
from jaxsparse.progress import Progress
from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.training.optimizer import Schedule, rates
from jaxsparse.types import InputError, Leaves
from jaxsparse.whole import locked


@dataclass(frozen=True)
class Run:
    """A variant to train with one seed."""

    name: str
    seed: int
    sparsity: float
    schedule: Schedule
    directory: Path | None  # of its metrics and best leaves; None: in memory
    leaves: Callable[[], Leaves]  # where it starts: all of the model's
    masks_again: Callable[[Leaves, float], Masks] | None = None  # schedule=gradual
    events: Path | None = None  # of its metrics for TensorBoard


@dataclass(frozen=True)
class Trainer:
    """What runs of one function and one training share, compiled once."""

    train: str
    settings: Settings
    losses: Losses
    lessons: Sequence[QuestionLessons | StoryLessons]
    exam: Exam
    dense: Leaves  # of the dense model, where something is distilled
    prunable: tuple[str, ...]
    masked: tuple[str, ...]  # leaves whose zeros stay: the prunable, and maybe more
    mesh: Any
    compiler_options: Mapping[str, Any]
    dtype: str
    relative: bool
    progress: Progress
    _compiled: dict[int, Any] = field(default_factory=dict)
    _known_shapes: dict[int, set[Any]] = field(default_factory=dict)

    @functools.cached_property
    def transform(self) -> Transform:
        return transform_of(self.settings, self.relative)

    def compiled(self, runs: int) -> tuple[Any, Any]:
        """What adds the gradient of a part, and what updates; of so many runs in one
        call."""
        if runs not in self._compiled:
            self._compiled[runs] = compiled(
                self.train, self.losses, self.transform, runs, self.compiler_options,
                self.mesh,
            )  # fmt: skip
        return self._compiled[runs]

    def known_shapes(self, runs: int) -> set[Any]:
        """Of what was computed already, of so many runs in one call."""
        return self._known_shapes.setdefault(runs, set())

    def run(self, runs: Sequence[Run], directory: Path | None) -> list[Kept]:
        """Trains runs of equally many steps, or takes up what is there of them.

        Args:
            directory: of their checkpoints; None: there are none.

        Returns:
            the best leaves of each.

        Raises:
            InputError: a loss that is not finite; what cannot be written or read.
        """
        with ExitStack() as stack:
            checkpoints = None
            if directory:
                for each in {
                    directory,
                    *(run.directory for run in runs if run.directory),
                }:
                    make_directory(each)
                    stack.enter_context(locked(each))
                checkpoints = Checkpoints(directory / "checkpoints")
                stack.enter_context(checkpoints)
            together = directory.name if directory and len(runs) > 1 else ""
            return _Training(self, runs, checkpoints, together).to_the_end()


class _Training:
    """Runs on their way."""

    def __init__(
        self,
        trainer: Trainer,
        runs: Sequence[Run],
        checkpoints: Checkpoints | None,
        together: str,
    ):
        self.trainer, self.runs, self.checkpoints = trainer, runs, checkpoints
        self.together = together
        self.steps = runs[0].schedule.steps
        self.kept = [Kept(run.directory) for run in runs]
        self.metrics = [
            Metrics(run.directory, run.sparsity, run.seed, run.events) for run in runs
        ]
        self.rates = [rates(run.schedule) for run in runs]
        numbers = trainer.settings
        self.every = numbers.evaluating_every(self.steps)
        self.checkpoint_every = numbers.checkpoint_every or self.every
        self.grow_every = numbers.growing_every(self.steps)
        growing = any(run.masks_again for run in runs)
        self.decisions = (
            holding.decisions(self.steps, self.grow_every) if growing else 0
        )
        seeds = [run.seed for run in runs]
        self.best = Best(seeds, numbers.stop_on, numbers.patience)
        self.fixed: Leaves = {}
        self.state: State = {}
        self.compiling = 0.0  # seconds of a step

    def to_the_end(self) -> list[Kept]:
        self._begin()
        step = self._resume()
        trainer, number = self.trainer, len(self.runs)
        gradient, update = trainer.compiled(number)
        name = ", ".join(dict.fromkeys(run.name for run in self.runs))
        trainer.progress.stage(
            f"training · {name}", self.steps, step, unit="steps", patient=True
        )
        sums = no_sums(self.state, number)
        parts = self._parts(step)
        known = trainer.known_shapes(number)
        while step < self.steps and self.best.going().any():
            begun, self.compiling = time.perf_counter(), 0.0
            for part in parts:
                shape = tuple(leaf.shape for leaf in jax.tree.leaves(part))
                with self._compiling(known, shape):
                    sums = gradient(
                        sums, self.state["trained"], self.fixed, self.state["masks"],
                        trainer.dense, part,
                    )  # fmt: skip
            told = sums["loss"], sums["right"]
            rate = np.array([pace(step) for pace in self.rates], np.float32)
            told = [jnp.array(each) for each in told]  # the sums' memory is reused
            with self._compiling(known, "update"):
                self.state, sums = update(
                    self.state, sums, rate if number > 1 else rate[0]
                )
            # While the device is at it, the host makes what comes next.
            parts = self._parts(step + 1) if step + 1 < self.steps else []
            losses, right = map(np.atleast_1d, map(np.asarray, told))
            self._record(step, losses, right, rate, begun + self.compiling)
            step += 1
            trainer.progress.done(1)
            self._after(step)
        for kept, metrics in zip(self.kept, self.metrics, strict=True):
            kept.finish(metrics.seconds, self.together)
            metrics.close()
        return self.kept

    @contextmanager
    def _compiling(self, known: set[Any], what: Any) -> Iterator[None]:
        """Around a call that compiles unless `what` is known."""
        if what in known:
            yield
            return
        called = time.perf_counter()
        with self.trainer.progress.busy("compiling"):
            yield
        known.add(what)
        self.compiling += time.perf_counter() - called

    def _begin(self) -> None:
        trainer = self.trainer
        begun, fixed = [], []
        for run in self.runs:
            leaves = run.leaves()
            parts = split(
                leaves, trainer.prunable, trainer.train, trainer.settings.rank, run.seed
            )
            begun.append(first_state(parts, leaves, trainer.masked, trainer.transform))
            fixed.append(dict(parts.fixed))
        self.state = on_mesh(trainer.mesh, together(begun))
        self.fixed = together(fixed)

    def _resume(self) -> int:
        """The number of steps that are done."""
        step = self.checkpoints.latest_step if self.checkpoints else None
        for metrics in self.metrics:
            metrics.begin(step or 0)
        if not step:
            return 0
        assert self.checkpoints
        whole = self.checkpoints.load(step, self._saved())
        self.best.load(whole.pop("best"))
        self.state = whole
        self._check_directories(step)
        if step < self.steps and self.best.going().any():
            self.trainer.progress.note(
                f"{self.runs[0].name}: resuming at step {step} of {self.steps}"
            )
        return step

    def _check_directories(self, step: int) -> None:
        """Raises InputError where a run's best leaves or metrics are not those that
        were there when the checkpoint of this step was written."""
        going = self.best.going()
        for number, run in enumerate(self.runs):
            lacking = None
            if not self.best.is_kept(number, step, self.kept[number].measured):
                lacking = "the best weights are not those of"
            elif going[number] and len(self.metrics[number].rows) != step:
                lacking = "the metrics are not those of"
            if lacking:
                raise InputError(
                    f"{run.directory}: {lacking} the checkpoint of step {step}; remove "
                    "the directory to train again"
                )

    def _saved(self) -> State:
        return {**self.state, "best": self.best.arrays}

    def _parts(self, step: int) -> list[Part]:
        seeds = [run.seed for run in self.runs]
        found = parts_of(self.trainer.lessons, seeds, step)
        return [placed(self.trainer.mesh, part) for part in found]

    def _record(
        self,
        step: int,
        losses: np.ndarray,
        right: np.ndarray,
        rate: np.ndarray,
        begun: float,
    ) -> None:
        seconds = time.perf_counter() - begun
        going = self.best.going()
        self._check_finite(step + 1, np.where(going, losses, 0.0))
        lessons, numbers = self.trainer.lessons, self.trainer.settings
        asked = numbers.batch_questions
        choosing = any(isinstance(lesson, QuestionLessons) for lesson in lessons)
        for number, run in enumerate(self.runs):
            if not going[number]:
                continue  # alone it would have stopped
            tokens = sum(lesson.tokens(run.seed, step) for lesson in lessons)
            accuracy = float(right[number]) / asked if choosing else None
            self.metrics[number].step(
                step + 1,
                float(losses[number]),
                accuracy,
                tokens / seconds,
                float(rate[number]),
                seconds / len(self.runs),
            )
        self.trainer.progress.measured(self.metrics[0].told())

    def _check_finite(
        self, step: int, losses: np.ndarray, what: str = "the loss"
    ) -> None:
        """Raises InputError where the loss of a run, or what else, is not finite."""
        wrong = np.flatnonzero(~np.isfinite(losses))
        if not len(wrong):
            return
        number = int(wrong[0])
        for metrics in self.metrics:
            metrics.flush()
        latest = self.checkpoints.latest_step if self.checkpoints else None
        kept = (
            f"the checkpoint of step {latest} is kept" if latest else "nothing is kept"
        )
        raise InputError(
            f"{self.runs[number].name}: {what} is {losses[number]} at step {step}; "
            f"{kept}; lower `learning_rate`"
        )

    def _after(self, step: int) -> None:
        """What is due when so many steps are done."""
        if self.decisions and step % self.grow_every == 0:
            decision = step // self.grow_every
            if decision <= self.decisions:
                self._grow(decision)
        ends = step == self.steps
        final_masks = step >= self.decisions * self.grow_every
        due = ends or step % self.every == 0
        if due and final_masks:
            self._examine(step)
        if due or step % self.checkpoint_every == 0 or not self.best.going().any():
            for metrics in self.metrics:
                metrics.flush()
            if self.checkpoints:
                self._check_weights(step)
                self.checkpoints.save(step, self._saved())

    def _check_weights(self, step: int) -> None:
        """A step may break weights although its loss was finite: these are not kept."""
        broken = self.best.going() & ~finite(self.state, len(self.runs))
        self._check_finite(step, np.where(broken, np.nan, 0.0), "a weight")

    def _grow(self, decision: int) -> None:
        """Decides masks again, of weights as they have become."""
        begun = time.perf_counter()
        trained, masks = [], []
        for number, run in enumerate(self.runs):
            assert run.masks_again
            sparsity = holding.cubic(run.sparsity, decision, self.decisions)
            decided = run.masks_again(self._leaves(number), sparsity)
            own = self._of(number, "trained"), self._of(number, "masks")
            leaves, mask = grown(*own, decided)
            trained.append(leaves)
            masks.append(mask)
        self.state |= {"masks": together(masks), "trained": together(trained)}
        seconds = (time.perf_counter() - begun) / len(self.runs)
        for number in np.flatnonzero(self.best.going()).tolist():
            self.metrics[number].took(seconds)

    def _examine(self, step: int) -> None:
        """Asks the validation questions, and keeps what answers them best so far."""
        trainer = self.trainer
        for number in np.flatnonzero(self.best.going()).tolist():
            begun = time.perf_counter()
            leaves = self._leaves(number)
            with trainer.progress.busy("validating"):
                found = measured(trainer.exam, leaves, trainer.dtype)
            if not np.isfinite(found["loss"]):
                losses = np.zeros(len(self.runs))
                losses[number] = found["loss"]
                self._check_finite(step, losses)
            seconds = time.perf_counter() - begun
            self.metrics[number].validated(**found, seconds=seconds)
            if self.best.examined(number, step, found):
                self.kept[number].write(leaves, {**found, "step": step})
                self.best.kept(number, self.kept[number].measured["digest"])

    def _leaves(self, number: int) -> Leaves:
        """The model's leaves as one of the runs has them."""
        trained, masks = self._of(number, "trained"), self._of(number, "masks")
        fixed = of_run(self.fixed, number, len(self.runs))
        return merged(self.trainer.train, trained, fixed, masks)

    def _of(self, number: int, name: str) -> Leaves:
        """What the state has of one of the runs."""
        return of_run(self.state[name], number, len(self.runs))
