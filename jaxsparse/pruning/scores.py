"""Scores: what each prunable weight is worth. A larger score is kept longer.

A method is an entry of `METHODS`. Its function scores one leaf; the leaves around it,
the check for NaN and the score of zeros are the same for all.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from jaxsparse.trees import matrices
from jaxsparse.types import InputError, Leaves

Leaf = Float[np.ndarray, "*layer in out"]
LeafScores = Float32[np.ndarray, "*layer in out"]

# Of one leaf's inputs: name of a statistic -> its values, layers on axis 0.
LeafStatistics = Mapping[str, np.ndarray]

# The score of a weight that is zero already: it goes first, whatever the method.
ZERO = np.float32(-np.inf)


@dataclass(frozen=True)
class Method:
    """A way of scoring weights, what it needs for that, and where its scores compare.

    `function(leaf, statistics, path, seed)` scores one leaf, stacked or not.
    """

    function: Callable[[np.ndarray, LeafStatistics, str, int], np.ndarray]
    scopes: tuple[str, ...]  # the first is its own
    needs: tuple[str, ...] = ()  # names of statistics
    draws: bool = False  # random numbers; without, no seed changes anything


def scores(
    leaves: Leaves,
    method: str,
    statistics: Mapping[str, LeafStatistics] | None = None,
    seed: int | None = None,
) -> dict[str, LeafScores]:
    """Scores the given leaves, the prunable ones.

    Args:
        statistics: by path, for methods that need some.
        seed: for methods that draw random numbers.

    Returns:
        float32 host arrays; `ZERO` where a weight is zero already.

    Raises:
        InputError: no such method; a leaf that lacks a statistic which the method
            needs, or whose scores hold NaN.
    """
    chosen, given = method_named(method), statistics or {}
    scored = {}
    for path, leaf in leaves.items():
        known = given.get(path, {})
        if lacking := [name for name in chosen.needs if name not in known]:
            raise InputError(
                f"`method={method}` needs {' and '.join(lacking)} of the inputs of "
                f"{path}, which has none"
            )
        host = np.asarray(leaf)
        scored[path] = chosen.function(host, known, path, seed or 0)
        for layer, matrix in enumerate(matrices(scored[path])):
            if np.isnan(np.max(matrix)):
                raise InputError(
                    f"{path}, layer {layer}: {method} scores hold NaN; "
                    "use a checkpoint without NaN weights"
                )
        scored[path][host == 0] = ZERO
    return scored


def method_named(name: str) -> Method:
    """Raises InputError where there is none."""
    if name not in METHODS:
        raise InputError(f"`method={name}`: there are {', '.join(METHODS)}")
    return METHODS[name]


def magnitude(
    leaf: Leaf, statistics: LeafStatistics, path: str, seed: int
) -> LeafScores:
    """The absolute value of each weight; loaded bfloat16 is widened first, exactly."""
    del statistics, path, seed
    if leaf.dtype == np.float32:
        return np.abs(leaf)
    widened = leaf.astype(np.float32)
    return np.abs(widened, out=widened)


def random(leaf: Leaf, given: LeafStatistics, path: str, seed: int) -> LeafScores:
    """Uniform scores in [0, 1), which depend on seed, path, layer and shape alone.

    Each matrix has a stream of its own, so that neither another leaf nor the number of
    layers changes it: Philox4x64-10 with the first 128 bits of the SHA-256 of
    "seed/layer/path" as key.

    Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    del given
    drawn = np.empty(leaf.shape, np.float32)
    for layer, matrix in enumerate(matrices(drawn)):
        digest = hashlib.sha256(f"{seed}/{layer}/{path}".encode()).digest()
        stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
        np.random.Generator(stream).random(dtype=np.float32, out=matrix)
    return drawn


METHODS: dict[str, Method] = {
    "magnitude": Method(magnitude, ("matrix", "output", "global")),
    "random": Method(random, ("matrix", "output", "global"), draws=True),
}
