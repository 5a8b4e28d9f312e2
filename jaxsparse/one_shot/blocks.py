"""Pruning block by block: the statistics of a block's inputs, then its masks and new
values, or what is kept fitted as a whole, then the block again as it has become.

    sequential   rows ─▶ block 0 ─▶ pruned ─▶ rows′ ─▶ block 1 ─▶ pruned ─▶ rows″ …
                 what a block sees has come through all that was pruned before it
    dense        every block sees what the dense model gives it

Source: Frantar & Alistarh (2023), section 3; Sun et al. (2024), section 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from jaxsparse.calibration import DenseStatistics, Stage, Walk
from jaxsparse.model import Model
from jaxsparse.one_shot.leaves import PrunedLeaves
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import (
    NONE,
    MatrixSparsity,
    Recipe,
    Solution,
    Statistics,
    prune_matrix,
)
from jaxsparse.variants import bias_of, weights_of

Mask = Bool[np.ndarray, "in out"]


@dataclass(frozen=True)
class Task:
    """What is pruned of a model, by which recipe, and how much of each matrix; a
    matrix is called by path and layer (0 of a leaf without layers)."""

    model: Model
    recipe: Recipe
    sparsity: float
    sparsity_of: Callable[[str, int], float]
    mask_of: Callable[[str, int], Mask | None]  # where it is decided already

    @property
    def needs(self) -> tuple[str, ...]:
        """The statistics that are wanted block by block."""
        update = self.recipe.update
        if self.recipe.masks_nest:
            return update.needs if update else ()
        return self.recipe.needs


def prune_blocks(
    task: Task,
    leaves: PrunedLeaves,
    new_walk: Callable[[], Walk],
    dense: DenseStatistics | None = None,
    progress: Progress = NOBODY,
) -> None:
    """Prunes the blocks that `leaves` does not hold yet.

    Args:
        new_walk: makes one of the calibration rows, at its beginning.
        dense: the statistics, where they are those of the dense model; then no rows
            walk through what is pruned, and none at all unless blocks are fitted.

    Raises:
        InputError: what cannot be pruned so, with the name of the matrix.
    """
    walk = new_walk()
    # The rows as the dense model has them, for what blocks are fitted to.
    dense_walk = walk if dense or not task.recipe.fits_blocks else new_walk()
    known, total = leaves.blocks, len(walk.stages)
    name = f"{task.recipe.method} {task.sparsity:g} · pruning"
    progress.stage(name, total, known, unit="blocks", patient=True)
    for number, stage in enumerate(walk.stages):
        if number >= known:
            gathered = _known(task, walk, stage, dense)
            matrices = _prune_block(task, leaves, stage, gathered)
            if task.recipe.fits_blocks:
                pruned = _changed(leaves, stage)
                for path, values in walk.fitted(stage, pruned, dense_walk).items():
                    pruned[path][...] = values
            leaves.block_done(matrices)
            progress.done(1)
        if number + 1 < total:
            if dense is None:
                walk.advance(stage, _changed(leaves, stage))
            if task.recipe.fits_blocks:
                dense_walk.advance(stage)


def _known(
    task: Task, walk: Walk, stage: Stage, dense: DenseStatistics | None
) -> Mapping[str, Statistics]:
    """What is known of each matrix of a block."""
    if dense:
        return {path: dense.of(path, stage.layer or 0) for path in stage.paths}
    if not task.needs:
        return dict.fromkeys(stage.paths, NONE)
    return walk.statistics(stage, task.needs)


def _prune_block(
    task: Task,
    leaves: PrunedLeaves,
    stage: Stage,
    gathered: Mapping[str, Statistics],
) -> list[MatrixSparsity]:
    layer, matrices = stage.layer or 0, []
    for path in stage.paths:
        solution = prune_matrix(
            task.recipe,
            weights_of(task.model, path, layer),
            gathered[path],
            task.sparsity_of(path, layer),
            path,
            layer,
            task.mask_of(path, layer),
        )
        _write(task.model, leaves, path, layer, solution)
        mask = np.asarray(solution.mask)
        pruned = mask.size - int(np.count_nonzero(mask))
        raised = solution.damping_raised
        matrices.append(
            MatrixSparsity(path, layer, mask.size, pruned, damping_raised=raised)
        )
    return matrices


def _write(
    model: Model, leaves: PrunedLeaves, path: str, layer: int, solution: Solution
) -> None:
    leaves.layer(path, layer)[...] = np.asarray(solution.values)
    if solution.bias is not None:
        before = weights_of(model, bias_of(path), layer)
        leaves.layer(bias_of(path), layer)[...] = before + np.asarray(solution.bias)


def _changed(leaves: PrunedLeaves, stage: Stage) -> dict[str, np.ndarray]:
    """The leaves of a block that hold new values."""
    layer = stage.layer or 0
    own = [*stage.paths, *map(bias_of, stage.paths)]
    return {path: leaves.layer(path, layer) for path in own if path in leaves}
