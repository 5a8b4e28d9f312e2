"""One-shot pruning of one model by any recipe.

masks that nest   scores that no pruning changes: one order of the weights decides
                  the masks of all sparsities, and no new values are made
block by block    scores or values that depend on what was pruned before: each
                  sparsity by itself
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from jaxsparse import hosts, parallel, pruning, trees, variants
from jaxsparse.calibration import (
    Calibration,
    DenseStatistics,
    Walk,
    bundled,
    dense_statistics,
)
from jaxsparse.model import Model
from jaxsparse.one_shot.blocks import Task, prune_blocks
from jaxsparse.one_shot.checks import check_recipe
from jaxsparse.one_shot.leaves import PrunedLeaves
from jaxsparse.one_shot.reconstruction import with_errors
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Place, Recipe
from jaxsparse.pruning.scores import wanda
from jaxsparse.types import InputError
from jaxsparse.variants import Variant, bias_of, weights_of

Nested = Mapping[str, UInt8[np.ndarray, "..."]]


class OneShot:
    """Prunes one model; what calibration tells of the dense one is gathered once."""

    def __init__(
        self,
        model: Model,
        calibration: Calibration | None = None,
        directory: Path | None = None,
        progress: Progress = NOBODY,
    ):
        """
        Args:
            model: with a head of its own if that is prunable; see `prunable_model`.
            calibration: for recipes that are calibrated.
            directory: where statistics and new weights go; None: into memory.
            progress: is told how far things are.
        """
        self.model = model
        self._calibration = calibration
        self._directory = directory
        self._progress = progress
        self._statistics: dict[tuple[str, ...], DenseStatistics] = {}
        self._written: list[PrunedLeaves] = []

    @property
    def calibration(self) -> Calibration:
        if self._calibration is None:
            raise ValueError("a calibrated recipe takes a calibration")
        return self._calibration

    def variants(
        self, recipe: Recipe, sparsities: Sequence[float]
    ) -> tuple[Variant, ...]:
        """The model pruned by a recipe at each sparsity above 0, ascending.

        Args:
            sparsities: fractions; without meaning for a pattern N:M, which has one of
                its own.

        Raises:
            InputError: what the method does not define for such a model; inputs that
                a pattern N:M does not divide; statistics or scores that are not
                finite; a sparsity that is no fraction.
        """
        recipe.check()
        shapes = {path: leaf.shape for path, leaf in self.model.params.items()}
        check_recipe(self.model.blueprint, recipe, shapes)
        ascending = sorted(sparsity for sparsity in sparsities if sparsity)
        if recipe.own_sparsity is not None:
            ascending = [recipe.own_sparsity]
        if not ascending:
            return ()
        allocated = self._allocated(recipe, ascending)
        nested = self._nested(recipe, allocated) if recipe.masks_nest else None
        if nested is None or recipe.update:
            return tuple(
                self._blockwise(recipe, sparsity, index, allocated, nested)
                for index, sparsity in enumerate(ascending)
            )
        rows = self.calibration.digest if recipe.calibrated else None
        return tuple(
            variants.masked(self.model, recipe, sparsity, nested, index, rows)
            for index, sparsity in enumerate(ascending)
        )

    def measured(self, pruned: Sequence[Variant]) -> list[Variant]:
        """The same variants with errors of reconstruction, where there are rows of
        calibration to measure them on."""
        if self._calibration is None:
            return list(pruned)
        return with_errors(
            self.model, self._calibration, pruned, self._directory, self._progress
        )

    def forget(self) -> None:
        """Takes away the files of new weights; those who ask again make them again."""
        for leaves in self._written:
            leaves.forget()

    def _dense(self, recipe: Recipe, needs: Collection[str]) -> DenseStatistics:
        key = (recipe.prunable, *needs)
        if key not in self._statistics:
            self._statistics[key] = dense_statistics(
                self.model,
                self.calibration,
                recipe.prunable,
                needs,
                self._directory,
                self._progress,
            )
        return self._statistics[key]

    def _allocated(
        self, recipe: Recipe, ascending: Sequence[float]
    ) -> dict[Place, list[float]]:
        """The sparsities of each matrix."""
        leaves = {path: self.model.params[path] for path in _paths(self.model, recipe)}
        shapes = {path: leaf.shape for path, leaf in leaves.items()}
        if recipe.allocation == "erk":
            return pruning.erk_sparsities(shapes, ascending)
        uniform = {
            place: list(ascending)
            for path, leaf in leaves.items()
            for place in trees.places(path, leaf)
        }
        if recipe.allocation == "owl":
            return uniform | self._owl(recipe, ascending)
        return uniform

    def _owl(
        self, recipe: Recipe, ascending: Sequence[float]
    ) -> dict[Place, list[float]]:
        """Those of the matrices of blocks, by the blocks' shares of outliers."""
        known = self._dense(recipe, ["squares"])

        def scores(path: str, layer: int) -> Float32[np.ndarray, "in out"]:
            weights = weights_of(self.model, path, layer)
            return wanda(weights, known.of(path, layer), np.random.default_rng(0))

        blocks = [
            [(path, stage.layer) for path in stage.paths]
            for stage in Walk(self.model, self.calibration, recipe.prunable).stages
            if stage.layer is not None
        ]
        return pruning.owl_sparsities(blocks, scores, ascending, self._progress.note)

    def _nested(self, recipe: Recipe, allocated: Mapping[Place, list[float]]) -> Nested:
        """Unless weights of different leaves compete, leaf by leaf, so that the host
        never holds the scores of the whole model."""
        model, progress = self.model, self._progress
        number = variants.matrix_count(model, recipe.prunable)
        name = f"{recipe.method} · pruning"
        progress.stage(name, number, unit="matrices", patient=True)
        needs = recipe.criterion.needs
        known = {"statistics": self._dense(recipe, needs).of} if needs else {}
        paths, nested = _paths(model, recipe), {}
        together = [paths] if recipe.scope == "global" else [(path,) for path in paths]
        for portion in together:
            scores = {}
            for path in portion:
                leaf = {path: hosts.gathered(model.params[path])}
                scores |= pruning.scores(leaf, recipe.method, seed=recipe.seed, **known)
            nested |= pruning.nested_masks(
                scores, allocated, recipe.scope, recipe.pattern, progress.done
            )
        return nested

    def _blockwise(
        self,
        recipe: Recipe,
        sparsity: float,
        index: int,
        allocated: Mapping[Place, list[float]],
        nested: Nested | None,
    ) -> Variant:
        """The model at one of the sparsities, pruned now unless files have it."""

        def mask_of(path: str, layer: int) -> Bool[np.ndarray, "in out"] | None:
            if nested is None:
                return None
            return pruning.mask_at(trees.layer_of(path, nested[path], layer), index)

        def sparsity_of(path: str, layer: int) -> float:
            return allocated[path, layer][index]

        model, calibration = self.model, self.calibration
        task = Task(model, recipe, sparsity, sparsity_of, mask_of)
        shapes = _changed_shapes(model, recipe)
        identity = variants.identity(model, recipe, sparsity, calibration.digest)
        directory = None if hosts.several() else self._directory
        leaves = PrunedLeaves(shapes, identity, directory and directory / "pruned")
        self._written.append(leaves)

        def values() -> PrunedLeaves:
            if not leaves.hold_values:
                leaves.open()
                make()
            return leaves

        def make() -> None:
            dense = None
            if recipe.statistics == "dense":
                dense = self._dense(recipe, task.needs)
            walk = Walk(model, calibration, recipe.prunable)
            prune_blocks(task, leaves, walk, dense, self._progress)

        def leaf(path: str) -> jax.Array:
            like = model.params[path]
            return jax.device_put(parallel.place_like(like, values().leaf(path)))

        def layer(path: str, number: int) -> variants.Layer:
            return values().layer(path, number).astype(np.float32)

        if len(leaves.matrices) < variants.matrix_count(model, recipe.prunable):
            if not leaves.hold_values:
                leaves.open()
            make()
        return variants.pruned(
            model, recipe, sparsity, identity, shapes, leaf, layer, leaves.matrices
        )


def prune(
    model: Model,
    method: str = "magnitude",
    sparsity: float | None = None,
    *,
    scope: str = "",
    prunable: str = "blocks",
    pattern: str = pruning.UNSTRUCTURED,
    seed: int = 0,
    allocation: str = "uniform",
    statistics: str = "",
    calibration: Calibration | None = None,
    progress: Progress = NOBODY,
) -> Variant:
    """Prunes a model at one sparsity.

    Args:
        method: `criterion[+update]`, of `pruning.METHODS` and `pruning.UPDATES`, or
            FILE.py:NAME for a criterion of one's own.
        sparsity: the fraction of the prunable weights to zero; at 0 the dense model.
            By default 0.5, or that of a pattern N:M, which takes no other.
        scope: the weights that compete: matrix, output or global; or the method's own.
        prunable: blocks, linear or all.
        pattern: unstructured, or N:M: at most N of M consecutive inputs are kept.
        seed: of methods that draw random numbers, and of the default calibration.
        allocation: the same for every matrix, uniform; or erk or owl.
        statistics: sequential or dense; or the method's own.
        calibration: the rows that methods with statistics are told by, as
            `jaxsparse.calibrate` makes them; None: windows of the bundled stories.

    Raises:
        InputError: what the method does not define; a sparsity that is no fraction, or
            not that of the pattern; inputs that the pattern does not divide.
    """
    recipe = Recipe(method, scope, prunable, pattern, seed, allocation, statistics)
    recipe.check()
    own = recipe.own_sparsity
    if own is not None and sparsity not in (None, own):
        raise InputError(
            f"`sparsity={sparsity}`: `pattern={pattern}` has {own:g} of its own; leave "
            "sparsity out"
        )
    if sparsity is None:
        sparsity = 0.5 if own is None else own
    if not sparsity:
        return variants.dense(model, recipe)
    model = variants.prunable_model(model, prunable)
    if calibration is None and recipe.calibrated:
        calibration = bundled(model, seed=seed)
    pruner = OneShot(model, calibration, progress=progress)
    (variant,) = pruner.measured(pruner.variants(recipe, [sparsity]))
    return variant


def _paths(model: Model, recipe: Recipe) -> tuple[str, ...]:
    return model.prunable(recipe.prunable)


def _changed_shapes(model: Model, recipe: Recipe) -> dict[str, jax.ShapeDtypeStruct]:
    paths = _paths(model, recipe)
    if recipe.update and recipe.update.moves_biases:
        paths = (*paths, *map(bias_of, paths))
    return variants.shapes_of({path: model.params[path] for path in sorted(paths)})
