"""Columns of a table from texts and from numpy's arrays, without copies in between.

`pa.array` does more, and imports pandas for it: that takes longer than all the rest.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Shaped

MOST = 2**31 - 1  # bytes, or items, that offsets of Arrow's count to


def texts(values: Iterable[str]) -> pa.Array:
    """A column of strings."""
    encoded = [text.encode() for text in values]
    return _strings(list(map(len, encoded)), b"".join(encoded))


def numbers(values: Shaped[np.ndarray, " row"]) -> pa.Array:
    """A column of numbers, of the array's type; or of what is true."""
    kind, content = pa.from_numpy_dtype(values.dtype), np.ascontiguousarray(values)
    if kind == pa.bool_():
        content = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(content)])


def lists(items: pa.Array, sizes: Sequence[int]) -> pa.Array:
    """A column of lists: so many of the items in each row, in their order."""
    return pa.ListArray.from_arrays(numbers(_offsets(sizes)), items)


def same(
    value: str | int | float | bool | None, kind: pa.DataType, rows: int
) -> pa.Array:
    """A column that has the same in all rows; None is empty."""
    if value is None:
        return pa.nulls(rows, kind)
    if isinstance(value, str):
        encoded = value.encode()
        return _strings([len(encoded)] * rows, encoded * rows)
    return numbers(np.full(rows, value, kind.to_pandas_dtype()))


def _strings(sizes: Sequence[int], content: bytes) -> pa.Array:
    buffers = pa.py_buffer(_offsets(sizes)), pa.py_buffer(content)
    return pa.StringArray.from_buffers(len(sizes), *buffers)


def _offsets(sizes: Sequence[int]) -> Int32[np.ndarray, " end"]:
    """Where each row begins, and the last one ends.

    Raises:
        OverflowError: further on than Arrow's offsets count.
    """
    ends = np.cumsum([0, *sizes], dtype=np.int64)
    if ends[-1] > MOST:
        raise OverflowError(f"a column of {ends[-1]} bytes or items; at most {MOST}")
    return ends.astype(np.int32)
