"""Thresholds against sorting, for any finite or infinite float32."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsparse.pruning import thresholds as module
from jaxsparse.pruning.thresholds import thresholds

ANY_FLOAT = st.floats(allow_nan=False, width=32)
GROUPS = st.lists(
    st.integers(1, 9).flatmap(lambda n: arrays(np.float32, (2, n), elements=ANY_FLOAT)),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=50)
@given(GROUPS, st.data())
def test_thresholds_are_the_sorted_scores(group, data):
    order = np.sort(np.concatenate([matrix.ravel() for matrix in group]))
    count = data.draw(st.integers(0, order.size))
    (cut,) = thresholds(group, [count])
    assert cut.value == order[max(count - 1, 0)]
    assert cut.ties == np.sum(order == cut.value)
    assert cut.budget == count - np.sum(order < cut.value)


def test_chunks_do_not_show(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(50, 21)).astype(np.float32)
    counts = [0, 1, 63, 64, 65, 525, 1049, 1050]
    whole = thresholds([scores], counts)
    monkeypatch.setattr(module, "_CHUNK", 64)
    assert thresholds([scores], counts) == whole


def test_a_count_outside_the_group_is_refused():
    with pytest.raises(ValueError, match=r"\[-1, 5\] of 4"):
        thresholds([np.zeros((2, 2), np.float32)], [-1, 3, 5])
