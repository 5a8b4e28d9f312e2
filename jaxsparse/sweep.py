"""The whole accuracy-versus-sparsity curve in one job: one model, every method, every
sparsity, every protocol.

Scores of a method are sorted out once for all its sparsities: `pruning.survival` holds
at how many of them a weight is kept, and a level's masks are read off it on the device.
Dense is scored once and is the point at sparsity 0 of every method.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxsparse import pruning, trees
from jaxsparse.cbt import Question
from jaxsparse.evaluation import (
    Asked,
    Leaves,
    Prepared,
    Scorer,
    Scores,
    Track,
    prepare,
    score_all,
    untracked,
)
from jaxsparse.model import Model, untie
from jaxsparse.types import Array

PATTERNS = ("unstructured",)


@dataclass(frozen=True)
class Recipe:
    """All that decides which weights go, but for how many."""

    method: str
    scope: str
    prunable: str = "blocks"
    pattern: str = "unstructured"
    seed: int = 0


@dataclass(frozen=True)
class Point:
    """One place on a curve, and what the model said there."""

    recipe: Recipe
    sparsity: float  # as requested
    achieved_sparsity: float  # of the prunable set
    total_sparsity: float  # of all parameters
    asked: Asked
    scores: Scores
    dense: Scores


@dataclass(frozen=True)
class Pruned:
    """One recipe at all its sparsities."""

    recipe: Recipe
    sparsities: tuple[float, ...]  # ascending, all above 0
    survival: Mapping[str, np.ndarray]  # path -> how many of them each weight survives
    achieved: tuple[tuple[float, float], ...]  # of the prunable set, of all parameters


def prune(model: Model, recipe: Recipe, sparsities: Sequence[float]) -> Pruned:
    """Decides at which of the sparsities each weight stays.

    With one group per matrix, leaf by leaf, so that the host never holds the scores of
    the whole model.
    """
    sparsities = tuple(sorted(sparsity for sparsity in sparsities if sparsity > 0))
    paths = model.prunable(recipe.prunable)
    groups = [paths] if recipe.scope == "global" else [(path,) for path in paths]
    survival: dict[str, np.ndarray] = {}
    for group in groups if sparsities else ():
        leaves = trees.flatten(model.params)
        params = trees.unflatten({path: leaves[path] for path in group})
        scores = pruning.scores(params, group, recipe.method, recipe.seed)
        levels = [
            pruning.counts(scores, sparsity, recipe.scope) for sparsity in sparsities
        ]
        survival |= trees.flatten(pruning.survival(scores, levels))
    total = trees.size(model.params)
    achieved = tuple(
        pruning.achieved(trees.unflatten(survival), total, level)
        for level in range(len(sparsities))
    )
    return Pruned(recipe, sparsities, survival, achieved)


def pruned_leaves(leaves: Leaves, survival: Leaves, level: int) -> Leaves:
    """The prunable leaves at one level, the masked weights zero; leaf by leaf, so that
    masks of the whole model are never on the device."""
    return {
        path: _pruned_leaf(leaves[path], survival[path], level) for path in survival
    }


@jax.jit
def _pruned_leaf(
    leaf: Float[Array, "..."], survival: UInt8[Array, "..."], level: Int[Array, ""]
) -> Float[Array, "..."]:
    return pruning.apply_level({"": leaf}, {"": survival}, level)[""]


def for_recipes(model: Model, recipes: Sequence[Recipe]) -> Model:
    """The model to prune: a tied head is untied where heads have masks of their own."""
    if any(recipe.prunable != "blocks" for recipe in recipes):
        return untie(model)
    return model


@dataclass(frozen=True)
class _Level:
    """One set of masks; level None is dense."""

    pruned: Pruned
    number: int | None

    def leaves(self, model: Model) -> Leaves:
        flat = trees.flatten(model.params)
        dense = {
            path: flat[path] for path in model.prunable(self.pruned.recipe.prunable)
        }
        if self.number is None:
            return dense
        return pruned_leaves(dense, self.pruned.survival, self.number)


def sweep(
    model: Model,
    questions: Sequence[Question],
    methods: Sequence[str | Recipe],
    sparsities: Sequence[float],
    protocols: Sequence[str] = ("cloze",),
    *,
    context: str = "full",
    detokenize: str = "ptb",
    batch_tokens: int = 4096,
    levels_at_once: int = 1,
    track: Track = untracked,
) -> Iterator[Point]:
    """Evaluates every point in one job, with one compilation for each shape.

    Args:
        methods: by name, or recipes where there is more to say than the method; with
            one prunable set.
        sparsities: fractions; 0 means dense, which is scored in any case.
        batch_tokens: rows x length that a batch may have.
        levels_at_once: sets of masks evaluated by one call; memory grows with them.
        track: is told how far things are.

    Yields:
        the points of each protocol, recipe by recipe, sparsity ascending from dense.
    """
    if levels_at_once < 1:
        raise ValueError(f"levels_at_once is {levels_at_once}; at least 1")
    recipes = [_recipe(method) for method in methods]
    model = for_recipes(model, recipes)
    pruned = [prune(model, recipe, sparsities) for recipe in recipes]
    levels = [_Level(pruned[0], None)] + [
        _Level(one, number) for one in pruned for number in range(len(one.sparsities))
    ]
    scorer = Scorer(
        model.apply, min(levels_at_once, len(levels)), model.compiler_options
    )
    for protocol in protocols:
        prepared = prepare(
            model,
            questions,
            protocol,
            context=context,
            detokenize=detokenize,
            batch_tokens=batch_tokens,
            track=track,
        )
        done = track(f"{protocol}: scoring", len(questions) * len(levels))
        scores: list[Scores] = []
        for chunk in _chunks(levels, scorer.levels_at_once):
            scores += _score_chunk(scorer, prepared, model, chunk, done)
        yield from _points(pruned, prepared.asked, scores)


def _recipe(method: str | Recipe) -> Recipe:
    if isinstance(method, Recipe):
        return method
    return Recipe(method, pruning.resolve_scope(method, None))


def _chunks(levels: list[_Level], size: int) -> Iterator[list[_Level]]:
    for begin in range(0, len(levels), size):
        yield levels[begin : begin + size]


def _score_chunk(
    scorer: Scorer,
    prepared: Prepared,
    model: Model,
    chunk: list[_Level],
    done: Callable[[int], Any],
) -> list[Scores]:
    """Scores as many levels as go at once; their leaves live no longer than this."""
    # The last chunk repeats its last level: one shape, one compilation.
    filled = chunk + chunk[-1:] * (scorer.levels_at_once - len(chunk))
    leaves = _stack([level.leaves(model) for level in filled])
    scores = score_all(
        scorer, prepared, model, leaves, lambda questions: done(questions * len(chunk))
    )
    return scores[: len(chunk)]


def _stack(levels: Sequence[Leaves]) -> Leaves:
    if len(levels) == 1:
        return levels[0]
    return {path: jnp.stack([leaves[path] for leaves in levels]) for path in levels[0]}


def _points(
    pruned: Sequence[Pruned], asked: Asked, scores: Sequence[Scores]
) -> Iterator[Point]:
    dense, *rest = scores
    remaining = iter(rest)
    for one in pruned:
        yield Point(one.recipe, 0.0, 0.0, 0.0, asked, dense, dense)
        for sparsity, achieved in zip(one.sparsities, one.achieved, strict=True):
            yield Point(one.recipe, sparsity, *achieved, asked, next(remaining), dense)
