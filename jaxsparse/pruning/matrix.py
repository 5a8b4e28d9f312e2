"""Pruning matrix by matrix: scores with all that is the same for every criterion, and
one matrix from its weights to a solution.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32

from jaxsparse.pruning.masks import mask_at, nested_masks
from jaxsparse.pruning.methods import Method, method_named
from jaxsparse.pruning.recipe import Recipe
from jaxsparse.pruning.scores import ZERO, Matrix
from jaxsparse.pruning.solution import Solution
from jaxsparse.pruning.statistics import NONE, Statistics
from jaxsparse.trees import matrices
from jaxsparse.types import Array, InputError, Leaves, brief

# What is known of the matrix at a path and layer.
StatisticsOf = Callable[[str, int], Statistics]


def scores(
    leaves: Leaves,
    method: str,
    statistics: StatisticsOf = lambda path, layer: NONE,
    seed: int | None = None,
) -> dict[str, Float32[np.ndarray, "*layer in out"]]:
    """Scores the given leaves, the prunable ones, by the method's criterion.

    Args:
        statistics: of each matrix, for methods that need some.
        seed: for methods that draw random numbers.

    Returns:
        float32 host arrays; `ZERO` where a weight is zero already.

    Raises:
        InputError: no such method; a matrix that lacks statistics which the method
            needs, or whose statistics or scores are not numbers.
    """
    chosen, scored = method_named(method), {}
    for path, leaf in leaves.items():
        scored[path] = np.empty(np.shape(leaf), np.float32)
        pairs = zip(matrices(leaf), matrices(scored[path]), strict=True)
        for layer, (matrix, out) in enumerate(pairs):
            known = statistics(path, layer)
            stream = _stream(seed or 0, layer, path)
            with _naming(path, layer):
                _check(method, chosen.criterion.needs, known)
                _score(method, chosen, _widened(matrix), known, stream, out)
    return scored


def prune_matrix(
    recipe: Recipe,
    weights: Float[Array, "in out"],
    statistics: Statistics,
    sparsity: float,
    path: str,
    layer: int,
    mask: Bool[Array, "in out"] | None = None,
) -> Solution:
    """Decides which weights of a matrix are kept, and what these become; where whole
    blocks are fitted, they stay what they are.

    Args:
        sparsity: of this matrix; of a pattern N:M its own.
        mask: True = kept, where that is decided already.

    Raises:
        InputError: what the recipe needs is missing or not finite; scores that are
            NaN; what cannot be solved. All name path and layer.
        ValueError: no mask, and a scope that compares matrices.
    """
    method, wide = method_named(recipe.method), _widened(weights)
    with _naming(path, layer):
        update = method.update.needs if method.update else ()
        of_mask = method.criterion.needs if mask is None else ()
        _check(recipe.method, (*of_mask, *update), statistics)
        if method.criterion.solves:
            solve = method.criterion.function
            return solve(wide, statistics.gram, sparsity, recipe.pattern)
        if mask is None:
            if recipe.scope == "global":
                raise ValueError("of scope global, the mask comes from all matrices")
            stream = _stream(recipe.seed or 0, layer, path)
            scored = np.empty_like(wide)
            _score(recipe.method, method, wide, statistics, stream, scored)
            nested = nested_masks(
                {path: scored}, [sparsity], recipe.scope, recipe.pattern
            )
            mask = mask_at(nested[path], 0)
        mask = np.asarray(mask)
        if method.update and method.update.function:
            return method.update.function(wide, mask, statistics)
    return Solution(np.where(mask, wide, np.float32(0)), mask)


@contextmanager
def _naming(path: str, layer: int) -> Iterator[None]:
    """What is wrong with a matrix is said of that matrix."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}, layer {layer}: {error}") from error


def _widened(weights: Float[Array, "in out"]) -> Matrix:
    """Loaded bfloat16 is widened, exactly. Nobody writes to what a model holds."""
    wide = np.asarray(weights).astype(np.float32, copy=False).view()
    wide.flags.writeable = False
    return wide


def _stream(seed: int, layer: int, path: str) -> np.random.Generator:
    """Random numbers that depend on seed, path and layer alone.

    Each matrix has a stream of its own, so that neither another leaf nor the number of
    layers changes it: Philox4x64-10 with the first 128 bits of the SHA-256 of
    "seed/layer/path" as key.

    Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    digest = hashlib.sha256(f"{seed}/{layer}/{path}".encode()).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    return np.random.Generator(stream)


def _check(method: str, needs: Sequence[str], statistics: Statistics) -> None:
    """Raises InputError for statistics that are not there, or are no numbers."""
    for need in needs:
        known = getattr(statistics, need)
        if known is None:
            raise InputError(
                f"`method={method}` needs {need} of its inputs, and it has none"
            )
        module = np if isinstance(known, np.ndarray) else jnp
        if not module.isfinite(known).all():
            raise InputError(
                f"{need} of the inputs is not finite; try `dtype=float32`, or another "
                "`calibration`"
            )


def _score(
    name: str,
    method: Method,
    weights: Matrix,
    statistics: Statistics,
    generator: np.random.Generator,
    out: Matrix,
) -> None:
    """Writes scores as they are ranked: numbers, and `ZERO` of the weights that are
    zero, and of these alone. A function of the user's may do and return anything."""
    try:
        scored = np.asarray(method.criterion.function(weights, statistics, generator))
    except (Exception, SystemExit) as error:
        if not method.source:
            raise
        raise InputError(f"`method={name}` failed ({brief(error)})") from error
    if scored.shape != weights.shape or scored.dtype != np.float32:
        raise InputError(
            f"`method={name}` gave {scored.dtype} of shape {scored.shape}; float32 of "
            f"the weights' shape {weights.shape} is wanted"
        )
    np.maximum(scored, np.finfo(np.float32).min, out=out)
    if np.isnan(np.max(out)):
        advice = (
            "mend the function" if method.source else "use a checkpoint without any"
        )
        raise InputError(f"{name} scores hold NaN; {advice}")
    out[weights == 0] = ZERO
