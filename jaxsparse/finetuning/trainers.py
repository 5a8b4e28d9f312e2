"""The trainers of a model: what trainings share is read and compiled once."""

from collections.abc import Iterator, Sequence
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

LEAST_TOKENS = 128  # of parts that are said to fit


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

    @property
    def _part_tokens(self) -> int:
        """Rows x length whose gradient is taken at once, on all devices together."""
        devices = parallel.rows_multiple(self.model.mesh)
        return self.settings.part_tokens or devices * self.model.form.batch_tokens

    def _lessons_of(self, objective: str) -> list[Any]:
        model, numbers = self.model, self.settings
        multiple, tokens = parallel.rows_multiple(model.mesh), self._part_tokens
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

    def check_memory(self, job: Job, number: int) -> None:
        """Raises InputError where so many runs in one call do not fit, with what
        would."""
        need = self._need(job, number)
        there = memory.available(need.model)
        memory.check(need, there, self._instead(job, number), self.model.name)

    def _need(
        self, job: Job, number: int, train: str = "", remat: bool = False
    ) -> memory.Need:
        """What so many runs in one call take.

        Args:
            train, remat: other than they are to be.
        """
        training = job.training
        return memory.needed(
            self.model,
            shapes_of(job.start),
            job.start.model.prunable(job.variant.recipe.prunable),
            (train or training.train, self.settings.rank),
            self._lessons_of(training.objective),
            remat or self.settings.remat,
            training.distill,
        ).of(number)

    def _instead(self, job: Job, number: int) -> Iterator[tuple[str, memory.Need]]:
        """What would be needed by other arguments."""
        if number > 1:
            yield "`at_once=1`", self._need(job, 1)
        tokens = self._part_tokens // 2
        while tokens >= LEAST_TOKENS:
            settings = replace(self.settings, part_tokens=tokens)
            smaller = replace(self, settings=settings, _known={}, _lessons={})
            yield f"`part_tokens={tokens}`", smaller._need(job, number)
            tokens //= 2
        if not self.settings.remat:
            yield "`remat=true`", self._need(job, number, remat=True)
        if job.training.train == "all":
            less = "norms,biases"
            yield f"`train={less}`", self._need(job, number, less)
            both = f"both `train={less}` and `remat=true`"
            yield both, self._need(job, number, less, True)

    def at_once(self, job: Job, most: int) -> int:
        """How many runs go in one call; one on a mesh, which divides its rows."""
        if self.model.mesh is not None:
            return 1
        if self.settings.at_once:
            return min(self.settings.at_once, most)
        if not self.model.form.vmaps_variants:
            return 1
        need = self._need(job, 1)
        if not (there := memory.available(need.model)):
            return 1
        left = memory.USABLE * there - need.model
        # Each state is there twice when they are put together.
        each = need.state + max(need.state, need.activations)
        return max(1, min(most, int(left // each)))


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
