"""How much of a loss on running text is the draw's: the same recipes again, by other
rows of calibration and other random numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxsparse import text_loss
from jaxsparse.calibration import Calibration
from jaxsparse.execution import executed
from jaxsparse.journal import key_of
from jaxsparse.one_shot import OneShot
from jaxsparse.points import TextLoss
from jaxsparse.progress import Progress
from jaxsparse.sparse import Execution
from jaxsparse.texts import ReadText
from jaxsparse.variants import Variant

LossesOfTexts = Mapping[str, tuple[TextLoss, ...]]  # by `key_of` a variant's identity


def with_redraw(
    losses: LossesOfTexts,
    curves: Sequence[Variant],
    texts: Sequence[ReadText],
    seed: int,
    calibration: Calibration | None,
    directory: Path | None,
    execution: Execution,
    progress: Progress,
    **options: Any,
) -> dict[str, tuple[TextLoss, ...]]:
    """Losses that know one draw more, where a method draws or is calibrated.

    Args:
        losses: of the first draw, as `text_loss.evaluate` gave them.
        curves: the first draw's variants of one model, of which all are made again.
        seed: of the draw, for the seed of all recipes.
        calibration: the rows of the draw, for recipes that are calibrated.
        directory: as of `OneShot`.
        execution: of the first draw's variants.
        options: of `text_loss.evaluate`.
    """
    first: dict[str, Variant] = {}
    for variant in curves:
        if variant.sparsity and variant.recipe.seed is not None:
            first.setdefault(key_of(variant.identity), variant)
    pruner = OneShot(curves[0].model, calibration, directory, progress)
    recipes = tuple(dict.fromkeys(variant.recipe for variant in first.values()))
    pruner.expect(
        [replace(recipe, seed=seed) for recipe in recipes],
        [variant.sparsity for variant in first.values()],
    )
    again: dict[str, Variant] = {}
    for recipe in recipes:
        of_recipe = {k: v.sparsity for k, v in first.items() if v.recipe == recipe}
        keys = sorted(of_recipe, key=of_recipe.__getitem__)
        pruned = pruner.variants(replace(recipe, seed=seed), list(of_recipe.values()))
        again |= zip(keys, executed(pruned, execution), strict=True)
    drawn: dict[str, tuple[TextLoss, ...]] = {}
    if again:
        drawn = text_loss.evaluate(
            list(again.values()), texts, progress=progress, **options
        )
    pruner.forget()

    def more(key: str, loss: TextLoss, at: int) -> TextLoss:
        nats = drawn[key_of(again[key].identity)][at].nats
        return replace(loss, redrawn=(*loss.redrawn, (seed, nats)))

    return {
        key: tuple(more(key, loss, at) for at, loss in enumerate(of_variant))
        if key in again
        else of_variant
        for key, of_variant in losses.items()
    }
