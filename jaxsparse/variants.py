"""Variants: what a pruned, updated, fine-tuned or smaller model is to the rest of the
house. A sweep, a report, an export and a benchmark take variants and never ask which
kind they are.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxsparse import hosts, parallel, pruning, trees
from jaxsparse.model import Model, save_leaves, untie
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.types import Array, InputError, Leaves


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
    achieved_sparsity: float  # of the prunable set
    total_sparsity: float  # of all parameters
    identity: Mapping[str, Any]  # JSON; decides its scores: the journal's key
    shapes: Mapping[str, jax.ShapeDtypeStruct]  # of the leaves that may differ
    leaf: Callable[[str], jax.Array]  # makes the leaf at one of these paths
    matrices: tuple[MatrixSparsity, ...] = ()  # the pruned ones
    finetuned: bool = False

    @property
    def name(self) -> str:
        if not self.sparsity:
            return "dense"
        return f"{self.recipe.method} {self.sparsity:g}"

    def leaves(self) -> dict[str, jax.Array]:
        """All that may differ from the model's."""
        return {path: self.leaf(path) for path in self.shapes}


def shapes_of(leaves: Leaves) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for path, leaf in leaves.items()
    }


def dense(model: Model, recipe: Recipe) -> Variant:
    """The unpruned model, as the point at sparsity 0 of a recipe's curve."""
    paths = model.prunable(recipe.prunable)
    zeros = sum(
        int(hosts.gathered(_zeros_by_row(model.params[path])).sum(dtype=np.int64))
        for path in paths
    )
    return Variant(
        model=model,
        recipe=recipe,
        sparsity=0.0,
        achieved_sparsity=zeros / sum(model.params[path].size for path in paths),
        total_sparsity=zeros / trees.size(model.params),
        identity=_identity(model),
        shapes=shapes_of({path: model.params[path] for path in paths}),
        leaf=model.params.__getitem__,
    )


def one_shot(
    model: Model,
    recipe: Recipe,
    sparsities: Sequence[float],
    done: Callable[[int], object] = lambda matrices: None,
) -> tuple[Variant, ...]:
    """Prunes by masks, which nest and are decided for all sparsities at once.

    Unless weights of different leaves compete, leaf by leaf, so that the host never
    holds the scores of the whole model.

    Args:
        model: with a head of its own if that is prunable; see `prunable_model`.
        sparsities: fractions; 0 is no pruning, and left out. Without meaning for a
            pattern N:M, which has one of its own.
        done: is told how many more matrices are decided.

    Returns:
        a variant for each sparsity above 0, ascending.

    Raises:
        InputError: what the method does not define; inputs that a pattern N:M does not
            divide; scores that are NaN; a sparsity that is no fraction.
    """
    recipe.check()
    if recipe.calibrated:
        raise InputError(
            f"`method={recipe.method}`: needs a calibration, not there yet"
        )
    ascending = sorted(sparsity for sparsity in sparsities if sparsity)
    if recipe.own_sparsity is not None:
        ascending = [recipe.own_sparsity]
    paths = model.prunable(recipe.prunable)
    shapes = {path: model.params[path].shape for path in paths}
    pruning.check_inputs(shapes, recipe.pattern)
    allocated = ascending
    if recipe.allocation == "erk":
        allocated = pruning.erk_sparsities(shapes, ascending)
    nested: dict[str, np.ndarray] = {}
    together = [paths] if recipe.scope == "global" else [(path,) for path in paths]
    for portion in together if ascending else ():
        scores = {}
        for path in portion:
            leaf = {path: hosts.gathered(model.params[path])}
            scores |= pruning.scores(leaf, recipe.method, seed=recipe.seed)
        nested |= pruning.nested_masks(
            scores, allocated, recipe.scope, recipe.pattern, done
        )
    return tuple(
        _masked(model, recipe, sparsity, nested, index)
        for index, sparsity in enumerate(ascending)
    )


def _masked(
    model: Model,
    recipe: Recipe,
    sparsity: float,
    nested: Mapping[str, UInt8[np.ndarray, "..."]],
    index: int,
) -> Variant:
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
    pruned = sum(matrix.pruned for matrix in matrices)

    def leaf(path: str) -> jax.Array:
        # Leaf by leaf, so that masks of the whole model are never on the device. Each
        # stays in the shards of the dense one.
        values = model.params[path]
        return _masked_leaf(values, parallel.place_like(values, nested[path]), index)

    return Variant(
        model=model,
        recipe=recipe,
        sparsity=sparsity,
        achieved_sparsity=pruned / sum(matrix.weights for matrix in matrices),
        total_sparsity=pruned / trees.size(model.params),
        identity=_identity(model, recipe, sparsity),
        shapes=shapes_of({path: model.params[path] for path in nested}),
        leaf=leaf,
        matrices=matrices,
    )


@jax.jit
def _masked_leaf(
    leaf: Float[Array, "..."], nested: UInt8[Array, "..."], index: Int[Array, ""]
) -> Float[Array, "..."]:
    masks = {"": pruning.mask_at(nested, index)}
    return pruning.apply_masks({"": leaf}, masks)[""]


@jax.jit
def _zeros_by_row(leaf: Float[Array, "..."]) -> Int[Array, "..."]:
    """By rows: a count of all of them need not fit into 32 bits."""
    return jnp.count_nonzero(leaf == 0, axis=-1)


def _identity(
    model: Model, recipe: Recipe | None = None, sparsity: float = 0.0
) -> dict[str, Any]:
    """What decides the scores of a model pruned by masks; of a dense one, which no
    recipe made, the method is "dense" and the rest None. What older recipes did not
    have is left out where it says nothing, so that their keys stay."""
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
        "calibration": None,
        "pruning_revision": pruning.REVISION if recipe else None,
        **{name: value for name, value in newer.items() if value},
    }


def stacked(variants: Sequence[Variant], number: int) -> Leaves:
    """The leaves of one variant, or path by path those of several on a new axis 0,
    where the last is repeated up to a number: one shape, one compilation."""
    if number == 1:
        (variant,) = variants
        return variant.leaves()
    last = [variants[-1]] * (number - len(variants))
    return {
        path: jnp.stack([variant.leaf(path) for variant in (*variants, *last)])
        for path in variants[0].shapes
    }


def portions(
    variants: Mapping[str, Variant], lacking: Sequence[frozenset[int]], size: int
) -> Iterator[tuple[list[str], frozenset[int]]]:
    """Variants that go at once, by their keys, at most `size`, and what they lack:
    neighbours that lack the same, share the function and all leaves but those that may
    differ, and have these alike."""
    groups: list[tuple[Any, list[str]]] = []
    for (key, variant), wanted in zip(variants.items(), lacking, strict=True):
        model = variant.model
        alike = (model.apply, id(model.params), variant.shapes, wanted)
        if not groups or groups[-1][0] != alike:
            groups.append((alike, []))
        groups[-1][1].append(key)
    for (*_, wanted), keys in groups:
        for begin in range(0, len(keys) if wanted else 0, size):
            yield keys[begin : begin + size], wanted


def prunable_model(model: Model, prunable: str) -> Model:
    """The model to prune: a tied head is untied where heads have masks of their own."""
    return model if prunable == "blocks" else untie(model)


def matrix_count(model: Model, prunable: str) -> int:
    """How many matrices the prunable leaves hold, layer by layer."""
    paths = model.prunable(prunable)
    return sum(math.prod(model.params[path].shape[:-2]) for path in paths)


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
        seed: of methods that draw random numbers.
        allocation: the same for every matrix, uniform; or erk or owl.
        statistics: sequential or dense; or the method's own.

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
        return dense(model, recipe)
    model = prunable_model(model, prunable)
    number = matrix_count(model, prunable)
    progress.stage("pruning", number, unit="matrices", patient=True)
    (variant,) = one_shot(model, recipe, [sparsity], progress.done)
    return variant


def save(
    variant: Variant | Model, directory: str | Path, progress: Progress = NOBODY
) -> None:
    """Writes a directory that transformers loads, in the file's own dtypes.

    Args:
        directory: must not exist yet.

    Raises:
        InputError: it exists.
        OSError: it cannot be written.
    """
    model, changed = (
        (variant.model, variant.leaves())
        if isinstance(variant, Variant)
        else (variant, {})
    )
    leaves = {**model.params, **changed}
    save_leaves(model, leaves, Path(directory), progress)
