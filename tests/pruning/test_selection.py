"""Both ways of selection against sorting, for any finite or infinite float32."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsparse.pruning import selection
from jaxsparse.pruning.selection import keep_by_radix, keep_by_sort

# Few distinct values, both zeros among them: nearly every cut goes through ties.
TIED = st.sampled_from([np.float32(x) for x in (-np.inf, -1, -0.0, 0.0, 1e-40, 2)])
ELEMENTS = st.sampled_from([TIED, st.floats(allow_nan=False, width=32)])
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 9))
SCORES = st.tuples(SIZES, ELEMENTS).flatmap(
    lambda drawn: arrays(np.float32, drawn[0], elements=drawn[1])
)


def by_argsort(rows, counts):
    """At how many counts each is kept, by a stable argsort of every row."""
    kept = np.zeros(rows.shape, np.uint8)
    for row, kept_row in zip(rows, kept, strict=True):
        for count in counts:
            kept_row[np.argsort(row + 0.0, kind="stable")[count:]] += 1
    return kept


@settings(deadline=None, max_examples=80)
@given(SCORES, st.data())
def test_both_keep_what_a_stable_argsort_keeps(scores, data):
    size = scores.shape[-1]
    counts = data.draw(st.lists(st.integers(0, size), min_size=1, max_size=4))
    expected = by_argsort(scores, counts)
    sorted_way = np.zeros(scores.T.shape, np.uint8).T  # strided, as outputs are
    keep_by_sort(np.asfortranarray(scores), sorted_way, counts)
    np.testing.assert_array_equal(sorted_way, expected)
    cut = data.draw(st.integers(0, size))
    parts = (scores[:, :cut], scores[:, cut:])
    radix_way = np.zeros(scores.shape, np.uint8)
    keep_by_radix(parts, (radix_way[:, :cut], radix_way[:, cut:]), counts)
    np.testing.assert_array_equal(radix_way, expected)


@pytest.mark.parametrize("keep", [keep_by_sort, keep_by_radix])
def test_chunks_do_not_show(monkeypatch, keep):
    scores = np.random.default_rng(0).normal(size=(5, 210)).astype(np.float32)
    counts = [0, 1, 63, 64, 65, 209, 210]

    def kept():
        found = np.zeros(scores.shape, np.uint8)
        if keep is keep_by_sort:
            keep_by_sort(scores, found, counts)
        else:
            keep_by_radix((scores,), (found,), counts)
        return found

    in_one_chunk = kept()
    monkeypatch.setattr(selection, "_CHUNK", 64)
    np.testing.assert_array_equal(kept(), in_one_chunk)


def test_groups_of_several_axes_are_sorted_by_the_last():
    scores = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    kept = np.zeros(scores.shape, np.uint8)
    keep_by_sort(scores, kept, [2])
    assert (kept.sum(-1) == 2).all()
    lost, left = (scores[kept == n].reshape(30, 2) for n in (0, 1))
    assert (lost.max(1) < left.min(1)).all()
