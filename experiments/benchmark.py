"""Measures, side by side in one process, what ours takes and what others take.

    ./run.sh benchmark --shape=gpt2-small --sparsities=0,0.1,0.5,0.9,0.99

Masks: magnitude scores and masks of every kernel of a published shape, random weights,
at all sparsities in one pass, against torch.nn.utils.prune.l1_unstructured on the same
weights at one sparsity after another.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from experiments import command
from jaxsparse import pruning, trees
from jaxsparse.models.shapes import SHAPES, published
from jaxsparse.types import InputError

flags.DEFINE_enum("shape", "gpt2-small", SHAPES, "the model to imitate")
flags.DEFINE_list("sparsities", ["0", "0.1", "0.5", "0.9", "0.99"], "fractions")
flags.DEFINE_integer("repeats", 3, "of each measurement; medians", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of the random weights", lower_bound=0)


def main() -> None:
    values = flags.FLAGS
    sparsities = fractions(values.sparsities)
    kernels = random_kernels(values.shape, values.seed)
    size = sum(kernel.size for kernel in kernels.values())
    print(f"{values.shape}: {size:,} weights, median of {values.repeats} runs")
    print(f"{'':24}{'seconds':>9}{'spread':>16}{'of ours':>9}")
    ours = measure(lambda: masks(kernels, sparsities), values.repeats)
    show(f"ours, {len(sparsities)} sparsities", ours, ours)
    for sparsity in sparsities:
        torch = measure(lambda s=sparsity: torch_masks(kernels, s), values.repeats)
        show(f"torch, sparsity {sparsity:g}", torch, ours)


def fractions(values: list[str]) -> list[float]:
    """Numbers in ascending order; whether they are from 0 to 1 is seen in counting."""
    try:
        numbers = sorted(map(float, values))
    except ValueError:
        numbers = []
    if not numbers:
        given = ",".join(values)
        raise InputError(f"--sparsities={given}: give fractions such as 0,0.5,0.9")
    return numbers


def random_kernels(shape: str, seed: int) -> dict[str, np.ndarray]:
    """Attention and feed-forward kernels of a published shape, layers stacked."""
    family, config = published(shape)
    leaves = family.shapes(config)
    generator = np.random.default_rng(seed)
    return {
        path: generator.standard_normal(leaves[path], np.float32)
        for path in family.prunable.paths(leaves, "blocks")
    }


def masks(kernels: dict[str, np.ndarray], sparsities: list[float]) -> None:
    for path, kernel in kernels.items():
        params = trees.unflatten({path: kernel})
        scores = pruning.scores(params, [path], "magnitude", 0)
        levels = [pruning.counts(scores, sparsity, "matrix") for sparsity in sparsities]
        pruning.survival(scores, levels)


def torch_masks(kernels: dict[str, np.ndarray], sparsity: float) -> None:
    try:
        import torch
        from torch.nn.utils import prune
    except ImportError:
        raise InputError("benchmark needs torch; ./run.sh test installs it") from None
    for kernel in kernels.values():
        for matrix in trees.matrices(kernel):
            linear = torch.nn.Linear(1, 1, bias=False)
            linear.weight = torch.nn.Parameter(torch.from_numpy(matrix.copy()))
            prune.l1_unstructured(linear, "weight", amount=sparsity)


def measure(work: Callable[[], None], repeats: int) -> list[float]:
    """Seconds of each repetition."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def show(name: str, seconds: list[float], ours: list[float]) -> None:
    median = statistics.median(seconds)
    spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
    ratio = median / statistics.median(ours)
    print(f"{name:24}{median:9.2f}{spread:>16}{ratio:9.2f}")


if __name__ == "__main__":
    command.run(main, __doc__ or "")
