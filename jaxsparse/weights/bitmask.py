"""Tensors as one bit a weight and the values kept, in a safetensors file.

    __metadata__    format: jaxsparse-bitmask; version: 1; shapes: JSON, the shape of
                    each tensor NAME that is stored so
    NAME.bitmask    uint8, a bit for each weight in row-major order, the lowest of a
                    byte first; 1: kept. The last byte is filled up with zeros.
    NAME.values     the weights kept, in that order and in the tensor's dtype

A weight is kept unless all its bits are zero (minus zero is kept), so that what is read
is what was written, bit for bit. A tensor that would not shrink is stored as it is.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from jaxsparse.weights.rules import Shape, listing

FORMAT, VERSION = "jaxsparse-bitmask", 1


class OtherVersion(ValueError):
    """A file that another version of jaxsparse reads."""


def mask_name(name: str) -> str:
    return f"{name}.bitmask"


def values_name(name: str) -> str:
    return f"{name}.values"


def metadata(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """What the file says of itself.

    Args:
        shapes: of the tensors that are stored as bits and values.
    """
    written = json.dumps(shapes, separators=(",", ":"), ensure_ascii=False)
    return {"format": FORMAT, "version": str(VERSION), "shapes": written}


def kept(tensor: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, " n"]:
    """Which weights have a bit that is not zero."""
    flat = np.ascontiguousarray(tensor).reshape(-1)
    return flat.view(f"u{flat.dtype.itemsize}") != 0


def packed(mask: Bool[np.ndarray, " n"]) -> UInt8[np.ndarray, " byte"]:
    """As the file has it."""
    return np.packbits(mask, bitorder="little")


def stored_bytes(mask: Bool[np.ndarray, " n"], itemsize: int) -> int:
    """What a tensor takes, as bits and values."""
    return math.ceil(mask.size / 8) + int(np.count_nonzero(mask)) * itemsize


def restored(
    mask: UInt8[np.ndarray, " byte"], values: Shaped[np.ndarray, " kept"], shape: Shape
) -> Shaped[np.ndarray, "..."]:
    """The tensor.

    Raises:
        ValueError: there are not as many values as bits, or bits behind the last.
    """
    size = math.prod(shape)
    bits = np.unpackbits(mask, bitorder="little").view(bool)
    if bits[size:].any():
        raise ValueError("its bitmask has bits behind the last weight")
    if (count := int(np.count_nonzero(bits))) != values.size:
        raise ValueError(f"{values.size} values, but its bitmask keeps {count}")
    tensor = np.zeros(size, values.dtype)
    unsigned = f"u{values.dtype.itemsize}"  # NumPy knows how to move these
    tensor.view(unsigned)[bits[:size]] = values.view(unsigned)
    return tensor.reshape(shape)


def shapes_of(
    said: Mapping[str, str],
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, np.dtype],
) -> dict[str, Shape]:
    """The shapes of the tensors that are stored as bits and values.

    Args:
        said: the file's metadata.
        shapes: of what it holds, as its header has them.
        dtypes: likewise.

    Raises:
        OtherVersion: it is of another version.
        ValueError: it is of another format, or its parts do not fit.
    """
    if said.get("format") != FORMAT:
        raise ValueError(f"its format is {said.get('format')!r}, not {FORMAT!r}")
    if said.get("version") != str(VERSION):
        raise OtherVersion(
            f"version {said.get('version')!r} of its format, and this jaxsparse reads "
            f"{VERSION}; update jaxsparse"
        )
    try:
        given = {name: _shape(value) for name, value in _read_shapes(said).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ValueError("its metadata has no shapes that can be read") from None
    parts = {part for name in given for part in (mask_name(name), values_name(name))}
    if missing := parts - shapes.keys():
        raise ValueError(f"missing: {listing(sorted(missing))}")
    if twice := given.keys() & shapes.keys():
        raise ValueError(f"stored twice: {listing(sorted(twice))}")
    for name, shape in given.items():
        size, mask, values = math.prod(shape), mask_name(name), values_name(name)
        if dtypes[mask] != np.uint8 or shapes[mask] != (math.ceil(size / 8),):
            raise ValueError(
                f"{mask} is {dtypes[mask]} {shapes[mask]}, which does not fit shape "
                f"{shape} of {name}"
            )
        if len(shapes[values]) != 1 or shapes[values][0] > size:
            raise ValueError(
                f"{values} {shapes[values]} does not fit shape {shape} of {name}"
            )
    return given


def _read_shapes(said: Mapping[str, str]) -> dict[str, Any]:
    shapes = json.loads(said.get("shapes", ""))
    if not isinstance(shapes, dict):
        raise TypeError
    return shapes


def _shape(value: Any) -> Shape:
    if not all(type(size) is int and size >= 0 for size in value):
        raise ValueError
    return tuple(value)
