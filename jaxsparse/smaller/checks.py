"""What cannot be removed from a model, known before its weights are."""

from collections.abc import Iterator, Sequence

from jaxsparse.model import Blueprint
from jaxsparse.pruning import LAYERS, NEURONS, Recipe, count
from jaxsparse.types import InputError


def check(blueprint: Blueprint, recipe: Recipe, sparsities: Sequence[float]) -> None:
    """Refuses a structured recipe that would leave no model, or none that transformers'
    format can say.

    Raises:
        InputError: heads of a family whose heads' size depends on their number; layers
            whose number counts; so much that nothing is left.
    """
    family, pattern = blueprint.family, recipe.pattern
    structure = family.structure(blueprint.config)
    if not structure.sizes(pattern):
        raise InputError(
            f"`pattern={pattern}`: in transformers' format a head of {family.name} is "
            "as wide as hidden / heads, so fewer heads would be wider ones; choose "
            f"{NEURONS} or {LAYERS}"
        )
    if pattern == LAYERS and structure.numbered:
        raise InputError(
            f"`pattern={pattern}`: {structure.numbered} is true, and a layer less "
            f"would change what the others' numbers say; choose {NEURONS}"
        )
    for what, number in _numbers(blueprint, pattern):
        for sparsity in sparsities:
            if count(number, sparsity) == number:
                raise InputError(
                    f"`sparsity={sparsity:g}`: `pattern={pattern}` would leave none of "
                    f"the {number} {what}; choose smaller ones"
                )


def _numbers(blueprint: Blueprint, pattern: str) -> Iterator[tuple[str, int]]:
    """How many there are of what a pattern removes; of layers in each stack."""
    family, config = blueprint.family, blueprint.config
    if pattern == LAYERS:
        for stack in family.stacks(config):
            yield f"layers of {stack.path}", stack.depth
        return
    for size in family.structure(config).sizes(pattern):
        yield f"{pattern} of a layer", getattr(config, size.field)
