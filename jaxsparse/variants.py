"""Variants: what a pruned, updated, fine-tuned or smaller model is to the rest of the
house. A sweep, a report, an export and a benchmark take variants and never ask which
kind they are.
"""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from jaxsparse import hosts, parallel, pruning, sparse, trees
from jaxsparse.model import Model, save_leaves, untie
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.training.training import Training
from jaxsparse.types import Array, InputError, Leaves
from jaxsparse.weights.writing import Sizes

Layer = Float32[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Variant:
    """A changed model. Its leaves are made when asked for and not kept, so that no two
    variants need be in memory at once.

    `model` is the one whose `apply`, configuration and other leaves it has: the dense
    model, or where shapes or execution differ, one of its own. Variants whose models
    share `apply` and whose leaves share shapes share what is compiled. Questions are
    encoded once, for the dense model: tokens and positions are the same for all.
    """

    model: Model
    recipe: Recipe
    sparsity: float  # as requested
    achieved_sparsity: float  # of the prunable set; of smaller shapes, of the units
    total_sparsity: float  # of all the dense model's parameters: zero, or removed
    identity: Mapping[str, Any]  # JSON; decides its scores: the journal's key
    shapes: Mapping[str, jax.ShapeDtypeStruct]  # of the leaves that may differ
    # Makes the leaf at one of these paths: an array, or a SparseKernel.
    leaf: Callable[[str], Any]
    layer: Callable[[str, int], Layer]  # or one layer of it, on the host
    matrices: tuple[MatrixSparsity, ...] = ()  # the pruned ones
    training: Training | None = None  # None of one-shot
    training_seconds: float | None = None
    execution: str = "dense"  # how its linears are computed
    # Where masks nest: at how many of the sparsities each weight is kept, and the
    # number of this one.
    nested: Mapping[str, UInt8[np.ndarray, "..."]] | None = None
    level: int = 0

    @property
    def finetuned(self) -> bool:
        return self.training is not None

    @property
    def name(self) -> str:
        trained = f"fine-tuned, seed {self.training.seed}" if self.training else ""
        if not self.sparsity:
            return trained or "dense"
        of_pattern = self.recipe.own_sparsity is not None
        amount = self.recipe.pattern if of_pattern else f"{self.sparsity:g}"
        pruned = f"{self.recipe.title} {amount}"
        return f"{pruned}, {trained}" if trained else pruned

    @property
    def parameters(self) -> int:
        """Their number, zeros included; an exact host integer."""
        leaves = {**self.model.params, **self.shapes}
        return sum(math.prod(leaf.shape) for leaf in leaves.values())

    @property
    def bytes(self) -> int:
        """That its parameters take as they are loaded."""
        return self.parameters * np.dtype(self.model.dtype).itemsize

    def leaves(self) -> Leaves:
        """All that may differ from the model's."""
        return {path: self.leaf(path) for path in self.shapes}


def weights_of(model: Model, path: str, layer: int) -> Layer:
    """One layer of a leaf of a model, on the host."""
    check_dense(model)
    part = trees.layer_of(path, model.params[path], layer)
    return hosts.gathered(part).astype(np.float32, copy=False)


def check_dense(model: Model) -> None:
    """Raises InputError for a model that was loaded to be executed sparsely: what it
    holds cannot be pruned or written."""
    if model.execution != "dense":
        raise InputError(
            f"{model.name} was loaded with `execution={model.execution}`, which keeps "
            "no dense weights to prune or to write; load it with `execution=dense`"
        )


def bias_of(path: str) -> str:
    """The path of the bias that is added to a kernel's outputs."""
    return f"{path.removesuffix('kernel')}bias"


def shapes_of(leaves: Leaves) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in leaves.items()
    }


def dense(model: Model, recipe: Recipe) -> Variant:
    """The unpruned model, as the point at sparsity 0 of a recipe's curve."""
    paths = model.prunable(recipe.prunable)
    zeros = sum(_zeros(model.params[path]) for path in paths)
    return Variant(
        model=model,
        recipe=recipe,
        sparsity=0.0,
        achieved_sparsity=zeros / sum(model.params[path].size for path in paths),
        total_sparsity=zeros / trees.size(model.params),
        identity=identity(model),
        shapes=shapes_of({path: model.params[path] for path in paths}),
        leaf=model.params.__getitem__,
        layer=functools.partial(weights_of, model),
        execution=model.execution,
    )


def masked(
    model: Model,
    recipe: Recipe,
    sparsity: float,
    nested: Mapping[str, UInt8[np.ndarray, "..."]],
    index: int,
    calibration: str | None = None,
) -> Variant:
    """A model pruned by masks: at one of the sparsities that `nested` holds.

    Args:
        calibration: the digest of the rows that told the scores, if some did.
    """
    matrices = tuple(
        MatrixSparsity(
            path,
            layer,
            matrix.size,
            matrix.size - int(np.count_nonzero(pruning.mask_at(matrix, index))),
        )
        for path, leaf in nested.items()
        for layer, matrix in enumerate(trees.matrices(leaf))
    )

    def leaf(path: str) -> jax.Array:
        # Leaf by leaf, so that masks of the whole model are never on the device. Each
        # stays in the shards of the dense one.
        values = model.params[path]
        return _masked_leaf(values, parallel.place_like(values, nested[path]), index)

    def layer(path: str, number: int) -> Layer:
        mask = pruning.mask_at(trees.layer_of(path, nested[path], number), index)
        return np.where(mask, weights_of(model, path, number), np.float32(0))

    shapes = shapes_of({path: model.params[path] for path in nested})
    own = identity(model, recipe, sparsity, calibration)
    made = pruned(model, recipe, sparsity, own, shapes, leaf, layer, matrices)
    return replace(made, nested=nested, level=index)


def pruned(
    model: Model,
    recipe: Recipe,
    sparsity: float,
    identity: Mapping[str, Any],
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    leaf: Callable[[str], jax.Array],
    layer: Callable[[str, int], Layer],
    matrices: Sequence[MatrixSparsity],
) -> Variant:
    """A variant from what was pruned of each matrix."""
    number = sum(matrix.pruned for matrix in matrices)
    return Variant(
        model=model,
        recipe=recipe,
        sparsity=sparsity,
        achieved_sparsity=number / sum(matrix.weights for matrix in matrices),
        total_sparsity=number / trees.size(model.params),
        identity=identity,
        shapes=shapes,
        leaf=leaf,
        layer=layer,
        matrices=tuple(matrices),
    )


@jax.jit
def _masked_leaf(
    leaf: Float[Array, "..."], nested: UInt8[Array, "..."], index: Int[Array, ""]
) -> Float[Array, "..."]:
    masks = {"": pruning.mask_at(nested, index)}
    return pruning.apply_masks({"": leaf}, masks)[""]


def _zeros(leaf: Any) -> int:
    if isinstance(leaf, sparse.SparseKernel):
        return leaf.size - sparse.kept(leaf)
    return int(hosts.gathered(_zeros_by_row(leaf)).sum(dtype=np.int64))


@jax.jit
def _zeros_by_row(leaf: Float[Array, "..."]) -> Int[Array, "..."]:
    """By rows: a count of all of them need not fit into 32 bits."""
    return jnp.count_nonzero(leaf == 0, axis=-1)


def identity(
    model: Model,
    recipe: Recipe | None = None,
    sparsity: float = 0.0,
    calibration: str | None = None,
) -> dict[str, Any]:
    """What decides the scores of a pruned model; of a dense one, which no recipe made,
    the method is "dense" and the rest None. What older recipes did not have is left
    out where it says nothing, so that their keys stay.

    Args:
        calibration: the digest of its rows, if the recipe is calibrated.
    """
    newer = (
        {
            "allocation": recipe.allocation if recipe.allocation != "uniform" else None,
            "statistics": recipe.statistics,
            "source": recipe.source,
        }
        if recipe
        else {}
    )
    return {
        "weights": model.digest,
        "dtype": model.dtype,
        "method": recipe.method if recipe else "dense",
        "pattern": recipe.pattern if recipe else None,
        "scope": recipe.scope if recipe else None,
        "prunable": recipe.prunable if recipe else None,
        "sparsity": sparsity,
        "seed": recipe.seed if recipe else None,
        "calibration": calibration,
        "pruning_revision": pruning.REVISION if recipe else None,
        **{name: value for name, value in newer.items() if value},
        **sparse.identity(model.execution),
    }


def digest_of(identity: Mapping[str, Any]) -> str:
    """Names files of a variant."""
    content = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def prunable_model(model: Model, prunable: str) -> Model:
    """The model to prune: a tied head is untied where heads have masks of their own."""
    return model if prunable == "blocks" else untie(model)


def matrix_count(model: Model, prunable: str) -> int:
    """How many matrices the prunable leaves hold, layer by layer."""
    paths = model.prunable(prunable)
    return sum(math.prod(model.params[path].shape[:-2]) for path in paths)


def save(
    variant: Variant | Model,
    directory: str | Path,
    progress: Progress = NOBODY,
    beside: Callable[[Path], None] | None = None,
    format: str = "dense",
) -> Sizes:
    """Writes a directory that `load_model` reads, in the file's own dtypes.

    Args:
        directory: must not exist yet.
        beside: writes what else the directory shall hold into the one it is given.
        format: dense, which transformers loads; or bitmask, a bit for each weight and
            the values that are not zero, restored bit for bit.

    Returns:
        what the tensors take in either format.

    Raises:
        InputError: it exists, there is no such format, or the model was loaded for
            sparse execution.
        OSError: it cannot be written.
    """
    check_dense(variant.model if isinstance(variant, Variant) else variant)
    directory = Path(directory)
    if not isinstance(variant, Variant):
        params = variant.params
        return save_leaves(variant, params, directory, progress, beside, format)
    changed = {path: _LayerByLayer(variant, path) for path in variant.shapes}
    leaves = {**variant.model.params, **changed}
    return save_leaves(variant.model, leaves, directory, progress, beside, format)


@dataclass(frozen=True)
class _LayerByLayer:
    """A leaf that is never there as a whole."""

    variant: Variant
    path: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variant.shapes[self.path].shape

    def __getitem__(self, number: int) -> Layer:
        return self.variant.layer(self.path, number)

    def __array__(self, *_: Any, **__: Any) -> Layer:
        """Where the leaf is of no layer."""
        return self.variant.layer(self.path, 0)
