"""What training comes to: a variant whose leaves are the best that were kept."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse import parallel, pruning, trees, variants
from jaxsparse.calibration import Calibration
from jaxsparse.finetuning.kept import Kept
from jaxsparse.finetuning.trained import Masks
from jaxsparse.model import Model
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import MatrixSparsity
from jaxsparse.training.training import Training
from jaxsparse.types import Leaves
from jaxsparse.variants import Layer, Variant


def shapes_of(variant: Variant) -> dict[str, tuple[int, ...]]:
    """Of all leaves."""
    leaves = {**variant.model.params, **variant.shapes}
    return {path: tuple(leaf.shape) for path, leaf in leaves.items()}


def trained_variant(
    start: Variant,
    target: Variant,
    training: Training,
    kept: Kept,
    learned: Mapping[str, Any],
) -> Variant:
    """A variant of the leaves that were kept.

    Args:
        start: what was trained; gives function and shapes.
        target: what it was to become; gives recipe and sparsity.
        learned: what decided the training, as JSON.
    """
    model = start.model
    dtype = np.dtype(model.dtype)

    def leaf(path: str) -> jax.Array:
        return parallel.place_leaf(model.mesh, path, kept.leaf(path).astype(dtype))

    def layer(path: str, number: int) -> Layer:
        return kept.layer(path, number).astype(dtype).astype(np.float32)

    found = replace(
        target,
        model=model,
        # Errors of reconstruction were those of the weights before training.
        matrices=tuple(replace(matrix, error=None) for matrix in target.matrices),
        identity={**learned, "trained_weights": kept.measured["digest"]},
        shapes={
            path: jax.ShapeDtypeStruct(shape, dtype)
            for path, shape in shapes_of(start).items()
        },
        leaf=leaf,
        layer=layer,
        nested=None,
        training=training,
        training_seconds=kept.measured["seconds"],
    )
    return _counted(found) if training.schedule == "gradual" else found


def _counted(variant: Variant) -> Variant:
    """The variant with its zeros counted, where masks were decided in training."""
    model = variant.model
    matrices = tuple(
        MatrixSparsity(path, layer, values.size, int(np.count_nonzero(values == 0)))
        for path in model.prunable(variant.recipe.prunable)
        for path, layer in trees.places(path, model.params[path])
        for values in (variant.layer(path, layer),)
    )
    pruned = sum(matrix.pruned for matrix in matrices)
    return replace(
        variant,
        matrices=matrices if variant.sparsity else (),
        achieved_sparsity=pruned / sum(matrix.weights for matrix in matrices),
        total_sparsity=pruned / trees.size(model.params),
    )


class Control:
    """A dense model that was trained, pruned afterwards at each sparsity: what training
    pruned models is compared with. One of them holds its weights once."""

    def __init__(self, trained: Variant):
        self._trained = trained
        self._pruners: dict[str | None, OneShot] = {}  # by calibration

    def pruned(self, target: Variant, calibration: Calibration | None) -> Variant:
        """As the target was."""
        trained = self._trained
        if not target.sparsity:
            return replace(trained, recipe=target.recipe)
        rows = calibration and calibration.digest
        if rows not in self._pruners:
            self._pruners[rows] = OneShot(self._model, calibration)
        (pruned,) = self._pruners[rows].variants(target.recipe, [target.sparsity])
        return replace(
            pruned, training=trained.training, training_seconds=trained.training_seconds
        )

    @functools.cached_property
    def _model(self) -> Model:
        trained = self._trained
        return replace(
            trained.model,
            params={**trained.model.params, **trained.leaves()},
            digest=variants.digest_of(trained.identity),
        )


@dataclass(frozen=True, eq=False)
class MaskDecision:
    """Masks of weights as they have become, by the target's recipe."""

    model: Model
    target: Variant
    calibration: Calibration | None

    def __call__(self, leaves: Leaves, sparsity: float) -> Masks:
        dtype = self.model.dtype
        params = {path: leaf.astype(dtype) for path, leaf in leaves.items()}
        pruner = OneShot(replace(self.model, params=params), self.calibration)
        (pruned,) = pruner.variants(self.target.recipe, [sparsity])
        if pruned.nested:
            return {
                path: jnp.asarray(pruning.mask_at(np.asarray(nested), pruned.level))
                for path, nested in pruned.nested.items()
            }
        return {path: jnp.asarray(pruned.leaf(path)) != 0 for path in pruned.shapes}
