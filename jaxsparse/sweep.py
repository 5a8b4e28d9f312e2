"""The whole accuracy-versus-sparsity curve in one job: one model, every method, every
sparsity, every protocol.

Scores of a method are sorted out once for all its sparsities: `pruning.survival` holds
at how many of them a weight is kept, and a level's masks are read off it on the device.
Dense is scored once and is the point at sparsity 0 of every method.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxsparse import capacity, hosts, parallel, pruning, scoring, trees
from jaxsparse.accuracy import accuracies
from jaxsparse.answers import Answers
from jaxsparse.cbt import Question
from jaxsparse.evaluation import (
    Leaves,
    Prepared,
    Scorer,
    prepare,
    recall,
    score,
    unknown,
    workload,
)
from jaxsparse.journal import Conditions, Journal
from jaxsparse.model import Model, untie
from jaxsparse.points import Curve, Point, Setup
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.types import Array, Presentation

PATTERNS = ("unstructured",)


@dataclass(frozen=True)
class Pruned:
    """One recipe at all its sparsities."""

    recipe: Recipe
    sparsities: tuple[float, ...]  # ascending, all above 0
    survival: Mapping[str, np.ndarray]  # path -> how many of them each weight survives
    achieved: tuple[tuple[float, float], ...]  # of the prunable set, of all parameters
    matrices: tuple[tuple[MatrixSparsity, ...], ...]  # at each of the sparsities


def prune(
    model: Model,
    recipe: Recipe,
    sparsities: Sequence[float],
    done: Callable[[int], object] = lambda matrices: None,
) -> Pruned:
    """Decides at which of the sparsities each weight stays.

    With one group per matrix, leaf by leaf, so that the host never holds the scores of
    the whole model. Weights that are zero already survive nowhere: they count as
    pruned, even where there are more of them than a sparsity asks for. `done` is told
    how many more matrices are decided.
    """
    sparsities = tuple(sorted(sparsity for sparsity in sparsities if sparsity > 0))
    paths = model.prunable(recipe.prunable)
    groups = [paths] if recipe.scope == "global" else [(path,) for path in paths]
    survival: dict[str, np.ndarray] = {}
    for group in groups if sparsities else ():
        scores = _scores(model, group, recipe)
        levels = [
            pruning.counts(scores, sparsity, recipe.scope) for sparsity in sparsities
        ]
        kept = trees.flatten(pruning.survival(scores, levels, done))
        for path, scored in trees.flatten(scores).items():
            kept[path][scored == pruning.ZERO] = 0
        survival |= kept
    total = trees.size(model.params)
    pruned = tuple(
        tuple(_matrices(survival, level)) for level in range(len(sparsities))
    )
    achieved = tuple(_achieved(one, total) for one in pruned)
    return Pruned(recipe, sparsities, survival, achieved, pruned)


def matrices(model: Model, prunable: str) -> int:
    """How many matrices the prunable leaves hold, layer by layer."""
    leaves = trees.flatten(model.params)
    paths = model.prunable(prunable)
    return sum(math.prod(leaves[path].shape[:-2]) for path in paths)


def _scores(model: Model, paths: Sequence[str], recipe: Recipe) -> dict[str, Any]:
    """The scores of some leaves; one of them at a time is whole on the host."""
    leaves, scored = trees.flatten(model.params), {}
    for path in paths:
        leaf = trees.unflatten({path: hosts.gathered(leaves[path])})
        one = pruning.scores(leaf, [path], recipe.method, recipe.seed or 0)
        scored |= trees.flatten(one)
    return trees.unflatten(scored)


def _matrices(survival: dict[str, np.ndarray], level: int) -> Iterator[MatrixSparsity]:
    for path, counts in pruning.kept(trees.unflatten(survival), level).items():
        weights = survival[path].size // len(counts)
        for layer, kept in enumerate(counts):
            yield MatrixSparsity(path, layer, weights, weights - kept)


def _achieved(matrices: Sequence[MatrixSparsity], total: int) -> tuple[float, float]:
    """Of the prunable set, and of all parameters; quotients of exact integers."""
    pruned = sum(one.pruned for one in matrices)
    return pruned / sum(one.weights for one in matrices), pruned / total


def zeros(model: Model, prunable: str) -> tuple[float, float]:
    """The sparsity that a model has before it is pruned: zeros of its prunable set,
    as a fraction of that set, and of all parameters."""
    leaves = trees.flatten(model.params)
    paths = model.prunable(prunable)
    found = sum(
        int(hosts.gathered(_zeros_of(leaves[path])).sum(dtype=np.int64))
        for path in paths
    )
    size = sum(leaves[path].size for path in paths)
    return found / size, found / trees.size(model.params)


@jax.jit
def _zeros_of(leaf: Float[Array, "..."]) -> Int[Array, "..."]:
    """By rows: a count of all of them need not fit into 32 bits."""
    return jnp.count_nonzero(leaf == 0, axis=-1)


def pruned_leaves(leaves: Leaves, survival: Leaves, level: int) -> Leaves:
    """The prunable leaves at one level, the masked weights zero; leaf by leaf, so that
    masks of the whole model are never on the device. Each stays in the shards of its
    leaf."""
    return {
        path: _pruned_leaf(
            leaves[path], parallel.place_like(leaves[path], survival[path]), level
        )
        for path in survival
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
    """One set of masks; number None is dense."""

    pruned: Pruned
    number: int | None

    @property
    def name(self) -> str:
        if self.number is None:
            return "dense"
        sparsity = self.pruned.sparsities[self.number]
        return f"{self.pruned.recipe.method} {sparsity:g}"

    def leaves(self, model: Model, paths: Sequence[str]) -> Leaves:
        flat = trees.flatten(model.params)
        dense = {path: flat[path] for path in paths}
        if self.number is None:
            return dense
        survival = {path: self.pruned.survival[path] for path in paths}
        return pruned_leaves(dense, survival, self.number)

    def conditions(self, model: Model, presentation: Presentation) -> Conditions:
        recipe, dense = self.pruned.recipe, self.number is None
        return Conditions(
            weights=model.digest,
            method="dense" if dense else recipe.method,
            pattern=None if dense else recipe.pattern,
            scope=None if dense else recipe.scope,
            prunable=None if dense else recipe.prunable,
            sparsity=0.0
            if self.number is None
            else self.pruned.sparsities[self.number],
            seed=None if dense else recipe.seed,
            calibration=None,
            protocol=presentation.protocol,
            context=presentation.context,
            detokenize=presentation.detokenize,
            dtype=model.dtype,
            scoring_revision=scoring.REVISION,
            pruning_revision=None if dense else pruning.REVISION,
        )


def sweep(
    model: Model,
    questions: Sequence[Question],
    methods: Sequence[str | Recipe],
    sparsities: Sequence[float],
    presentations: Sequence[Presentation] = (Presentation(),),
    *,
    batch_tokens: int = 0,
    levels_at_once: int = 0,
    journal: Journal | None = None,
    progress: Progress = NOBODY,
) -> Iterator[Point]:
    """Evaluates every point in one job, with one compilation for each shape.

    Args:
        methods: by name, or recipes where there is more to say than the method; with
            one prunable set.
        sparsities: fractions; 0 means dense, which is scored in any case.
        presentations: how the questions are put to the model, one after another.
        batch_tokens: rows x length that a batch may have; 0: what suits the device.
        levels_at_once: sets of masks evaluated by one call, of any method and seed;
            memory grows with them. 0: as many as the device takes.
        journal: where answers are looked up first and kept; without one, in memory.
        progress: is told how far things are.

    Yields:
        the points of each presentation, recipe by recipe, sparsity ascending from
        dense; of several processes, in the first one, which alone has the old answers.
    """
    if levels_at_once < 0:
        raise ValueError(f"levels_at_once is {levels_at_once}; at least 1, or 0")
    journal = journal or Journal()
    recipes = [_recipe(method) for method in methods]
    model = for_recipes(model, recipes)
    pruned = []
    for recipe in recipes:
        if any(sparsities):
            number = matrices(model, recipe.prunable)
            progress.stage(f"{recipe.method} · pruning", number, unit="matrices")
        pruned.append(prune(model, recipe, sparsities, progress.done))
    of_dense = zeros(model, recipes[0].prunable)
    batch_tokens = batch_tokens or capacity.batch_tokens(model, recipes[0].prunable)
    levels = [_Level(pruned[0], None)] + [
        _Level(one, number) for one in pruned for number in range(len(one.sparsities))
    ]
    for presentation in presentations:
        prepared = prepare(
            model,
            questions,
            presentation,
            batch_tokens=batch_tokens,
            rows_multiple=parallel.rows_multiple(model.mesh),
            progress=progress,
        )
        scorer = _scorer(model, prepared, levels, levels_at_once, progress)
        _score_unknown(scorer, prepared, model, levels, journal, progress)
        points: list[Point] = []
        with hosts.together():
            if hosts.leads():
                points += _points(
                    pruned, prepared, model, levels, journal, scorer, of_dense
                )
        yield from points


def _recipe(method: str | Recipe) -> Recipe:
    if isinstance(method, Recipe):
        return method
    return Recipe(method, pruning.resolve_scope(method, None))


def _scorer(
    model: Model,
    prepared: Prepared,
    levels: Sequence[_Level],
    levels_at_once: int,
    progress: Progress,
) -> Scorer:
    """With as many levels at once as asked for, or as the device takes."""
    prunable = model.prunable(levels[0].pruned.recipe.prunable)
    most = len(levels)
    at_once = min(levels_at_once, most) or capacity.levels_at_once(
        model, prunable, prepared.shapes, most
    )
    options = model.compiler_options
    return Scorer(model.apply, model.form, at_once, options, model.mesh, progress)


def _score_unknown(
    scorer: Scorer,
    prepared: Prepared,
    model: Model,
    levels: Sequence[_Level],
    journal: Journal,
    progress: Progress,
) -> None:
    """Scores what the journal does not know; its leaves live no longer than a chunk."""
    work = list(zip(levels, _unknown(prepared, model, levels, journal), strict=True))
    total = len(prepared.questions) * len(levels)
    left = sum(len(questions) for _, questions in work)
    protocol = prepared.presentation.protocol
    progress.stage(protocol, total, known=total - left, unit="answers")
    for chunk, questions in _chunks(work, scorer.levels_at_once):
        progress.point(" … ".join(dict.fromkeys([chunk[0].name, chunk[-1].name])))
        # The last chunk repeats its last level: one shape, one compilation.
        filled = chunk + chunk[-1:] * (scorer.levels_at_once - len(chunk))
        score(
            scorer,
            prepared,
            model,
            leaves=_stack(filled, model),  # no name, so that it is gone before the next
            levels=[level.conditions(model, prepared.presentation) for level in chunk],
            questions=questions,
            journal=journal,
            progress=progress,
        )


def _unknown(
    prepared: Prepared, model: Model, levels: Sequence[_Level], journal: Journal
) -> list[frozenset[int]]:
    """What the journal, process 0's, lacks at each level."""
    lacking = np.zeros((len(levels), len(prepared.digests)), np.uint8)
    with hosts.together():
        for row, level in zip(lacking, levels, strict=True):
            conditions = level.conditions(model, prepared.presentation)
            row[list(unknown(journal, conditions, prepared))] = 1
    lacking = hosts.from_first(lacking)
    return [frozenset(np.flatnonzero(row).tolist()) for row in lacking]


def _chunks(
    work: Sequence[tuple[_Level, frozenset[int]]], size: int
) -> Iterator[tuple[list[_Level], frozenset[int]]]:
    """Levels that go at once: neighbours that lack the same questions."""
    for questions, group in itertools.groupby(work, key=lambda one: one[1]):
        members = [level for level, _ in group]
        for begin in range(0, len(members) if questions else 0, size):
            yield members[begin : begin + size], questions


def _stack(levels: Sequence[_Level], model: Model) -> Leaves:
    """The leaves of a level, or path by path those of several, on a new axis 0."""
    paths = model.prunable(levels[0].pruned.recipe.prunable)
    if len(levels) == 1:
        return levels[0].leaves(model, paths)
    return {
        path: jnp.stack([level.leaves(model, [path])[path] for level in levels])
        for path in paths
    }


def _points(
    pruned: Sequence[Pruned],
    prepared: Prepared,
    model: Model,
    levels: Sequence[_Level],
    journal: Journal,
    scorer: Scorer,
    of_dense: tuple[float, float],
) -> Iterator[Point]:
    setup = Setup(model.name, model.family, model.dtype, prepared.presentation)
    truncated, work = prepared.truncated, workload(scorer, prepared)
    dense, *rest = [
        recall(journal, level.conditions(model, prepared.presentation), prepared)
        for level in levels
    ]
    remaining = iter(rest)

    def point(
        recipe: Recipe,
        sparsity: float,
        achieved: tuple[float, float],
        answers: Answers,
        matrices: tuple[MatrixSparsity, ...] = (),
    ) -> Point:
        return Point(
            curve=Curve(setup, recipe),
            digest=model.digest,
            sparsity=sparsity,
            achieved_sparsity=achieved[0],
            total_sparsity=achieved[1],
            answers=answers,
            option_tokens=prepared.option_tokens,
            truncated=truncated,
            accuracies=tuple(accuracies(answers, dense, truncated)),
            matrices=matrices,
            workload=work,
        )

    for one in pruned:
        yield point(one.recipe, 0.0, of_dense, dense)
        for sparsity, achieved, matrices in zip(
            one.sparsities, one.achieved, one.matrices, strict=True
        ):
            yield point(one.recipe, sparsity, achieved, next(remaining), matrices)
