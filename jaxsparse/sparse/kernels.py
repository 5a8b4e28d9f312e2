"""Kernels of linear layers that hold only the weights that are kept.

A leaf stacks layers, and so does this. Weights are ordered by layer, block of inputs,
output, and then, where one packing serves several sparsities, by at how many of them
they are kept:

    values   0.3 -1.2 | 0.7 | …      at the larger sparsity the first of an output only
    starts   ^        .     ^        where an output's weights of a block begin
    ends              ^     .  ^     and end, at the sparsity that is computed

So variants at several sparsities share a packing, and differ in `ends`.
"""

import ctypes
import math
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, Int32, UInt8, UInt16, UInt32

from jaxsparse.sparse.build import library
from jaxsparse.types import Array, InputError

MOST_INPUTS = 1 << 16  # that 16 bits can name
MOST_WEIGHTS = 1 << 32
BLOCK = 128  # inputs of a block: with 64 tokens, 32 KiB
FEW = 0.04  # the density below which one block of all inputs is the faster

Matrix = Float32[np.ndarray, "in out"]
Survival = UInt8[np.ndarray, "in out"]  # at how many sparsities a weight is kept


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class SparseKernel:
    """A leaf of kernels, (layer in out) or (in out), of which the kept weights are
    stored; layers that gain nothing by it are stored whole.

    `kernel[layer]` is one layer, and copies nothing.
    """

    starts: UInt32[Array, " place"]  # by layer, block, output
    ends: UInt32[Array, " place"]
    inputs: UInt16[Array, " weight"]  # of each kept weight; room for all
    values: Float32[Array, " weight"]
    geometry: Int32[Array, " 2"]  # inputs of a block, and blocks
    dense: Float32[Array, "whole in out"]
    place: Int32[Array, " layer"]  # in `dense`; -1 of a layer that is not there
    layer: Int[Array, ""]
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __getitem__(self, layer: Any) -> "SparseKernel":
        return replace(self, layer=jnp.asarray(layer, jnp.int32), shape=self.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


def kept(kernel: SparseKernel) -> int:
    """How many weights are not zero."""
    stored = np.asarray(kernel.ends).astype(np.int64) - np.asarray(kernel.starts)
    return int(stored.sum()) + int(np.count_nonzero(np.asarray(kernel.dense)))


def fits(shape: Sequence[int]) -> bool:
    """Whether the inputs and the weights of a leaf can be numbered."""
    return shape[-2] <= MOST_INPUTS and math.prod(shape) < MOST_WEIGHTS


def pack(
    shape: Sequence[int],
    layer: Callable[[int], tuple[Matrix, Survival]],
    levels: int,
    densities: Mapping[int, float],
) -> list[SparseKernel]:
    """Packs layers of a leaf.

    Args:
        shape: of the leaf, (layer in out) or (in out).
        layer: makes the weights of one, and at how many of the levels each is kept.
        levels: sparsities, ascending; weights kept at all of them are in all kernels.
        densities: of the layers to pack, about how much is kept; their mean decides on
            blocks.

    Returns:
        a kernel for each level; all but `ends` is one memory.

    Raises:
        InputError: more inputs or weights than can be numbered.
        build.Unavailable: see there.
    """
    if not fits(shape):
        raise InputError(
            f"`execution=sparse`: a leaf of shape {tuple(shape)} has more than "
            f"{MOST_INPUTS:,} inputs or {MOST_WEIGHTS:,} weights; choose dense"
        )
    inputs, outputs = shape[-2:]
    layers = shape[0] if len(shape) == 3 else 1
    # All levels and methods have arrays of one shape, and so one compilation. What is
    # not written to takes no memory.
    places = layers * -(-inputs // min(BLOCK, inputs)) * outputs
    starts, ends = _room(places, np.uint32), _room((levels, places), np.uint32)
    weights = layers * inputs * outputs
    inputs_of, values = _room(weights, np.uint16), _room(weights, np.float32)

    density = sum(densities.values()) / len(densities)
    block = inputs if density < FEW else min(BLOCK, inputs)
    blocks = -(-inputs // block)
    sizes = [ctypes.c_int64(size) for size in (inputs, outputs, block, levels)]
    stride, built, end = ctypes.c_int64(places), library(), 0
    for number in sorted(densities):
        matrix, survival = map(np.ascontiguousarray, layer(number))
        first = number * blocks * outputs
        own = _address(starts, first), _address(ends, first), stride
        end += built.jaxsparse_count(
            _address(survival), *sizes, ctypes.c_int64(end), *own
        )
        built.jaxsparse_fill(
            _address(matrix), _address(survival), *sizes, *own,
            _address(inputs_of), _address(values),
        )  # fmt: skip
    shared = {
        "starts": starts, "inputs": inputs_of, "values": values,
        "geometry": np.array([block, blocks], np.int32),
        "dense": np.zeros((0, inputs, outputs), np.float32),
        "place": np.full(layers, -1, np.int32), "layer": np.int32(0),
    }  # fmt: skip
    shared = {name: jax.device_put(array) for name, array in shared.items()}
    return [
        SparseKernel(ends=jax.device_put(at_level), shape=tuple(shape), **shared)
        for at_level in ends
    ]


def _room(shape: int | tuple[int, int], dtype: Any) -> np.ndarray:
    """Zeros at the beginning of a page, which JAX takes as they are."""
    number = int(np.prod(shape, dtype=np.int64))
    size = max(number * np.dtype(dtype).itemsize, 1)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, dtype, number).reshape(shape)


def _address(array: np.ndarray, skipped: int = 0) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data + skipped * array.itemsize)
