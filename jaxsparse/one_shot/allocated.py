"""The sparsity of each matrix of a model, by a recipe's allocation."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from jaxsparse import pruning, trees
from jaxsparse.calibration import DenseStatistics, Stage
from jaxsparse.model import Model
from jaxsparse.progress import Progress
from jaxsparse.pruning import Place, Recipe
from jaxsparse.pruning.scores import wanda
from jaxsparse.variants import weights_of


def sparsities_of(
    model: Model,
    recipe: Recipe,
    ascending: Sequence[float],
    calibrated: Callable[[], tuple[Sequence[Stage], DenseStatistics]],
    progress: Progress,
) -> dict[Place, list[float]]:
    """Those of each matrix, one for each of the model's.

    Args:
        ascending: those of the model.
        calibrated: the model's stages, and squares of their inputs, for owl.
        progress: is told what owl had to change.
    """
    leaves = {path: model.params[path] for path in model.prunable(recipe.prunable)}
    if recipe.allocation == "erk":
        shapes = {path: leaf.shape for path, leaf in leaves.items()}
        return pruning.erk_sparsities(shapes, ascending)
    sparsities = {
        place: list(ascending)
        for path, leaf in leaves.items()
        for place in trees.places(path, leaf)
    }
    if recipe.allocation == "owl":
        stages, known = calibrated()
        sparsities |= _by_outliers(model, stages, known, ascending, progress)
    return sparsities


def _by_outliers(
    model: Model,
    stages: Sequence[Stage],
    known: DenseStatistics,
    ascending: Sequence[float],
    progress: Progress,
) -> dict[Place, list[float]]:
    """Those of the matrices of blocks, by the blocks' shares of outliers."""

    def scores(path: str, layer: int) -> Float32[np.ndarray, "in out"]:
        weights = weights_of(model, path, layer)
        return wanda(weights, known.of(path, layer), np.random.default_rng(0))

    blocks = [
        [(path, stage.layer) for path in stage.paths]
        for stage in stages
        if stage.layer is not None
    ]
    return pruning.owl_sparsities(blocks, scores, ascending, progress.note)
