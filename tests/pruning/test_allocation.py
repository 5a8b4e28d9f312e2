"""Counts are exact integers, from shapes alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.pruning import Counts, counts
from jaxsparse.types import InputError


def _stub(*shape):
    """Scores of a shape that take no memory."""
    return np.broadcast_to(np.float32(0), shape)


SCORES = {"a": {"kernel": _stub(3, 5, 3), "bias": None}, "b": _stub(2, 5)}


def test_one_count_per_matrix():
    counted = counts(SCORES, 0.5, "matrix")
    assert counted == Counts("matrix", {"a/kernel": (8, 8, 8), "b": (5,)})


def test_one_count_for_all():
    assert counts(SCORES, 0.5, "global") == Counts("global", {"": (28,)})  # of 55


@pytest.mark.parametrize(
    ("sparsity", "count"), [(0.0, 0), (0.25, 2), (0.75, 8), (1.0, 10)]
)
def test_halves_go_to_the_even_neighbour_and_the_ends_are_legal(sparsity, count):
    assert counts({"b": _stub(2, 5)}, sparsity, "matrix").pruned["b"] == (count,)


@pytest.mark.parametrize("n", [2**24 + 1, 2**24 + 3, 2**31 + 1, 1_475_788_801])
def test_counts_above_float32_are_exact(n):
    scores = {"w": _stub(n, 1)}
    for scope, path in (("matrix", "w"), ("global", "")):
        (everything,) = counts(scores, 1.0, scope).pruned[path]
        (half,) = counts(scores, 0.5, scope).pruned[path]
        assert everything == n
        assert type(everything) is int
        assert abs(2 * half - n) == 1
        assert half % 2 == 0


def test_a_global_count_adds_sizes_before_rounding():
    scores = {"a": _stub(2**24 + 1, 1), "b": _stub(2**24, 1)}
    assert counts(scores, 1.0, "global").pruned[""] == (2**25 + 1,)


@given(st.floats(0, 1), st.integers(1, 2**32))
def test_the_rule_is_the_one_of_torch(sparsity, n):
    from torch.nn.utils.prune import _compute_nparams_toprune

    (count,) = counts({"w": _stub(n, 1)}, sparsity, "matrix").pruned["w"]
    assert count == _compute_nparams_toprune(sparsity, n)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0001, 50.0, float("nan"), float("inf")])
def test_a_sparsity_that_is_not_a_fraction_is_refused(sparsity):
    with pytest.raises(InputError, match=f"--sparsities: {sparsity}"):
        counts(SCORES, sparsity, "matrix")


def test_an_unknown_scope_is_refused():
    with pytest.raises(ValueError, match="'output'"):
        counts(SCORES, 0.5, "output")
