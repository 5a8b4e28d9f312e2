"""Variants that are trained back: one, or several that share shapes in one call.

    step   parts ─▶ gradients, added ─▶ AdamW ─▶ the update on the mask ─▶ leaves

Batches are functions of seed and step, and a checkpoint holds the rest: what is
trained, the optimizer's moments, the masks, the step and what was best. So a run that
was killed and started again ends with the same bits as one that was not.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsparse import parallel
from jaxsparse.evaluation import placed
from jaxsparse.exam import Exam
from jaxsparse.finetuning import holding
from jaxsparse.finetuning.kept import Kept
from jaxsparse.finetuning.lessons import Part, QuestionPart, parts_of
from jaxsparse.finetuning.losses import Losses, choice_losses
from jaxsparse.finetuning.metrics import Metrics
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.trained import Masks, merged, split
from jaxsparse.progress import Progress
from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.training.optimizer import Schedule, directions, rates
from jaxsparse.types import InputError, Leaves
from jaxsparse.whole import locked

State = dict[str, Any]


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
    lessons: Sequence[Any]
    exam: Exam
    dense: Leaves  # of the dense model, where something is distilled
    prunable: tuple[str, ...]
    held: tuple[str, ...]  # leaves whose zeros stay: the prunable, and maybe more
    mesh: Any
    compiler_options: Mapping[str, Any]
    dtype: str
    relative: bool
    progress: Progress
    _compiled: dict[int, Any] = field(default_factory=dict)

    @functools.cached_property
    def transform(self) -> optax.GradientTransformationExtraArgs:
        numbers = self.settings
        schedule = Schedule(
            steps=0, warmup=0, learning_rate=0.0, weight_decay=numbers.weight_decay,
            clip=numbers.clip, relative=self.relative,
        )  # fmt: skip
        return optax.chain(*directions(schedule), holding.at_rate(), holding.held())

    def compiled(self, runs: int) -> tuple[Any, Any]:
        """What adds the gradient of a part, and what updates; of so many runs in one
        call, on axis 0."""
        if runs not in self._compiled:
            add, update = self._add, self._update
            if runs > 1:
                add = jax.vmap(add, in_axes=(0, 0, 0, 0, None, 0))
                update = jax.vmap(update)
            options = dict(self.compiler_options)
            self._compiled[runs] = (
                jax.jit(add, donate_argnums=0, compiler_options=options),
                jax.jit(update, donate_argnums=(0, 1), compiler_options=options),
            )
        return self._compiled[runs]

    def _add(self, sums, trained, fixed, masks, dense, part) -> State:
        """The sums with a part added.

        Args:
            sums: of gradients, losses, and questions answered right.
            trained, fixed: as `split` gives them.
            dense: leaves of the dense model, where something is distilled.
        """

        def loss_of(trained: Leaves) -> Any:
            leaves = merged(self.train, trained, fixed, masks)
            return self.losses(leaves, dense, part)

        (loss, right), found = jax.value_and_grad(loss_of, has_aux=True)(trained)
        added = {"gradient": found, "loss": loss, "right": right}
        return jax.tree.map(jnp.add, sums, added)

    def _update(self, state: State, sums: State, rate: Any) -> tuple[State, State]:
        """The next state, and sums of nothing."""
        updates, optimizer = self.transform.update(
            sums["gradient"],
            state["optimizer"],
            state["trained"],
            masks=state["masks"],
            rate=rate,
        )
        trained = optax.apply_updates(state["trained"], updates)
        zero = jax.tree.map(jnp.zeros_like, sums)
        return {**state, "trained": trained, "optimizer": optimizer}, zero

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
                    each.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(directory))
                checkpoints = Checkpoints(directory / "checkpoints")
                stack.enter_context(checkpoints)
            return _Training(self, runs, checkpoints).to_the_end()


class _Training:
    """Runs on their way."""

    def __init__(
        self, trainer: Trainer, runs: Sequence[Run], checkpoints: Checkpoints | None
    ):
        self.trainer, self.runs, self.checkpoints = trainer, runs, checkpoints
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
        self.fixed: Leaves = {}
        self.state: State = {}

    def to_the_end(self) -> list[Kept]:
        self._begin()
        step = self._resume()
        trainer, number = self.trainer, len(self.runs)
        gradient, update = trainer.compiled(number)
        name = ", ".join(dict.fromkeys(run.name for run in self.runs))
        trainer.progress.stage(
            f"training · {name}", self.steps, step, unit="steps", patient=True
        )
        sums = self._no_sums()
        parts = self._parts(step)
        shapes: set[Any] = set()
        while step < self.steps and not self._stopped():
            begun, compiling = time.perf_counter(), 0.0
            for part in parts:
                shape = tuple(leaf.shape for leaf in jax.tree.leaves(part))
                new, called = shape not in shapes, time.perf_counter()
                with trainer.progress.busy("compiling") if new else nullcontext():
                    sums = gradient(
                        sums, self.state["trained"], self.fixed, self.state["masks"],
                        trainer.dense, part,
                    )  # fmt: skip
                if new:
                    compiling += time.perf_counter() - called
                    shapes.add(shape)
            measured = sums["loss"], sums["right"]
            rate = np.array([of_run(step) for of_run in self.rates], np.float32)
            measured = [jnp.array(each) for each in measured]
            self.state, sums = update(self.state, sums, rate if number > 1 else rate[0])
            # While the device is at it, the host makes what comes next.
            parts = self._parts(step + 1) if step + 1 < self.steps else []
            losses, right = map(np.atleast_1d, map(np.asarray, measured))
            self._told(step, losses, right, rate, begun + compiling)
            step += 1
            trainer.progress.done(1)
            self._after(step)
        for kept, metrics in zip(self.kept, self.metrics, strict=True):
            kept.finish(metrics.seconds)
            metrics.close()
        return self.kept

    def _begin(self) -> None:
        trainer = self.trainer
        begun, fixed = [], []
        for run in self.runs:
            leaves = run.leaves()
            masks = {p: jnp.asarray(leaves[p]) != 0 for p in trainer.held}
            parts = split(
                leaves, trainer.prunable, trainer.train, trainer.settings.rank, run.seed
            )
            # Copies, since the state's memory is used again.
            trained = {path: jnp.array(leaf) for path, leaf in parts.trained.items()}
            begun.append(
                {
                    "trained": trained,
                    "optimizer": trainer.transform.init(trained),
                    "masks": masks,
                }
            )
            fixed.append(dict(parts.fixed))
        self.state, self.fixed = _together(begun), _together(fixed)
        runs = len(self.runs)
        self.best = {
            "step": np.zeros(runs, np.int32),
            "accuracy": np.zeros(runs),
            "loss": np.full(runs, np.inf),
            "waited": np.zeros(runs, np.int32),
            "seed": np.array([run.seed for run in self.runs], np.int64),
        }

    def _resume(self) -> int:
        """The number of steps that are done."""
        step = self.checkpoints.latest_step if self.checkpoints else None
        for metrics in self.metrics:
            metrics.begin(step or 0)
        if not step:
            return 0
        assert self.checkpoints
        whole = self.checkpoints.load(step, self._whole())
        self.best = {name: np.array(value) for name, value in whole.pop("best").items()}
        self.state = whole
        if step < self.steps and not self._stopped():
            self.trainer.progress.note(
                f"{self.runs[0].name}: resuming at step {step} of {self.steps}"
            )
        return step

    def _whole(self) -> State:
        return {**self.state, "best": self.best}

    def _no_sums(self) -> State:
        zero = jax.tree.map(jnp.zeros_like, dict(self.state["trained"]))
        runs = len(self.runs)
        shape = (runs,) if runs > 1 else ()
        return {
            "gradient": zero,
            "loss": jnp.zeros(shape, jnp.float32),
            "right": jnp.zeros(shape, jnp.int32),
        }

    def _parts(self, step: int) -> list[Part]:
        seeds = [run.seed for run in self.runs]
        found = parts_of(self.trainer.lessons, seeds, step)
        return [_placed(self.trainer.mesh, part) for part in found]

    def _told(
        self,
        step: int,
        losses: np.ndarray,
        right: np.ndarray,
        rate: np.ndarray,
        begun: float,
    ) -> None:
        seconds = time.perf_counter() - begun
        going = [not self._waited_long(number) for number in range(len(self.runs))]
        self._check_finite(step + 1, np.where(going, losses, 0.0))
        lessons, numbers = self.trainer.lessons, self.trainer.settings
        asked = numbers.batch_questions
        choosing = any(hasattr(lesson, "members") for lesson in lessons)
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

    def _check_finite(self, step: int, losses: np.ndarray) -> None:
        """Raises InputError where the loss of a run is not finite."""
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
            f"{self.runs[number].name}: the loss is {losses[number]} at step {step}; "
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
        if due or step % self.checkpoint_every == 0 or self._stopped():
            for metrics in self.metrics:
                metrics.flush()
            if self.checkpoints:
                self._check_weights(step)
                self.checkpoints.save(step, self._whole())

    def _check_weights(self, step: int) -> None:
        """A step may break weights although its loss was finite: these are not kept."""
        wrong = np.zeros(len(self.runs))
        for leaf in self.state["trained"].values():
            finite = jnp.isfinite(leaf).reshape(len(self.runs), -1).all(axis=1)
            wrong += np.where(finite, 0.0, np.nan)
        going = [not self._waited_long(number) for number in range(len(self.runs))]
        self._check_finite(step, np.where(going, wrong, 0.0))

    def _grow(self, decision: int) -> None:
        """Decides masks again, of weights as they have become."""
        masks, trained = [], []
        for number, run in enumerate(self.runs):
            assert run.masks_again
            sparsity = holding.cubic(run.sparsity, decision, self.decisions)
            decided = run.masks_again(self._leaves(number), sparsity)
            own = self._of(number, self.state["masks"])
            grown = {p: jnp.asarray(mask) & own[p] for p, mask in decided.items()}
            decided = {**own, **grown}
            leaves = self._of(number, self.state["trained"])
            trained.append(
                {
                    path: jnp.where(decided[path], leaf, 0.0)
                    if path in decided
                    else leaf
                    for path, leaf in leaves.items()
                }
            )
            masks.append(decided)
        self.state |= {"masks": _together(masks), "trained": _together(trained)}

    def _examine(self, step: int) -> None:
        """Asks the validation questions, and keeps what answers them best so far."""
        exam, best = self.trainer.exam, self.best
        for number in range(len(self.runs)):
            if self._waited_long(number):
                continue
            begun = time.perf_counter()
            leaves = self._leaves(number)
            with self.trainer.progress.busy("validating"):
                answers = exam.answers(_cast(leaves, self.trainer.dtype))
            if not np.isfinite(answers.of_options).all():
                losses = np.zeros(len(self.runs))
                losses[number] = np.nan
                self._check_finite(step, losses)
            right = [q.options.index(q.answer) for q in answers.questions]
            losses = choice_losses(jnp.asarray(answers.scores), jnp.asarray(right))
            found = {
                "accuracy": float(answers.correct.mean()),
                "loss": float(losses.mean()),
            }
            seconds = time.perf_counter() - begun
            self.metrics[number].validated(**found, seconds=seconds)
            before = best["accuracy"][number], -best["loss"][number]
            now = found["accuracy"], -found["loss"]
            if self.trainer.settings.stop_on == "loss":
                before, now = before[::-1], now[::-1]
            best["waited"][number] += 1
            if not best["step"][number] or now > before:
                for name, value in found.items():
                    best[name][number] = value
                best["step"][number], best["waited"][number] = step, 0
                self.kept[number].write(leaves, {**found, "step": step})

    def _waited_long(self, number: int) -> bool:
        return bool(self.best["waited"][number] >= self.trainer.settings.patience)

    def _stopped(self) -> bool:
        return all(map(self._waited_long, range(len(self.runs))))

    def _leaves(self, number: int) -> Leaves:
        """The model's leaves as one of the runs has them."""
        state, fixed = self.state, self._of(number, self.fixed)
        trained, masks = (
            self._of(number, state[name]) for name in ("trained", "masks")
        )
        return merged(self.trainer.train, trained, fixed, masks)

    def _of(self, number: int, leaves: Leaves) -> Leaves:
        if len(self.runs) == 1:
            return leaves
        return {path: leaf[number] for path, leaf in leaves.items()}


def _together(trees: Sequence[Any]) -> Any:
    """One tree as it is; several stacked on a new axis 0."""
    if len(trees) == 1:
        return trees[0]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _cast(leaves: Leaves, dtype: str) -> Leaves:
    return {path: leaf.astype(dtype) for path, leaf in leaves.items()}


def _placed(mesh: Any, part: Part) -> Part:
    """A part on its devices: rows are divided, what is read of them is not."""
    if mesh is None:
        return part
    if isinstance(part, QuestionPart):
        return replace(
            part,
            batch=placed(mesh, part.batch),
            answers=parallel.place_everywhere(mesh, part.answers),
        )
    return replace(part, examples=parallel.place_rows(mesh, part.examples))
