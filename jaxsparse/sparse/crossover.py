"""The density at which sparse execution of a matrix becomes the faster, measured once
on a machine and kept."""

import functools
import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse.sparse.build import SOURCE, cache_directory, machine
from jaxsparse.sparse.kernels import SparseKernel, pack
from jaxsparse.sparse.product import linear
from jaxsparse.whole import atomic_file

TOKENS = 1024
OPERATIONS = 2e10  # of the dense product at most: fewer tokens for large matrices
DENSITIES = (0.5, 0.2)
REPEATS = 5


def crossover(inputs: int, outputs: int) -> float:
    """The density below which a matrix (in, out) is multiplied faster by its kept
    weights; 0 where it never is, at most 1."""
    path = cache_directory() / f"crossovers-{_key()}.json"
    known, name = _read(path), f"{inputs}x{outputs}"
    if name not in known:
        known[name] = measure(inputs, outputs)
        with suppress(OSError), atomic_file(path) as partial:
            partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known[name]


def _read(path: Path) -> dict[str, float]:
    """What was measured before; nothing of a file that is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: float(density)
        for name, density in found.items()
        if isinstance(density, int | float) and 0 <= density <= 1
    }


def measure(inputs: int, outputs: int) -> float:
    """Time grows with density in a line: where it meets the dense product's."""
    tokens = int(min(TOKENS, max(OPERATIONS / (2 * inputs * outputs), 64)))
    random = np.random.default_rng(0)
    x = jnp.asarray(random.standard_normal((tokens, inputs)), jnp.float32)
    weights = random.standard_normal((inputs, outputs)).astype(np.float32)
    draws = random.random((inputs, outputs))
    kernels = [_kernel(weights, draws < density, density) for density in DENSITIES]
    dense_product = jax.jit(lambda x, w: x @ w)
    sparse_product = jax.jit(lambda x, kernel: linear(x, kernel, None))
    dense, *sparse = _seconds(
        functools.partial(dense_product, x, jnp.asarray(weights)),
        *(functools.partial(sparse_product, x, kernel) for kernel in kernels),
    )
    slope = (sparse[0] - sparse[1]) / (DENSITIES[0] - DENSITIES[1])
    if slope <= 0:  # noise: nothing is known but these
        gains = [d for d, s in zip(DENSITIES, sparse, strict=True) if s < dense]
        return max(gains, default=0.0)
    return float(min(max(DENSITIES[1] + (dense - sparse[1]) / slope, 0), 1))


def _kernel(weights: np.ndarray, kept: np.ndarray, density: float) -> SparseKernel:
    layer = np.where(kept, weights, np.float32(0)), kept.view(np.uint8)
    (kernel,) = pack(weights.shape, lambda _: layer, 1, {0: density})
    return kernel


def _seconds(*functions: Callable[[], jax.Array]) -> list[float]:
    """The shortest time of each, in turn."""
    for function in functions:
        function().block_until_ready()
    shortest = [float("inf")] * len(functions)
    for _ in range(REPEATS):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            function().block_until_ready()
            shortest[number] = min(shortest[number], time.perf_counter() - start)
    return shortest


@functools.cache
def _key() -> str:
    """Another kernel, JAX or machine is measured anew."""
    content = repr((SOURCE.read_bytes(), jax.__version__, machine()))
    return hashlib.sha256(content.encode()).hexdigest()[:16]
