"""Scores: what each prunable weight is worth. A larger score is kept longer.

A method is an entry of `METHODS`. Its function scores one leaf; the tree around it, the
path, the check for NaN and the score of zeros are the same for all.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from jaxsparse.trees import flatten, matrices, unflatten
from jaxsparse.types import InputError, Params

Leaf = Float[np.ndarray, "*layer in out"]
LeafScores = Float32[np.ndarray, "*layer in out"]

# The score of a weight that is zero already: it goes first, whatever the method.
ZERO = np.float32(-np.inf)


@dataclass(frozen=True)
class Method:
    """A way of scoring weights, and the scopes in which its scores may be compared.

    `function(leaf, path, seed)` scores one leaf, stacked or not.
    """

    function: Callable[[np.ndarray, str, int], np.ndarray]
    scopes: tuple[str, ...]
    default_scope: str
    draws: bool = False  # random numbers; without, no seed changes anything


def scores(
    params: Params, prunable: Sequence[str], method: str, seed: int
) -> dict[str, Any]:
    """Scores the leaves at the `prunable` paths.

    Returns:
        A tree that mirrors `params`: float32 host arrays at the prunable paths, None
        elsewhere; `ZERO` where a weight is zero already.

    Raises:
        InputError: no such method, or a leaf whose scores hold NaN.
        KeyError: a prunable path that `params` does not have.
        ValueError: no prunable path at all.
    """
    if not prunable:
        raise ValueError("no parameter is prunable")
    leaves = flatten(params)
    if unknown := sorted(set(prunable) - set(leaves)):
        raise KeyError(f"no parameters at {unknown}; there are {list(leaves)}")
    scored: dict[str, Any] = dict.fromkeys(leaves)
    for path in prunable:
        scored[path] = _leaf_scores(np.asarray(leaves[path]), path, method, seed)
    return unflatten(scored)


def resolve_scope(method: str, scope: str | None) -> str:
    """The scope to prune in: `scope` if the method defines it, its default for None.

    Raises:
        InputError: no such method, or a scope that it does not define.
    """
    defined = _method(method)
    if scope is None:
        return defined.default_scope
    if scope not in defined.scopes:
        raise InputError(
            f"--scope={scope}: method {method} defines {', '.join(defined.scopes)}"
        )
    return scope


def effective_seed(method: str, seed: int | None) -> int | None:
    """`seed` if the method draws random numbers, else None: then it has no seed.

    Raises:
        InputError: no such method.
    """
    return seed if _method(method).draws else None


def magnitude(leaf: Leaf, path: str, seed: int) -> LeafScores:
    """The absolute value of each weight; loaded bfloat16 is widened first, exactly."""
    del path, seed
    if leaf.dtype == np.float32:
        return np.abs(leaf)
    widened = leaf.astype(np.float32)
    return np.abs(widened, out=widened)


def random(leaf: Leaf, path: str, seed: int) -> LeafScores:
    """Uniform scores in [0, 1), which depend on seed, path, layer and shape alone.

    Each matrix has a stream of its own, so that neither another leaf nor the number of
    layers changes it: Philox4x64-10 with the first 128 bits of the SHA-256 of
    "seed/layer/path" as key.

    Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    drawn = np.empty(leaf.shape, np.float32)
    for layer, matrix in enumerate(matrices(drawn)):
        digest = hashlib.sha256(f"{seed}/{layer}/{path}".encode()).digest()
        stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
        np.random.Generator(stream).random(dtype=np.float32, out=matrix)
    return drawn


METHODS: dict[str, Method] = {
    "magnitude": Method(magnitude, ("matrix", "global"), "matrix"),
    "random": Method(random, ("matrix", "global"), "matrix", draws=True),
}


def _method(name: str) -> Method:
    if name not in METHODS:
        raise InputError(f"--method={name}: there are {', '.join(METHODS)}")
    return METHODS[name]


def _leaf_scores(leaf: np.ndarray, path: str, method: str, seed: int) -> LeafScores:
    """The scores of one leaf; NaN is refused, for it has no place in an order."""
    scored = _method(method).function(leaf, path, seed)
    for layer, matrix in enumerate(matrices(scored)):
        if np.isnan(np.max(matrix)):
            raise InputError(
                f"{path}, layer {layer}: {method} scores hold NaN; "
                "use a checkpoint without NaN weights"
            )
    scored[leaf == 0] = ZERO
    return scored
