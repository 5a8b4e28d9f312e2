"""What a recipe asks of a model, known before the model's weights are."""

from collections.abc import Mapping, Sequence

from jaxsparse import pruning, smaller
from jaxsparse.calibration.gradients import OF_THE_LOSS
from jaxsparse.calibration.walk import OF_INPUTS
from jaxsparse.model import Blueprint
from jaxsparse.pruning import Recipe
from jaxsparse.types import InputError
from jaxsparse.variants import bias_of

Shapes = Mapping[str, tuple[int, ...]]


def leaf_shapes(blueprint: Blueprint, prunable: str) -> Shapes:
    """The shapes of a model's leaves; a head that is pruned by itself is one."""
    config = blueprint.config
    if prunable != "blocks" and config.tied:
        config = config.untied()
    return blueprint.family.shapes(config)


def check_recipe(
    blueprint: Blueprint,
    recipe: Recipe,
    shapes: Shapes,
    sparsities: Sequence[float] = (),
) -> None:
    """Refuses a recipe that a model lacks something for.

    Args:
        shapes: of the leaves, as `leaf_shapes` gives them.
        sparsities: where they are known, at which something must be left of the model.

    Raises:
        InputError: inputs that a pattern N:M does not divide; weights without inputs,
            layers without biases or a family without a loss, where they are needed;
            what `smaller.check` refuses.
    """
    paths = blueprint.family.prunable.paths(shapes, recipe.prunable)
    if recipe.structured:
        smaller.check(blueprint, recipe, sparsities)
    else:
        pruning.check_inputs({path: shapes[path] for path in paths}, recipe.pattern)
    inputless = [path for path in paths if not path.endswith("kernel")]
    of_inputs = {*OF_INPUTS} & {*recipe.needs} or recipe.allocation == "owl"
    if of_inputs and inputless:
        raise InputError(
            f"`prunable={recipe.prunable}`: {inputless[0]} has no inputs, which "
            f"{recipe.method if recipe.needs else 'owl'} needs; choose blocks or linear"
        )
    biasless = [path for path in paths if bias_of(path) not in shapes]
    if recipe.update and recipe.update.moves_biases and biasless:
        raise InputError(
            f"`method={recipe.method}`: {biasless[0]} of {blueprint.family.name} has "
            "no bias; choose another update"
        )
    if {*OF_THE_LOSS} & {*recipe.needs} and blueprint.config.reading == "replaced":
        raise InputError(
            f"`method={recipe.method}`: a discriminator predicts no token of a text, "
            "so that its loss has no gradient; choose another method"
        )
