"""The trainers of a model: what trainings share is read and compiled once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jaxsparse import cbt, parallel, scoring
from jaxsparse.cbt import Question
from jaxsparse.evaluation import Scorer
from jaxsparse.exam import Exam
from jaxsparse.finetuning import memory
from jaxsparse.finetuning.jobs import Job
from jaxsparse.finetuning.lessons import QuestionLessons, StoryLessons
from jaxsparse.finetuning.losses import Losses
from jaxsparse.finetuning.outcome import shapes_of
from jaxsparse.finetuning.run import Trainer
from jaxsparse.finetuning.settings import Settings
from jaxsparse.model import Model
from jaxsparse.models.apply import (
    make_apply,
    make_apply_with_states,
    make_text_loss,
)
from jaxsparse.progress import Progress
from jaxsparse.readings import Readings
from jaxsparse.training.training import Training
from jaxsparse.types import Leaves


@dataclass(eq=False)
class Trainers:
    """By function, training and prunable set.

    Args:
        questions, validation: what is learned from, and what says which state is best.
    """

    model: Model
    questions: Sequence[Question]
    validation: Sequence[Question]
    settings: Settings
    readings: Readings
    progress: Progress
    _known: dict[Any, Trainer] = field(default_factory=dict)
    _lessons: dict[str, Any] = field(default_factory=dict)
    _exam: Exam | None = None

    def of(self, job: Job) -> Trainer:
        start, training, key = job.start, job.training, function_of(job)
        if key in self._known:
            return self._known[key]
        model, prunable = self.model, start.model.prunable(job.variant.recipe.prunable)
        self._known[key] = Trainer(
            train=training.train,
            settings=self.settings,
            losses=self._losses(start.model, training),
            lessons=self._lessons_of(training.objective),
            exam=replace(self._the_exam(), apply=start.model.apply),
            dense=model.params if training.distill != "none" else {},
            prunable=prunable,
            masked=_masked(start.model.params, prunable),
            mesh=model.mesh,
            compiler_options=model.compiler_options,
            dtype=model.dtype,
            relative=model.blueprint.family.relative_steps,
            progress=self.progress,
        )
        return self._known[key]

    def _losses(self, model: Model, training: Training) -> Losses:
        form = replace(model.form, remat=self.settings.remat)

        def build(make: Any, of: Model) -> Any:
            return make(of.blueprint.family, of.config, of.dtype, form)

        reads = training.objective != "choice"
        losses = Losses(
            apply=build(make_apply, model),
            form=form,
            text_loss=build(make_text_loss, model) if reads else None,
        )
        if training.distill == "options":
            return replace(losses, dense_apply=self.model.apply)
        if training.distill == "hidden":
            return replace(
                losses,
                states=build(make_apply_with_states, model),
                dense_states=build(make_apply_with_states, self.model),
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

    def needs(
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

    def at_once(self, job: Job, most: int) -> int:
        """How many runs go in one call."""
        if self.settings.at_once:
            return min(self.settings.at_once, most)
        there = memory.available()
        if not (self.model.form.vmaps_variants and there):
            return 1
        need, _ = self.needs(job, 1)
        left = memory.USABLE * there - need.model
        return max(1, min(most, int(left // (need.state + need.activations))))


def function_of(job: Job) -> Any:
    """What jobs share that are compiled together."""
    return job.start.model.apply, job.training.title, job.variant.recipe.prunable


def _masked(leaves: Leaves, prunable: tuple[str, ...]) -> tuple[str, ...]:
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
