"""What cannot be trained back, known before any weights are loaded."""

from collections.abc import Mapping, Sequence

from jaxsparse.cbt import Question
from jaxsparse.finetuning import holding
from jaxsparse.finetuning.lessons import check_story_tokens
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.trained import check_rank
from jaxsparse.model import Blueprint
from jaxsparse.pruning import LAYERS, Recipe
from jaxsparse.training.training import Training
from jaxsparse.types import InputError


def check(
    blueprint: Blueprint,
    shapes: Mapping[str, tuple[int, ...]],
    recipe: Recipe,
    training: Training,
    settings: Settings,
    steps: int | None,
) -> None:
    """Raises InputError for what model, recipe and training do not allow together.

    Args:
        shapes: of the leaves.
        steps: None: of the dense model, whose masks are not decided.
    """
    if training.objective != "choice" and blueprint.config.reading == "replaced":
        raise InputError(
            f"`objective={training.objective}`: a discriminator predicts no token of a "
            "text; choose choice"
        )
    if training.objective != "choice":
        check_story_tokens(settings.story_tokens, blueprint.config)
    if training.distill == "options" and training.objective == "lm":
        raise InputError(
            "`distill=options` is told by questions, which `objective=lm` does not "
            "read; choose choice or both, or hidden"
        )
    if training.distill == "hidden" and recipe.pattern == LAYERS:
        raise InputError(
            "`distill=hidden` compares layer by layer, and `pattern=layers` removes "
            "some; choose options"
        )
    if training.train == "masklora":
        paths = blueprint.family.prunable.paths(shapes, recipe.prunable)
        check_rank(shapes, paths, settings.rank)
    if training.schedule == "gradual":
        _check_gradual(recipe, training, settings, steps)


def _check_gradual(
    recipe: Recipe, training: Training, settings: Settings, steps: int | None
) -> None:
    if training.train == "masklora":
        raise InputError(
            "`train=masklora` with `schedule=gradual`: an adapter is of one mask; "
            "choose oneshot"
        )
    if recipe.structured or recipe.own_sparsity is not None:
        raise InputError(
            f"`pattern={recipe.pattern}` with `schedule=gradual`: only unstructured "
            "masks grow step by step; choose oneshot or dense"
        )
    if recipe.update or recipe.criterion.solves:
        raise InputError(
            f"`method={recipe.method}` with `schedule=gradual`: its update would undo "
            "what was trained; choose a criterion alone"
        )
    if steps is None:
        return
    every = settings.growing_every(steps)
    if not holding.decisions(steps, every):
        most = holding.decisions(steps, 1)
        raise InputError(
            f"`mask_every={every}`: of {steps} steps, masks have to be decided before "
            f"{holding.GROWING:.0%} are over; choose "
            f"{f'at most {most}, or ' if most else ''}more steps"
        )


def refuse_overlap(
    train: Sequence[Question],
    test: Sequence[Question],
    allow: bool = False,
    used: str = "training",
) -> int:
    """How many stories of the training questions are stories of the test questions.

    Args:
        used: what the former are for: training or validation.

    Stories are the same where the contexts are; questions without a context, where all
    of them is.

    Raises:
        InputError: some are, and they are not allowed.
    """
    asked = {_story(question): question for question in test}
    shared = {
        story: question for question in train if (story := _story(question)) in asked
    }
    if shared and not allow:
        story, question = next(iter(shared.items()))
        raise InputError(
            f"{question.source or question.id}: its story is that of test question "
            f"{asked[story].id}, and so are {len(shared):,} {used} stories; what is "
            "learned would be asked: name other questions, or allow it: "
            "`allow_overlap`"
        )
    return len(shared)


def _story(question: Question) -> tuple[str, ...] | str:
    return question.context or question.digest
