"""One-shot pruning of one model by any recipe.

masks that nest   scores that no pruning changes: one order of the weights decides
                  the masks of all sparsities, and no new values are made
block by block    scores or values that depend on what was pruned before: each
                  sparsity by itself
smaller           units or layers that are removed, see `smaller`
"""

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool, UInt8

from jaxsparse import hosts, parallel, pruning, smaller, trees, variants
from jaxsparse.calibration import (
    Calibration,
    DenseStatistics,
    Walk,
    dense_statistics,
)
from jaxsparse.model import Model
from jaxsparse.one_shot.allocated import sparsities_of
from jaxsparse.one_shot.blocks import Task, prune_blocks
from jaxsparse.one_shot.checks import check_recipe
from jaxsparse.one_shot.leaves import PrunedLeaves
from jaxsparse.one_shot.reconstruction import with_errors
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Place, Recipe
from jaxsparse.types import InputError
from jaxsparse.variants import Variant, bias_of

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
        self._statistics: dict[tuple[str, frozenset[str]], DenseStatistics] = {}
        self._expected: Sequence[Recipe] = ()
        self._leaves: dict[tuple[Recipe, float], PrunedLeaves] = {}
        self._influences: smaller.Influences | None = None

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
                finite; a sparsity that is no fraction, or at which no unit is left.
        """
        recipe.check()
        shapes = {path: leaf.shape for path, leaf in self.model.params.items()}
        ascending = _ascending(recipe, sparsities)
        check_recipe(self.model.blueprint, recipe, shapes, ascending)
        if not ascending:
            return ()
        variants.check_dense(self.model)
        if recipe.structured:
            return self._smaller(recipe, ascending)
        allocated = sparsities_of(
            self.model,
            recipe,
            ascending,
            lambda: (self._walk(recipe).stages, self._dense(recipe)),
            self._progress,
        )
        nested = self._nested(recipe, allocated) if recipe.masks_nest else None
        if nested is None or _is_blockwise(recipe):
            return tuple(
                self._blockwise(recipe, sparsity, index, allocated, nested)
                for index, sparsity in enumerate(ascending)
            )
        rows = self.calibration.digest if recipe.calibrated else None
        return tuple(
            variants.masked(self.model, recipe, sparsity, nested, index, rows)
            for index, sparsity in enumerate(ascending)
        )

    def expect(self, recipes: Sequence[Recipe], sparsities: Sequence[float]) -> None:
        """Before any work: what `variants` will be asked for, so that statistics are
        gathered for all at once, and the disk is known to hold all new values.

        Raises:
            InputError: the disk cannot hold them.
        """
        self._expected = tuple(recipes)
        if self._directory is None or hosts.several():
            return
        wanted = [
            leaves.bytes
            for recipe in filter(_is_blockwise, recipes)
            for sparsity in _ascending(recipe, sparsities)
            if not self._is_pruned(leaves := self._leaves_of(recipe, sparsity), recipe)
        ]
        free = shutil.disk_usage(self._directory).free
        if sum(wanted) > free:
            raise InputError(
                f"{self._directory}: {len(wanted)} models that are pruned block by "
                f"block take {sum(wanted) / 1e9:.1f} GB until they are scored, and "
                f"{free / 1e9:.1f} GB are free; make room, or ask for fewer methods or "
                "sparsities at once: the next run goes on in the same `out`"
            )

    def measured(self, pruned: Sequence[Variant]) -> list[Variant]:
        """The same variants with errors of reconstruction, where there are rows of
        calibration to measure them on, and matrices of the dense shapes."""
        of_dense_shapes = [v for v in pruned if not v.recipe.structured]
        if self._calibration is None or not of_dense_shapes:
            return list(pruned)
        known = iter(
            with_errors(
                self.model,
                self._calibration,
                of_dense_shapes,
                self._directory,
                self._progress,
            )
        )
        return [v if v.recipe.structured else next(known) for v in pruned]

    def forget(self) -> None:
        """Takes away the files of new weights; those who ask again make them again."""
        for leaves in self._leaves.values():
            leaves.forget()

    def _smaller(
        self, recipe: Recipe, ascending: Sequence[float]
    ) -> tuple[Variant, ...]:
        model, rows = self.model, None
        if recipe.calibrated:
            rows = self.calibration.digest
        if recipe.pattern != pruning.LAYERS:
            known = self._dense(recipe).of if recipe.needs else None
            return smaller.with_fewer_units(
                model, recipe, ascending, known, rows, self._progress
            )
        if self._influences is None:
            self._influences = smaller.block_influences(
                model, self.calibration, self._directory, self._progress
            )
        return smaller.with_fewer_layers(
            model, recipe, ascending, self._influences, rows
        )

    def _dense(self, recipe: Recipe) -> DenseStatistics:
        """What the recipe must know of the dense model; and what is to come must."""
        alike = [r for r in self._expected if r.prunable == recipe.prunable]
        needs = frozenset().union(*(r.dense_needs for r in (recipe, *alike)))
        if (key := (recipe.prunable, needs)) not in self._statistics:
            self._statistics[key] = dense_statistics(
                self.model,
                self.calibration,
                recipe.prunable,
                needs,
                self._directory,
                self._progress,
            )
        return self._statistics[key]

    def _walk(self, recipe: Recipe) -> Walk:
        prunable, fits = recipe.prunable, recipe.fits_blocks
        return Walk(self.model, self.calibration, prunable, fits_blocks=fits)

    def _is_pruned(self, leaves: PrunedLeaves, recipe: Recipe) -> bool:
        """All blocks, though their values may be gone since."""
        number = variants.matrix_count(self.model, recipe.prunable)
        return len(leaves.matrices) >= number

    def _nested(self, recipe: Recipe, allocated: Mapping[Place, list[float]]) -> Nested:
        """Unless weights of different leaves compete, leaf by leaf, so that the host
        never holds the scores of the whole model."""
        model, progress = self.model, self._progress
        number = variants.matrix_count(model, recipe.prunable)
        name = f"{recipe.method} · pruning"
        progress.stage(name, number, unit="matrices", patient=True)
        needs = recipe.criterion.needs
        known = {"statistics": self._dense(recipe).of} if needs else {}
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

        model = self.model
        task = Task(model, recipe, sparsity, sparsity_of, mask_of)
        leaves = self._leaves_of(recipe, sparsity)

        def values() -> PrunedLeaves:
            if not leaves.hold_values:
                leaves.open()
                make()
            return leaves

        def make() -> None:
            dense = None
            if recipe.statistics == "dense":
                dense = self._dense(recipe)
            walk = functools.partial(self._walk, recipe)
            prune_blocks(task, leaves, walk, dense, self._progress)

        def leaf(path: str) -> jax.Array:
            placed = parallel.place_like(model.params[path], values().leaf(path))
            return placed if isinstance(placed, jax.Array) else jax.device_put(placed)

        def layer(path: str, number: int) -> variants.Layer:
            return values().layer(path, number).astype(np.float32)

        if not self._is_pruned(leaves, recipe):
            if not leaves.hold_values:
                leaves.open()
            make()
        return variants.pruned(
            model,
            recipe,
            sparsity,
            leaves.identity,
            leaves.shapes,
            leaf,
            layer,
            leaves.matrices,
        )

    def _leaves_of(self, recipe: Recipe, sparsity: float) -> PrunedLeaves:
        """Those that hold the new values, with what files have of them; read once."""
        if (recipe, sparsity) not in self._leaves:
            rows = self.calibration.digest
            identity = variants.identity(self.model, recipe, sparsity, rows)
            directory = None if hosts.several() else self._directory
            self._leaves[recipe, sparsity] = PrunedLeaves(
                _changed_shapes(self.model, recipe),
                identity,
                directory and directory / "pruned",
            )
        return self._leaves[recipe, sparsity]


def _is_blockwise(recipe: Recipe) -> bool:
    if recipe.structured:
        return False
    return not recipe.masks_nest or recipe.update is not None


def _ascending(recipe: Recipe, sparsities: Sequence[float]) -> list[float]:
    """Those above 0, each once, or the pattern's own."""
    if recipe.own_sparsity is not None:
        return [recipe.own_sparsity]
    return sorted({float(sparsity) for sparsity in sparsities} - {0.0})


def _paths(model: Model, recipe: Recipe) -> tuple[str, ...]:
    return model.prunable(recipe.prunable)


def _changed_shapes(model: Model, recipe: Recipe) -> dict[str, jax.ShapeDtypeStruct]:
    paths = _paths(model, recipe)
    if recipe.update and recipe.update.moves_biases:
        paths = (*paths, *map(bias_of, paths))
    return variants.shapes_of({path: model.params[path] for path in sorted(paths)})
