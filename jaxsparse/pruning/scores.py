"""Criteria: what each weight of one matrix is worth. A larger score is kept longer.

Each takes the weights, (in, out) in float32; what calibration knows of the matrix; and
a stream of random numbers of the matrix's own. It returns float32 scores. What all have
in common, the check for NaN and the score of zeros, is done around them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from jaxsparse.pruning.statistics import Statistics

Matrix = Float32[np.ndarray, "in out"]

# The score of a weight that is zero already: it goes first, whatever the criterion.
ZERO = np.float32(-np.inf)


@dataclass(frozen=True)
class Criterion:
    """A way of choosing weights, what it needs for that, and where weights compete.

    `function(weights, statistics, generator)` scores one matrix, as those below.
    Where it `solves`, `function(weights, gram, sparsity, pattern)` makes a Solution.
    """

    function: Callable[..., Any]
    scopes: tuple[str, ...]  # the first is its own
    needs: tuple[str, ...] = ()  # of statistics.NEEDS
    draws: bool = False  # random numbers; without, no seed changes anything
    solves: bool = False  # makes masks and new values together


def magnitude(
    weights: Matrix, statistics: Statistics, generator: np.random.Generator
) -> Matrix:
    """The absolute value."""
    del statistics, generator
    return np.abs(weights)


def random(
    weights: Matrix, statistics: Statistics, generator: np.random.Generator
) -> Matrix:
    """Uniform in [0, 1)."""
    del statistics
    return generator.random(weights.shape, np.float32)


def gradient(
    weights: Matrix, statistics: Statistics, generator: np.random.Generator
) -> Matrix:
    """How much the loss changes without the weight, to first order: |W g|.

    Source: Lee et al. (2019), "SNIP", equation 4, of a trained model's mean gradient.
    """
    del generator
    return np.abs(weights * np.asarray(statistics.gradient))


def fisher(
    weights: Matrix, statistics: Statistics, generator: np.random.Generator
) -> Matrix:
    """How much the loss changes to second order, by the diagonal of the empirical
    Fisher matrix: W² F.

    Source: Kurtic et al. (2022), "The Optimal BERT Surgeon", equation 4 with blocks of
    one weight, and without the factors that are the same for all.
    """
    del generator
    return np.square(weights) * np.asarray(statistics.fisher)


def wanda(
    weights: Matrix, statistics: Statistics, generator: np.random.Generator
) -> Matrix:
    """The absolute value times the norm of the input: |W| ‖X‖.

    Source: Sun et al. (2024), "A Simple and Effective Pruning Approach for Large
    Language Models", equation 1.
    """
    del generator
    return np.abs(weights) * statistics.norms[:, None]


def ria(
    weights: Matrix, statistics: Statistics, generator: np.random.Generator
) -> Matrix:
    """The share of its output's weights plus that of its input's, times the root of the
    norm of the input. Where all are zero, the share is.

    Source: Zhang et al. (2024), "Plug-and-Play: An Efficient Post-training Pruning
    Method for Large Language Models", equation 3 with exponent 1/2.
    """
    del generator
    size = np.abs(weights)
    shares = np.zeros_like(size)
    for axis in range(2):
        total = size.sum(axis, np.float64, keepdims=True)
        total[total == 0] = 1
        shares += size / total.astype(np.float32)
    return shares * np.sqrt(statistics.norms)[:, None]
