"""Groups are views with the competing weights on the last axis; counts are exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxsparse.pruning import counts, groups, mask_at, nested_masks
from jaxsparse.types import InputError
from tests.oracle import prune

TIED = [np.float32(x) for x in (-1, -0.0, 0.0, 1e-40, 0.5, 2)]


def numbered():
    """Every weight is its number in sorted path order, then layer, then row-major."""
    order = np.arange(3 * 4 * 2 + 4 * 6, dtype=np.float32)
    return {"b": order[24:].reshape(4, 6), "a": order[:24].reshape(3, 4, 2)}


def rows(scope, pattern="unstructured"):
    def groups_of(part):
        return [part[index].tolist() for index in np.ndindex(part.shape[:-1])]

    return [
        [groups_of(part) for part in group]
        for group, _ in groups(numbered(), scope, pattern)
    ]


def test_a_matrix_is_one_group():
    *stacked, last = rows("matrix")
    assert stacked == [[[list(range(n, n + 8))]] for n in (0, 8, 16)]
    assert last == [[list(range(24, 48))]]


def test_an_output_is_the_group_of_its_inputs():
    first, *_, last = rows("output")
    assert first == [[[0, 2, 4, 6], [1, 3, 5, 7]]]
    assert last == [[[24 + unit + 6 * row for row in range(4)] for unit in range(6)]]


def test_everything_is_one_group_in_parts():
    (group,) = rows("global")
    assert [weight for part in group for (row,) in [part] for weight in row] == list(
        range(48)
    )


@pytest.mark.parametrize("scope", ["matrix", "output", "global"])
def test_consecutive_inputs_of_an_output_are_a_group_of_n_of_m(scope):
    first, *_ = rows(scope, "1:2")
    assert first == [[[0, 2], [4, 6], [1, 3], [5, 7]]]


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
@pytest.mark.parametrize("scope", ["matrix", "output", "global"])
def test_groups_are_views(scope, pattern):
    leaves, matrices = numbered(), 0
    for group, places in groups(leaves, scope, pattern):
        matrices += len(places)
        for part in group:
            part += 1000
    assert matrices == 4
    assert np.concatenate([leaves["a"].ravel(), leaves["b"].ravel()]).tolist() == [
        1000 + n for n in range(48)
    ]


@pytest.mark.parametrize("pattern", ["3:5", "4:4", "0:4", "2to4", "1:100"])
def test_patterns_that_do_not_fit_are_refused(pattern):
    with pytest.raises(InputError, match=f"pattern={pattern}"):
        list(groups(numbered(), "output", pattern))


def test_an_unknown_scope_is_refused():
    with pytest.raises(ValueError, match="'row'"):
        list(groups(numbered(), "row"))


def group(*sizes):
    """Parts of these sizes that take no memory."""
    return tuple(np.broadcast_to(np.float32(0), (1, size)) for size in sizes)


@pytest.mark.parametrize(
    ("sparsity", "count"), [(0.0, 0), (0.25, 2), (0.75, 8), (1.0, 10)]
)
def test_halves_go_to_the_even_neighbour_and_the_ends_are_legal(sparsity, count):
    assert counts(group(10), sparsity) == count


@pytest.mark.parametrize("n", [2**24 + 1, 2**24 + 3, 2**31 + 1, 1_475_788_801])
def test_counts_above_float32_are_exact(n):
    everything, half = counts(group(n), 1.0), counts(group(n), 0.5)
    assert everything == n
    assert type(everything) is int
    assert abs(2 * half - n) == 1
    assert half % 2 == 0


def test_the_sizes_of_parts_are_added_before_rounding():
    assert counts(group(2**24 + 1, 2**24), 1.0) == 2**25 + 1
    assert counts(group(3, 3), 0.25) == 2  # 1 and 1 would be rounded from 0.75 each


@given(st.floats(0, 1), st.integers(1, 2**32))
def test_the_rule_is_the_one_of_torch(sparsity, n):
    assert counts(group(n), sparsity) == prune._compute_nparams_toprune(sparsity, n)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0001, 50.0, float("nan"), float("inf")])
def test_a_sparsity_that_is_not_a_fraction_is_refused(sparsity):
    with pytest.raises(InputError, match=f"`sparsity={sparsity}`"):
        counts(group(3), sparsity)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float32, (2, 8, 3), elements=st.sampled_from(TIED)))
def test_two_of_four_consecutive_inputs_are_kept(leaf):
    kept = mask_at(nested_masks({"w": leaf}, [0.5], "output", "2:4")["w"], 0)
    groups = kept.reshape(2, 2, 4, 3)
    assert np.all(groups.sum(axis=2) == 2)
    lost = np.where(groups, -np.inf, leaf.reshape(2, 2, 4, 3)).max(2)
    left = np.where(groups, leaf.reshape(2, 2, 4, 3), np.inf).min(2)
    assert np.all(lost <= left)
