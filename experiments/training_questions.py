"""The questions of `finetune`: those that are trained on, and those that say when to
stop."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from experiments import inputs
from experiments.finetune_settings import FineTuning
from experiments.flags import Settings
from experiments.inputs import Inputs, Questions
from jaxsparse import finetuning, one_shot
from jaxsparse.progress import Progress
from jaxsparse.types import InputError

USES = ("training", "validation")


@dataclass(frozen=True)
class Lessons:
    train: Questions
    validation: Questions
    overlap: Mapping[str, int]  # by use: stories that test questions have as well

    @property
    def notes(self) -> list[str]:
        """What is trained on, in words."""
        stories = {question.context for question in self.train.asked}
        texts = [
            f"trained on {len(self.train.asked):,} questions of {len(stories):,} "
            f"stories; {len(self.validation.asked):,} validation questions say when to "
            "stop, and which state is best"
        ]
        for use, found in self.overlap.items():
            if found:
                texts.append(
                    f"{use} stories that are stories of the test questions: {found:,} "
                    "(--allow_overlap)"
                )
        for use, questions in zip(USES, (self.train, self.validation), strict=True):
            if count := len(questions.malformed):
                first = questions.malformed[0]
                texts.append(
                    f"malformed {use} questions left out: {count:,}, such as {first}"
                )
        return texts


def read(given: Inputs, settings: FineTuning, progress: Progress) -> Lessons:
    """Raises InputError for what is wrong with the questions, or with what the models
    are to learn from them; no weights are loaded."""
    _check(given, settings)
    sweep = settings.sweep
    train, validation = (
        _of_split(given, replace(sweep, num_examples=number), flag, split, progress)
        for flag, split, number in (
            ("split", settings.split, settings.train_examples),
            (
                "validation_split",
                settings.validation_split,
                settings.validation_examples,
            ),
        )
    )
    overlap = {
        use: finetuning.refuse_overlap(
            questions.asked, given.questions, sweep.allow_overlap, use
        )
        for use, questions in zip(USES, (train, validation), strict=True)
    }
    return Lessons(train, validation, overlap)


def _of_split(
    given: Inputs, sweep: Settings, flag: str, split: str, progress: Progress
) -> Questions:
    """Raises InputError, which names the split by its flag."""
    try:
        return inputs.read_questions(given.models, sweep, split, progress)
    except InputError as error:
        named = str(error).replace("`split=", f"`{flag}=")
        raise InputError(named) from None


def _check(given: Inputs, settings: FineTuning) -> None:
    """Raises InputError for a training that a model or a recipe does not allow."""
    recipes, (training, *_) = settings.sweep.recipes, settings.trainings
    for model in given.models:
        shapes = one_shot.leaf_shapes(model, recipes[0].prunable)
        try:
            pruned = {steps for level, steps in settings.steps.items() if level}
            for recipe in recipes:
                for steps in pruned or {None}:
                    finetuning.check(
                        model, shapes, recipe, training, settings.numbers, steps
                    )
        except InputError as error:
            raise InputError(f"{model.name}: {error}") from None
