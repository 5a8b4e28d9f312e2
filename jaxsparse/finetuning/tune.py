"""Trains variants of a model back: pruned, smaller or dense, each with its masks held.

A training is named by all that decides what it comes to: one that is finished is not
done again, one that was killed goes on.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jaxsparse import hosts, variants
from jaxsparse.calibration import Calibration
from jaxsparse.cbt import Question
from jaxsparse.finetuning import metrics
from jaxsparse.finetuning.checks import check
from jaxsparse.finetuning.jobs import STEPS, Job, schedules
from jaxsparse.finetuning.kept import (
    UNREADABLE,
    Kept,
    make_directory,
    unreadable,
    write_text,
)
from jaxsparse.finetuning.outcome import (
    Control,
    MaskDecision,
    shapes_of,
    trained_variant,
)
from jaxsparse.finetuning.run import Run
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.trainers import Trainers, function_of
from jaxsparse.model import Model
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.readings import Readings
from jaxsparse.training import record
from jaxsparse.training.training import Training
from jaxsparse.types import InputError
from jaxsparse.variants import Variant
from jaxsparse.whole import locked

REVISION = 2  # raised when the same settings come to train otherwise
RUNS = "runs.json"  # in the directory of several in one call: whose
DIGESTS = ("weights", "questions", "validation_questions")


def finetune(
    model: Model,
    pruned: Variant | Sequence[Variant],
    questions: Sequence[Question],
    validation: Sequence[Question],
    training: Training | Sequence[Training] | None = None,
    settings: Settings | None = None,
    *,
    steps: int | Sequence[int] = STEPS,
    learning_rate: float | Sequence[float] = 0.0,
    work: Path | str | None = None,
    calibration: Calibration | None = None,
    readings: Readings | None = None,
    progress: Progress = NOBODY,
) -> tuple[Variant, ...]:
    """Trains variants of one model back, each by each training.

    Args:
        model: the dense one, which distillation asks.
        pruned: where training starts, or with schedule=gradual or dense what it comes
            to; a dense one is trained as a whole.
        training, settings: None: the defaults.
        questions, validation: what is learned from, and what says which state is best
            and when to stop.
        steps, learning_rate: one for all, or one for each variant; a rate of 0: what
            suits the family. T5's is a fraction of each leaf's root mean square.
        work: where checkpoints, metrics and the best leaves go, from which the same
            call goes on; None: nothing is kept.
        calibration: of recipes that are calibrated, with schedule=gradual or dense.
        readings: where encoded questions are looked up first, and kept.

    Returns:
        the best of each by its validation questions: variant by variant, in the order
        of the trainings.

    Raises:
        InputError: what cannot be trained so; a loss that is not finite; a directory of
            another training; training that does not fit into memory.
    """
    starts = [pruned] if isinstance(pruned, Variant) else list(pruned)
    training, settings = training or Training(), settings or Settings()
    trainings = [training] if isinstance(training, Training) else list(training)
    paces = [
        schedules(
            model, each.objective, len(starts), steps, learning_rate, settings.warmup
        )
        for each in trainings
    ]
    jobs = [
        Job.of(model, variant, each, pace[number], calibration)
        for number, variant in enumerate(starts)
        for each, pace in zip(trainings, paces, strict=True)
    ]
    return Finetuning(
        model,
        tuple(questions),
        tuple(validation),
        settings,
        Path(work) if work else None,
        readings=readings or Readings(),
        progress=progress,
    ).tuned(jobs)


@dataclass(eq=False)
class Finetuning:
    """All trainings of a model, which share what is compiled; see `finetune`."""

    model: Model
    questions: tuple[Question, ...]
    validation: tuple[Question, ...]
    settings: Settings
    work: Path | None = None
    events: Path | None = None  # of metrics for TensorBoard, a directory a run
    readings: Readings = field(default_factory=Readings)
    progress: Progress = NOBODY

    def __post_init__(self):
        self._trainers = Trainers(
            self.model, self.questions, self.validation, self.settings, self.readings,
            self.progress,
        )  # fmt: skip

    def tuned(self, jobs: Sequence[Job]) -> tuple[Variant, ...]:
        """What each job comes to; jobs that are finished are not done again."""
        if hosts.several():
            raise InputError(
                "models are trained back by one process alone, and this is one of "
                "several; start it without the others"
            )
        for name in "questions", "validation":
            if not getattr(self, name):
                raise InputError(f"`{name}`: there are none; give at least one")
        if self.settings.at_once > 1 and self.model.mesh is not None:
            raise InputError(
                f"`at_once={self.settings.at_once}`: on a mesh trainings go one after "
                "another; leave it out, or take one device"
            )
        for job in jobs:
            check(
                self.model.blueprint,
                shapes_of(job.variant),
                job.variant.recipe,
                job.training,
                self.settings,
                job.schedule.steps if job.variant.sparsity else None,
            )
        self.claim()
        keys = [self.key(job) for job in jobs]
        of_key = dict(zip(keys, jobs, strict=True))  # trainings that are the same once
        kept = {key: Kept(self._directory(key)) for key in of_key}
        for key in of_key:  # damage is told before anything is trained
            metrics.check(self._directory(key), kept[key].finished)
        left = {key: job for key, job in of_key.items() if not kept[key].finished}
        for portion in self._begun(of_key, kept, left):
            kept |= self._trained(portion)
            left = {key: job for key, job in left.items() if key not in portion}
        for portion in self._portions(left):
            kept |= self._trained(portion)
        controls: dict[str, Control] = {}
        return tuple(
            self._variant(job, key, kept[key], controls)
            for job, key in zip(jobs, keys, strict=True)
        )

    def identity(self, job: Job) -> dict[str, Any]:
        """All that decides what training comes to."""
        model, training = self.model, job.training
        start = job.variant.identity
        if training.schedule == "dense":
            start = variants.identity(model)
        adapts = training.train == "masklora"  # which a dense start does not say
        return {
            "start": start,
            **self.common(training, grows=job.grows),
            "seed": training.seed,
            "steps": job.schedule.steps,
            "learning_rate": job.schedule.learning_rate,
            # Of others the start says it, where it says anything.
            "calibration": job.calibration.digest
            if job.grows and job.calibration
            else None,
            **({"adapted": job.variant.recipe.prunable} if adapts else {}),
        }

    def common(self, training: Training, grows: bool) -> dict[str, Any]:
        """What trainings that differ in start, pace and seed share.

        Args:
            grows: whether masks are decided on the way.
        """
        numbers = {**asdict(training), **asdict(self.settings)}
        numbers["presentation"] = self.settings.presentation.identity
        dropped = ["seed", "checkpoint_every", "part_tokens", "at_once"]
        for names, are_read in (  # of what other trainings are about
            (("rank",), training.train == "masklora"),
            (("mask_every",), grows),
            (("batch_questions",), training.objective != "lm"),
            (("story_windows", "story_tokens"), training.objective != "choice"),
        ):
            dropped += () if are_read else names
        for name in dropped:
            del numbers[name]
        return {
            **numbers,
            "questions": _digest(self.questions),
            "validation_questions": _digest(self.validation),
            "revision": REVISION,
        }

    def claim(self) -> None:
        """Says in the directory what is trained there: trainings of one model on the
        same questions. Who prunes first says it before, since that takes its time.

        Raises:
            InputError: something else is.
        """
        if self.work is None:
            return
        made_of = {
            "revision": REVISION,
            "model": self.model.name,
            "weights": self.model.digest,
            "dtype": self.model.dtype,
            "questions": _digest(self.questions),
            "validation_questions": _digest(self.validation),
        }
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            with locked(self.work):
                if not record.is_begun(self.work, made_of, DIGESTS):
                    record.write(self.work, made_of)
        except OSError as error:
            raise InputError(
                f"{self.work}: cannot be written ({error.strerror}); name another "
                "`work`"
            ) from None

    def metrics(self, job: Job) -> list[dict[str, Any]]:
        """What was measured at each step of a job, of which `work` knows."""
        return metrics.read(self._directory(self.key(job)))

    def key(self, job: Job) -> str:
        """Names what a job comes to; jobs that come to the same share one."""
        return variants.digest_of(self.identity(job))

    def _directory(self, key: str) -> Path | None:
        return self.work and self.work / key

    def _begun(
        self, jobs: dict[str, Job], kept: dict[str, Kept], left: dict[str, Job]
    ) -> Iterator[dict[str, Job]]:
        """What a killed process had in one call, as it was, also where some of it is
        finished: the bits of a run depend on how many are with it. Where one of these
        was trained by another call since, the others begin again."""
        for file in sorted(self.work.glob(f"*/{RUNS}")) if self.work else ():
            try:
                keys = [str(key) for key in json.loads(file.read_text("utf-8"))]
            except UNREADABLE as error:
                raise unreadable(file, error) from None
            if not jobs.keys() >= {*keys}:
                continue
            mine = all(
                kept[key].measured.get("together") == file.parent.name
                for key in keys
                if kept[key].finished
            )
            if mine and left.keys() & {*keys}:
                yield {key: jobs[key] for key in keys}
            else:
                shutil.rmtree(file.parent, ignore_errors=True)

    def _portions(self, jobs: dict[str, Job]) -> Iterator[dict[str, Job]]:
        """Jobs that are trained in one call: equal steps, function and shapes."""
        alike: dict[Any, dict[str, Job]] = {}
        for key, job in jobs.items():
            shapes = tuple(sorted(shapes_of(job.start).items()))
            kind = function_of(job), shapes, job.schedule.steps, job.grows
            alike.setdefault(kind, {})[key] = job
        for members in alike.values():
            keys = list(members)
            size = self._trainers.at_once(members[keys[0]], len(keys))
            for begin in range(0, len(keys), size):
                yield {key: members[key] for key in keys[begin : begin + size]}

    def _trained(self, jobs: dict[str, Job]) -> dict[str, Kept]:
        first = next(iter(jobs.values()))
        self._trainers.check_memory(first, len(jobs))
        trainer = self._trainers.of(first)
        runs = [self._run(job, self._directory(key)) for key, job in jobs.items()]
        directory = None
        if self.work:
            key = variants.digest_of({"runs": list(jobs)})
            directory = self.work / (key if len(jobs) > 1 else next(iter(jobs)))
            if len(jobs) > 1:
                make_directory(directory)
                write_text(directory / RUNS, json.dumps(list(jobs)))
        found = trainer.run(runs, directory)
        if directory:
            done = directory if len(jobs) > 1 else directory / "checkpoints"
            shutil.rmtree(done, ignore_errors=True)
        return dict(zip(jobs, found, strict=True))

    def _run(self, job: Job, directory: Path | None) -> Run:
        start, training = job.start, job.training
        target = start if training.schedule == "dense" else job.variant
        name, events = f"{target.name}, {training.title}, seed {training.seed}", None
        if self.events and directory:
            plain = re.sub(r"[^\w.=+]+", "-", name)
            events = self.events / f"{plain}-{directory.name[:6]}"
        return Run(
            name=name,
            seed=training.seed,
            sparsity=target.sparsity,
            schedule=job.schedule,
            directory=directory,
            leaves=lambda: {**start.model.params, **start.leaves()},
            masks_again=MaskDecision(start.model, target, job.calibration)
            if job.grows
            else None,
            events=events,
        )

    def _variant(
        self, job: Job, key: str, kept: Kept, controls: dict[str, Control]
    ) -> Variant:
        start, training = job.start, job.training
        if training.schedule != "dense":
            return trained_variant(
                start, job.variant, training, kept, self.identity(job)
            )
        if key not in controls:
            controls[key] = Control(
                trained_variant(start, start, training, kept, self.identity(job))
            )
        return controls[key].pruned(job.variant, job.calibration)


def _digest(questions: Sequence[Question]) -> str:
    """Of the questions and their order."""
    content = hashlib.sha256()
    for question in questions:
        content.update(question.digest.encode())
    return content.hexdigest()
