"""Every criterion and update on the matrices of a published shape: ours, and the same
algorithm in torch on the same weights and statistics."""

import functools
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import methods_torch
from experiments.benchmark.measuring import spread
from jaxsparse.models.shapes import published
from jaxsparse.pruning import METHODS, UPDATES, Recipe, Statistics, prune_matrix

SPARSITY = 0.6
ROWS, TOKENS = 128, 512
HIDDEN = 256  # numbers that the inputs of a matrix are mixed from

Work = Callable[[], tuple[Any, Any]]  # to values, and what is added to the bias


def compare(
    shape: str, seed: int, repeats: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Seconds of each repetition and relative errors, by method and size of matrix."""
    family, config = published(shape)
    leaves = family.shapes(config)
    sizes: Counter[tuple[int, int]] = Counter()
    for path in family.prunable.paths(leaves, "blocks"):
        layers, inputs, outputs = leaves[path]
        sizes[inputs, outputs] += layers
    methods: dict[str, list[dict[str, Any]]] = {name: [] for name in _methods()}
    for size, number in sizes.items():
        weights, known = _matrix(*size, seed)
        for method, measured in methods.items():
            tell(f"{shape}, {size[0]} x {size[1]}: {method}")
            works = _works(method, weights, known, seed)
            seconds, errors = _measure(works, weights, known, repeats)
            row = {"size": size, "number": number}
            measured.append({**row, "seconds": seconds, "errors": errors})
    return {"matrices": sizes.total(), "methods": methods}


def _methods() -> list[str]:
    """All criteria, and all updates of the first."""
    first, *_ = METHODS
    of_matrices = [name for name, update in UPDATES.items() if update.function]
    return [*METHODS, *(f"{first}+{name}" for name in of_matrices)]


def _matrix(inputs: int, outputs: int, seed: int) -> tuple[np.ndarray, Statistics]:
    """Weights, and statistics of inputs that go together, in parts of 8 rows."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((HIDDEN, inputs), np.float32)
    mixing *= rng.gamma(1, 1 / HIDDEN**0.5, inputs).astype(np.float32)
    gram, total = jnp.zeros((inputs, inputs)), np.zeros(inputs)
    for _ in range(ROWS // 8):
        hidden = rng.standard_normal((8 * TOKENS, HIDDEN), np.float32) @ mixing
        hidden += 0.3 * rng.standard_normal((8 * TOKENS, inputs), np.float32) + 0.1
        gram += hidden.T @ hidden
        total += hidden.sum(0, np.float64)
    weights, gradient = rng.standard_normal((2, inputs, outputs), np.float32)
    return weights, Statistics(
        tokens=ROWS * TOKENS,
        mean=(total / (ROWS * TOKENS)).astype(np.float32),
        squares=np.diagonal(gram).copy(),
        gram=np.asarray(gram),
        gradient=gradient,
        fisher=np.square(gradient),
    )


def _works(
    method: str, weights: np.ndarray, known: Statistics, seed: int
) -> dict[str, Work]:
    return {
        "ours": functools.partial(_ours, method, weights, known, seed),
        "torch": methods_torch.work(method, weights, known, SPARSITY, seed),
    }


def _ours(
    method: str, weights: np.ndarray, known: Statistics, seed: int
) -> tuple[Any, Any]:
    solution = prune_matrix(Recipe(method, seed=seed), weights, known, SPARSITY, "", 0)
    return jax.block_until_ready(solution.values), solution.bias


def _measure(
    works: dict[str, Work], weights: np.ndarray, known: Statistics, repeats: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Each once, which compiles, then by turns."""
    errors = {who: _error(weights, known, *work()) for who, work in works.items()}
    seconds: dict[str, list[float]] = {who: [] for who in works}
    for _ in range(repeats):
        for who, work in works.items():
            start = time.perf_counter()
            work()
            seconds[who].append(time.perf_counter() - start)
    return seconds, errors


def _error(weights: np.ndarray, known: Statistics, values: Any, bias: Any) -> float:
    """Squared change of the outputs over their squares."""
    gram, mean = (np.asarray(array, np.float64) for array in (known.gram, known.mean))
    change = np.asarray(values, np.float64) - weights
    moved = np.sum(change * (gram @ change))
    if bias is not None:
        shift = np.asarray(bias, np.float64)
        moved += known.tokens * np.sum(shift * (2 * (mean @ change) + shift))
    return float(moved / np.sum(weights * (gram @ weights)))


def table(shape: str, result: dict[str, Any]) -> list[str]:
    """Lines: seconds for all matrices, what torch takes of ours, errors of both."""
    lines = [
        f"{shape}: {result['matrices']} matrices, sparsity {SPARSITY:g}, statistics of "
        f"{ROWS} x {TOKENS} tokens",
        f"{'':16}{'ours':>9}{'torch':>9}{'ratio':>8}{'spread':>14}"
        f"{'error ours':>13}{'torch':>9}",
    ]
    for method, rows in result["methods"].items():
        seconds = {who: _of_all(rows, who) for who in ("ours", "torch")}
        errors = [
            sum(row["number"] * row["errors"][who] for row in rows) / result["matrices"]
            for who in seconds
        ]
        ours, torch = (statistics.median(seconds[who]) for who in seconds)
        ratios = [slow / fast for fast, slow in zip(*seconds.values(), strict=True)]
        lines.append(
            f"{method:16}{ours:7.2f} s{torch:7.2f} s{statistics.median(ratios):8.2f}"
            f"{spread(ratios):>14}{errors[0]:13.4f}{errors[1]:9.4f}"
        )
    return lines


def _of_all(rows: list[dict[str, Any]], who: str) -> list[float]:
    """Seconds for all matrices, by repetition."""
    scaled = [
        [row["number"] * seconds for seconds in row["seconds"][who]] for row in rows
    ]
    return [sum(repetition) for repetition in zip(*scaled, strict=True)]
