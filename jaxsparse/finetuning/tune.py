"""Trains variants of a model back: pruned, smaller or dense, each with its masks held.

oneshot   the variant as it is, its zeros staying zero
gradual   the dense model, masks decided again while sparsity grows to the variant's
dense     the dense model as a whole, pruned afterwards: the control
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxsparse import cbt, hosts, parallel, scoring, variants
from jaxsparse.calibration import Calibration
from jaxsparse.cbt import Question
from jaxsparse.evaluation import Scorer
from jaxsparse.exam import Exam
from jaxsparse.finetuning import memory, metrics
from jaxsparse.finetuning.checks import check
from jaxsparse.finetuning.kept import UNREADABLE, Kept, unreadable, write_text
from jaxsparse.finetuning.lessons import QuestionLessons, StoryLessons
from jaxsparse.finetuning.losses import Losses
from jaxsparse.finetuning.outcome import (
    Deciding,
    pruned_afterwards,
    shapes_of,
    trained_variant,
)
from jaxsparse.finetuning.run import Run, Trainer
from jaxsparse.finetuning.settings import Settings
from jaxsparse.model import Model
from jaxsparse.models.apply import make_apply, make_apply_with_states
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.readings import Readings
from jaxsparse.training import record
from jaxsparse.training.optimizer import Schedule
from jaxsparse.training.training import Training
from jaxsparse.types import InputError, Leaves
from jaxsparse.variants import Variant
from jaxsparse.whole import locked

REVISION = 1  # raised when the same settings come to train otherwise
STEPS = 120
MOST_STEPS = 2**31 - 1  # what int32 counts
# Of questions, and of running text, which a gradient is less noisy of; by reading.
RATES = {
    "causal": (2e-4, 6e-4),
    "masked": (1e-4, 5e-4),
    "replaced": (1e-4, 1e-4),
    "seq2seq": (0.015, 0.02),
}
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


@dataclass(frozen=True, eq=False)
class Job:
    """One variant to train back, in one way; see `finetune`."""

    variant: Variant
    training: Training
    schedule: Schedule
    start: Variant  # what is trained
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        variant: Variant,
        training: Training,
        schedule: Schedule,
        calibration: Calibration | None = None,
    ) -> "Job":
        start = _start(model, variant, training)
        return cls(variant, training, schedule, start, calibration)

    @property
    def grows(self) -> bool:
        """Whether masks are decided while it is trained."""
        return self.training.schedule == "gradual" and self.variant.sparsity > 0


def _start(model: Model, variant: Variant, training: Training) -> Variant:
    """What is trained. Masks that grow may be of a head that is tied in `model`."""
    if training.schedule == "dense":
        return variants.dense(model, variant.recipe)
    if training.schedule == "gradual":
        return variants.dense(variant.model, variant.recipe)
    return variant


def schedules(
    model: Model,
    objective: str,
    number: int,
    steps: int | Sequence[int],
    learning_rate: float | Sequence[float],
    warmup: float,
) -> list[Schedule]:
    """Steps and rate of each of so many variants, see `finetune`."""
    all_steps = [steps] * number if isinstance(steps, int) else list(steps)
    if isinstance(learning_rate, int | float):
        learning_rate = [learning_rate] * number
    of_questions, of_text = RATES[model.config.reading]
    own = of_text if objective == "lm" else of_questions
    all_rates = [rate or own for rate in learning_rate]
    for name, values in ("steps", all_steps), ("learning_rate", all_rates):
        if len(values) != number:
            raise InputError(
                f"`{name}`: {len(values)} values for {number} variants; give one, or "
                "one for each"
            )
    for each in all_steps:
        if not 1 <= each <= MOST_STEPS:
            raise InputError(f"`steps={each}`: 1 to {MOST_STEPS:,}")
    if not all(0 < rate < float("inf") for rate in all_rates):
        raise InputError(f"`learning_rate={min(all_rates)}`: a number above 0")
    return [
        Schedule(
            steps=each, warmup=min(round(warmup * each), each - 1), learning_rate=rate
        )
        for each, rate in zip(all_steps, all_rates, strict=True)
    ]


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
    _trainers: dict[Any, Trainer] = field(default_factory=dict)
    _lessons: dict[str, Any] = field(default_factory=dict)
    _exam: Exam | None = None

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
        for job in jobs:
            check(
                self.model.blueprint,
                shapes_of(job.variant),
                job.variant.recipe,
                job.training,
                self.settings,
                job.schedule.steps,
            )
        self._claim()
        keys = [self.key(job) for job in jobs]
        of_key = dict(zip(keys, jobs, strict=True))  # trainings that are the same once
        kept = {key: Kept(self._directory(key)) for key in of_key}
        for key in of_key:  # damage is told before anything is trained
            metrics.read(self._directory(key))
        left = {key: job for key, job in of_key.items() if not kept[key].finished}
        for portion in self._begun(of_key, left):
            kept |= self._trained(portion)
            left = {key: job for key, job in left.items() if key not in portion}
        for portion in self._portions(left):
            kept |= self._trained(portion)
        return tuple(
            self._variant(job, kept[key]) for job, key in zip(jobs, keys, strict=True)
        )

    def identity(self, job: Job) -> dict[str, Any]:
        """All that decides what training comes to."""
        model, training = self.model, job.training
        start = job.variant.identity
        if training.schedule == "dense":
            start = variants.identity(model)
        numbers = asdict(self.settings)
        for name in ("checkpoint_every", "part_tokens", "at_once"):
            del numbers[name]  # how it is computed
        return {
            "start": start,
            **asdict(training),
            **numbers,
            "steps": job.schedule.steps,
            "learning_rate": job.schedule.learning_rate,
            # Of others the start says it, where it says anything.
            "calibration": job.calibration.digest
            if job.grows and job.calibration
            else None,
            "questions": _digest(self.questions),
            "validation_questions": _digest(self.validation),
            "revision": REVISION,
        }

    def _claim(self) -> None:
        """Says in the directory what is trained there: trainings of one model on the
        same questions.

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
        self, jobs: dict[str, Job], left: dict[str, Job]
    ) -> Iterator[dict[str, Job]]:
        """What a killed process had in one call, as it was, also where some of it is
        finished: the bits of a run depend on how many are with it."""
        for file in sorted(self.work.glob(f"*/{RUNS}")) if self.work else ():
            try:
                keys = [str(key) for key in json.loads(file.read_text("utf-8"))]
            except UNREADABLE as error:
                raise unreadable(file, error) from None
            if not jobs.keys() >= {*keys}:
                continue
            if left.keys() & {*keys}:
                yield {key: jobs[key] for key in keys}
            else:
                shutil.rmtree(file.parent, ignore_errors=True)

    def _portions(self, jobs: dict[str, Job]) -> Iterator[dict[str, Job]]:
        """Jobs that are trained in one call: equal steps, function and shapes."""
        alike: dict[Any, dict[str, Job]] = {}
        for key, job in jobs.items():
            shapes = tuple(sorted(shapes_of(job.start).items()))
            kind = _function(job), shapes, job.schedule.steps, job.grows
            alike.setdefault(kind, {})[key] = job
        for members in alike.values():
            keys = list(members)
            size = self._at_once(members[keys[0]], len(keys))
            for begin in range(0, len(keys), size):
                yield {key: members[key] for key in keys[begin : begin + size]}

    def _trained(self, jobs: dict[str, Job]) -> dict[str, Kept]:
        first = next(iter(jobs.values()))
        need, instead = self._needs(first, len(jobs))
        memory.check(need, memory.available(), instead, self.model.name)
        trainer = self._trainer(first)
        runs = [self._run(job, self._directory(key)) for key, job in jobs.items()]
        directory = None
        if self.work:
            key = variants.digest_of({"runs": list(jobs)})
            directory = self.work / (key if len(jobs) > 1 else next(iter(jobs)))
            if len(jobs) > 1:
                directory.mkdir(exist_ok=True)
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
            masks_again=Deciding(start.model, target, job.calibration)
            if job.grows
            else None,
            events=events,
        )

    def _trainer(self, job: Job) -> Trainer:
        start, training, key = job.start, job.training, _function(job)
        if key in self._trainers:
            return self._trainers[key]
        model, prunable = self.model, start.model.prunable(job.variant.recipe.prunable)
        self._trainers[key] = Trainer(
            train=training.train,
            settings=self.settings,
            losses=self._losses(start.model, training),
            lessons=self._lessons_of(training.objective),
            exam=replace(self._the_exam(), apply=start.model.apply),
            dense=model.params if training.distill != "none" else {},
            prunable=prunable,
            held=_held(start.model.params, prunable),
            mesh=model.mesh,
            compiler_options=model.compiler_options,
            dtype=model.dtype,
            relative=model.blueprint.family.relative_steps,
            progress=self.progress,
        )
        return self._trainers[key]

    def _losses(self, model: Model, training: Training) -> Losses:
        form = replace(model.form, remat=self.settings.remat)

        def made(make: Any, of: Model, **how: bool) -> Any:
            return make(of.blueprint.family, of.config, of.dtype, form, **how)

        losses = Losses(
            apply=made(make_apply, model),
            apply_everywhere=made(make_apply, model, everywhere=True),
            form=form,
        )
        if training.distill == "options":
            return replace(losses, dense_apply=self.model.apply)
        if training.distill == "hidden":
            return replace(
                losses,
                states=made(make_apply_with_states, model),
                dense_states=made(make_apply_with_states, self.model),
            )
        return losses

    def _lessons_of(self, objective: str) -> list[Any]:
        model, numbers = self.model, self.settings
        tokens = numbers.part_tokens or model.form.batch_tokens
        multiple = parallel.rows_multiple(model.mesh)
        if objective != "lm" and "questions" not in self._lessons:
            self.progress.stage(
                "reading training questions", len(self.questions), patient=True
            )
            reader = scoring.Reader(model.tokenizer, model.config, numbers.presentation)
            encoded = self.readings.read(reader, self.questions, self.progress)
            self._lessons["questions"] = QuestionLessons(
                encoded, self.questions, model.config, numbers.presentation.protocol,
                numbers.batch_questions, tokens, multiple,
            )  # fmt: skip
        if objective != "choice" and "stories" not in self._lessons:
            texts = cbt.context_texts(self.questions, numbers.presentation.detokenize)
            self._lessons["stories"] = StoryLessons(
                texts, model.tokenizer, model.config, numbers.story_windows,
                numbers.story_tokens, tokens, multiple,
            )  # fmt: skip
        wanted = {"choice": ["questions"], "lm": ["stories"]}
        names = wanted.get(objective, ["questions", "stories"])
        return [self._lessons[name] for name in names]

    def _the_exam(self) -> Exam:
        if self._exam is None:
            model = self.model
            scorer = Scorer(
                1, model.compiler_options, model.mesh, self.progress, model.form
            )
            self._exam = Exam.of(
                self.validation, model.tokenizer, model.blueprint.family, model.config,
                model.apply, self.settings.presentation, model.form, scorer,
                parallel.rows_multiple(model.mesh),
            )  # fmt: skip
        return self._exam

    def _needs(
        self, job: Job, number: int
    ) -> tuple[memory.Need, dict[str, memory.Need]]:
        """What so many runs in one call take, and would with other arguments."""
        numbers, training = self.settings, job.training

        def need(train: str, remat: bool, number: int = number) -> memory.Need:
            return memory.needed(
                self.model,
                shapes_of(job.start),
                job.start.model.prunable(job.variant.recipe.prunable),
                (train, numbers.rank),
                self._lessons_of(training.objective),
                remat,
            ).of(number)

        if number > 1:
            fewer = {"`at_once=1`": need(training.train, numbers.remat, 1)}
            return need(training.train, numbers.remat), fewer
        instead = {"`remat=true`": need(training.train, True)}
        if training.train == "all":
            instead["`train=norms,biases`"] = need("norms,biases", numbers.remat)
            instead["both of these"] = need("norms,biases", True)
        return need(training.train, numbers.remat), instead

    def _at_once(self, job: Job, most: int) -> int:
        """How many runs go in one call."""
        if self.settings.at_once:
            return min(self.settings.at_once, most)
        there = memory.available()
        if not (self.model.form.vmaps_variants and there):
            return 1
        need, _ = self._needs(job, 1)
        left = memory.USABLE * there - need.model
        return max(1, min(most, int(left // (need.state + need.activations))))

    def _variant(self, job: Job, kept: Kept) -> Variant:
        start = job.start
        control = job.training.schedule == "dense"
        target = start if control else job.variant
        trained = trained_variant(start, target, job.training, kept, self.identity(job))
        if control:
            return pruned_afterwards(trained, job.variant, job.calibration)
        return trained


def _function(job: Job) -> Any:
    """What jobs share that are compiled together."""
    return job.start.model.apply, job.training.title, job.variant.recipe.prunable


def _held(leaves: Leaves, prunable: tuple[str, ...]) -> tuple[str, ...]:
    """Leaves whose zeros stay: the prunable ones, and matrices that a checkpoint, which
    may have been pruned more widely, has zeros in."""
    others = [
        path
        for path, leaf in leaves.items()
        if path.endswith(("kernel", "embedding"))
        and path not in prunable
        and bool((leaf == 0).any())
    ]
    return (*prunable, *others)


def _digest(questions: Sequence[Question]) -> str:
    """Of the questions and their order."""
    content = hashlib.sha256()
    for question in questions:
        content.update(question.digest.encode())
    return content.hexdigest()
