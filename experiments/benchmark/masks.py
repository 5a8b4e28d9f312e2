"""Masks of all kernels of a published shape: ours at all sparsities in one pass, and
torch's l1_unstructured on the same weights at one sparsity after another."""

import functools
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.benchmark import measuring
from jaxsparse import pruning, trees
from jaxsparse.models.shapes import published


def compare(
    shape: str, sparsities: Sequence[float], seed: int, repeats: int
) -> dict[str, Any]:
    """Seconds of each repetition, by who made them."""
    kernels = _kernels(shape, seed)
    works = {
        f"ours, {len(sparsities)} sparsities": lambda: _masks(kernels, sparsities),
        **{
            f"torch, sparsity {sparsity:g}": functools.partial(
                _torch_masks, kernels, sparsity
            )
            for sparsity in sparsities
        },
    }
    seconds = {
        name: [measuring.seconds(work) for _ in range(repeats)]
        for name, work in works.items()
    }
    size = sum(kernel.size for kernel in kernels.values())
    return {"weights": size, "seconds": seconds}


def _kernels(shape: str, seed: int) -> dict[str, np.ndarray]:
    """Attention and feed-forward kernels of a published shape, layers stacked."""
    family, config = published(shape)
    leaves = family.shapes(config)
    generator = np.random.default_rng(seed)
    return {
        path: generator.standard_normal(leaves[path], np.float32)
        for path in family.prunable.paths(leaves, "blocks")
    }


def _masks(kernels: dict[str, np.ndarray], sparsities: Sequence[float]) -> None:
    for path, kernel in kernels.items():
        scores = pruning.scores({path: kernel}, "magnitude")
        pruning.nested_masks(scores, sparsities, "matrix")


def _torch_masks(kernels: dict[str, np.ndarray], sparsity: float) -> None:
    import torch
    from torch.nn.utils import prune

    for kernel in kernels.values():
        for matrix in trees.matrices(kernel):
            linear = torch.nn.Linear(1, 1, bias=False)
            linear.weight = torch.nn.Parameter(torch.from_numpy(matrix.copy()))
            prune.l1_unstructured(linear, "weight", amount=sparsity)


def table(shape: str, result: dict[str, Any]) -> list[str]:
    """Lines: seconds, and how many times ours."""
    ours, *_ = result["seconds"].values()
    lines = [
        f"{shape}: {result['weights']:,} weights, median of {len(ours)} runs",
        f"{'':24}{'seconds':>9}{'spread':>16}{'of ours':>9}",
    ]
    for name, seconds in result["seconds"].items():
        median = statistics.median(seconds)
        ratio = median / statistics.median(ours)
        lines.append(
            f"{name:24}{median:9.2f}{measuring.spread(seconds):>16}{ratio:9.2f}"
        )
    return lines
