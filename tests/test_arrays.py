"""Columns made from buffers: those that `pa.array` makes, value by value."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse import arrays

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=4), max_size=9)


def is_the_same(column, values, kind):
    column.validate(full=True)
    assert column.equals(pa.array(values, kind))


@given(TEXTS)
def test_texts(values):
    is_the_same(arrays.texts(iter(values)), values, pa.string())


@given(st.lists(TEXTS, max_size=4))
def test_lists_of_texts(rows):
    items = arrays.texts(text for row in rows for text in row)
    column = arrays.lists(items, list(map(len, rows)))
    is_the_same(column, rows, pa.list_(pa.string()))


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.int64, np.float32])
@pytest.mark.parametrize("rows", [0, 1, 8, 19])
def test_numbers(dtype, rows):
    values = (np.arange(2 * rows)[::2] % 3).astype(dtype)[::-1]  # with strides
    column = arrays.numbers(values)
    is_the_same(column, values.tolist(), pa.from_numpy_dtype(dtype))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Zoë", pa.string()), ("", pa.string()), (None, pa.int64()), (7, pa.int64()),
        (0.1, pa.float64()), (0, pa.float64()), (False, pa.bool_()), (True, pa.bool_()),
    ],
)  # fmt: skip
def test_the_same_in_all_rows(value, kind):
    is_the_same(arrays.same(value, kind, 11), [value] * 11, kind)


def test_more_than_offsets_count_is_refused():
    with pytest.raises(OverflowError, match="2147483648 bytes or items"):
        arrays.lists(arrays.texts([]), [2**31 - 1, 1])
