"""A model of smaller arrays, and a variant of it, whatever it has lost."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int64

from jaxsparse import hosts, parallel, pruning, trees, variants
from jaxsparse.model import Model
from jaxsparse.models import Size
from jaxsparse.models.apply import make_apply
from jaxsparse.pruning import MatrixSparsity, Place, Recipe
from jaxsparse.variants import Layer, Variant
from jaxsparse.weights import rules

# Variants of one configuration share what is compiled for them.
_apply = functools.lru_cache(maxsize=64)(make_apply)

# Of each prunable leaf, how many weights of each unit are zero in the dense model; of
# one that no unit is a part of, all in one column.
Zeros = Mapping[str, Int64[np.ndarray, "layer unit"]]


def smaller_model(
    model: Model,
    sizes: Mapping[Size, int],
    kept: Mapping[str, Sequence[int]] | None = None,
) -> Model:
    """A model whose configuration, function and files are of other sizes. Its `params`
    are the dense ones: a variant's own leaves replace those that shrink.

    Args:
        sizes: those that change.
        kept: path of a stack -> which of its layers are left, where some are not.
    """
    blueprint = model.blueprint
    family, checkpoint = blueprint.family, blueprint.checkpoint
    fields = {size.field: number for size, number in sizes.items()}
    values: dict[str, Any] = {size.key: number for size, number in sizes.items()}
    for stack, key in family.structure(blueprint.config).listed.items():
        if kept and checkpoint.config.get(key):
            values[key] = [checkpoint.config[key][number] for number in kept[stack]]
    config = dataclasses.replace(blueprint.config, **fields)
    smaller = dataclasses.replace(
        blueprint,
        config=config,
        checkpoint=dataclasses.replace(
            checkpoint, config={**checkpoint.config, **values}
        ),
        plan=rules.of_other_shapes(blueprint.plan, family.shapes(config), kept or {}),
    )
    apply = _apply(family, config, model.dtype, model.form)
    return dataclasses.replace(model, blueprint=smaller, apply=apply)


def smaller_variant(
    dense: Model,
    model: Model,
    recipe: Recipe,
    sparsity: float,
    achieved: float,
    calibration: str | None,
    changed: Sequence[str],
    layer: Callable[[str, int], Layer],
    matrices: Sequence[MatrixSparsity],
) -> Variant:
    """A variant from what is left of each leaf.

    Args:
        model: as `smaller_model` makes it of the dense one.
        achieved: the fraction of the units, or layers, that are gone.
        calibration: the digest of the rows that told which, if some did.
        changed: paths of the leaves that differ.
        layer: one layer of them, by its new number; float32.
        matrices: what is gone or zero of every prunable one.
    """
    plan, dtype = model.blueprint.plan, np.dtype(dense.dtype)
    shapes = {path: jax.ShapeDtypeStruct(plan.shapes[path], dtype) for path in changed}

    def leaf(path: str) -> jax.Array:
        whole = np.empty(shapes[path].shape, dtype)
        if trees.layer_of(path, whole, 0) is whole:
            whole[...] = layer(path, 0)
        else:
            for number, slot in enumerate(whole):
                slot[...] = layer(path, number)
        return parallel.place_leaf(dense.mesh, path, whole)

    prunable = dense.prunable(recipe.prunable)
    gone = sum(matrix.pruned for matrix in matrices)
    gone += sum(
        dense.params[path].size - math.prod(shape.shape)
        for path, shape in shapes.items()
        if path not in prunable
    )
    return Variant(
        model=model,
        recipe=recipe,
        sparsity=sparsity,
        achieved_sparsity=achieved,
        total_sparsity=gone / trees.size(dense.params),
        identity=variants.identity(dense, recipe, sparsity, calibration),
        shapes=shapes,
        leaf=leaf,
        layer=layer,
        matrices=tuple(matrices),
    )


def zeros_of(
    model: Model, recipe: Recipe, units: Mapping[str, tuple[int, int]]
) -> Zeros:
    """The zeros of every prunable matrix, one leaf on the host at a time.

    Args:
        units: path of a kernel -> the axis on which its units lie, and their number.
    """
    found = {}
    for path in model.prunable(recipe.prunable):
        axis, number = units.get(path, (-1, 1))
        zero = hosts.gathered(model.params[path]) == 0
        found[path] = pruning.by_unit(zero, axis, number).sum(axis=1, dtype=np.int64)
    return found


def matrices_left(
    dense: Model, zeros: Zeros, left: Callable[[Place], Sequence[int] | np.ndarray]
) -> list[MatrixSparsity]:
    """What is gone, or zero, of each prunable matrix of the dense model.

    Args:
        left: the columns of a matrix's zeros that are left.
    """
    found = []
    for path, of_path in zeros.items():
        weights = math.prod(dense.params[path].shape[-2:])
        for layer, of_units in enumerate(of_path):
            units = np.asarray(left((path, layer)), np.int64)
            kept = weights // len(of_units) * len(units) - int(of_units[units].sum())
            found.append(MatrixSparsity(path, layer, weights, weights - kept))
    return found
