"""Which parameters training moves, and how a model's leaves come of them.

    all            every leaf
    norms,biases   scales and biases, a few thousandths of the parameters
    masklora       W + s · M ⊙ (A B): of each prunable kernel two narrow matrices, whose
                   product is merged with the mask, so that zeros stay

Source: Zimmer et al. (2023), "PERP: rethinking the prune-retrain paradigm in the era of
LLMs"; masks of adapters, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from jaxsparse.types import Array, InputError, Leaves

Masks = Mapping[str, Bool[Array, "..."]]  # path -> True where a weight is kept

SCALE = 32  # s = SCALE / rank
_A, _B = "lora_a", "lora_b"  # how an adapter's paths end


@dataclass(frozen=True)
class Split:
    """A model's leaves as training sees them, float32."""

    trained: Leaves  # those that the optimizer moves, by path
    fixed: Leaves  # the others


def split(
    leaves: Leaves, prunable: Sequence[str], train: str, rank: int, seed: int
) -> Split:
    """What is trained of a model's leaves.

    Args:
        prunable: paths of the leaves that have masks.
        train: all, norms,biases or masklora.
        rank, seed: of masklora's adapters.

    Raises:
        InputError: a kernel is narrower than the rank.
    """
    leaves = {path: jnp.asarray(leaf, jnp.float32) for path, leaf in leaves.items()}
    if train == "all":
        return Split(leaves, {})
    if train == "masklora":
        return Split(_adapters(leaves, prunable, rank, seed), leaves)
    trained = {path: leaf for path, leaf in leaves.items() if is_norm_or_bias(path)}
    return Split(trained, {p: leaf for p, leaf in leaves.items() if p not in trained})


def is_norm_or_bias(path: str) -> bool:
    return path.endswith(("scale", "bias"))


def trained_shapes(
    shapes: Mapping[str, tuple[int, ...]],
    prunable: Sequence[str],
    train: str,
    rank: int,
) -> dict[str, tuple[int, ...]]:
    """The shapes of what is trained, of a model of such leaves; raises as `split`."""
    if train == "all":
        return dict(shapes)
    if train == "masklora":
        check_rank(shapes, prunable, rank)
        return {
            f"{path}/{name}": shape
            for path in _adapted(prunable)
            for name, shape in _adapter_shapes(shapes[path], rank)
        }
    return {path: shape for path, shape in shapes.items() if is_norm_or_bias(path)}


def check_rank(
    shapes: Mapping[str, tuple[int, ...]], prunable: Sequence[str], rank: int
) -> None:
    """Raises InputError where a kernel is narrower than the rank of its adapter."""
    for path in _adapted(prunable):
        if rank > (narrow := min(shapes[path][-2:])):
            raise InputError(
                f"`rank={rank}`: {path} is {narrow} wide, and an adapter of a larger "
                f"rank saves nothing; choose 1 to {narrow}"
            )


def merged(train: str, trained: Leaves, fixed: Leaves, masks: Masks) -> Leaves:
    """The model's leaves: exactly zero where a mask is False."""
    if train == "all":
        return trained
    leaves = {**fixed, **trained}
    if train == "masklora":
        leaves = dict(fixed)
        for path in {path.rpartition("/")[0] for path in trained}:
            rank = trained[f"{path}/{_A}"].shape[-1]
            first, second = trained[f"{path}/{_A}"], trained[f"{path}/{_B}"]
            # float32 on every device, like the weights it is added to.
            added = jnp.matmul(first, second, precision="highest")
            leaves[path] = leaves[path] + SCALE / rank * added
    return leaves | {
        path: jnp.where(mask, leaves[path], 0.0) for path, mask in masks.items()
    }


def _adapted(prunable: Sequence[str]) -> list[str]:
    """Kernels; an embedding is looked up, and has no product to add to."""
    return [path for path in prunable if path.endswith("kernel")]


def _adapter_shapes(
    shape: tuple[int, ...], rank: int
) -> tuple[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]]:
    *layers, inputs, outputs = shape
    return (_A, (*layers, inputs, rank)), (_B, (*layers, rank, outputs))


def _adapters(
    leaves: Leaves, prunable: Sequence[str], rank: int, seed: int
) -> dict[str, Any]:
    """The first factor uniform as Kaiming has it, the second zero (Hu et al. 2022,
    section 4.1), so that training begins with the model as it is."""
    shapes = {path: np.shape(leaf) for path, leaf in leaves.items()}
    check_rank(shapes, prunable, rank)
    found = {}
    for number, path in enumerate(sorted(_adapted(prunable))):
        (_, first), (_, second) = _adapter_shapes(shapes[path], rank)
        generator = np.random.default_rng([seed, number])
        bound = first[-2] ** -0.5
        drawn = generator.uniform(-bound, bound, first)
        found[f"{path}/{_A}"] = jnp.asarray(drawn, jnp.float32)
        found[f"{path}/{_B}"] = jnp.zeros(second, jnp.float32)
    return found
