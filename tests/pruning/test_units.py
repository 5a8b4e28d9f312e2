"""Units by the sums of their weights' scores: exact counts, the earlier of equals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.pruning import ZERO, by_unit, kept_layers, kept_units, unit_scores
from jaxsparse.types import InputError

AXES = {-1: (1, 2), -2: (2, 1)}  # the axis of units -> where weights and units lie


def random_scores(shape, seed=0, zeros=0.0):
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=shape).astype(np.float32)
    scores[generator.random(shape) < zeros] = ZERO
    return scores


def brute_force(kernels, units):
    """Weight by weight."""
    layers = len(kernels[0][0])
    sums, weights = np.zeros((layers, units)), np.zeros((layers, units), int)
    for scores, axis in kernels:
        width = scores.shape[axis] // units
        for place, score in np.ndenumerate(scores):
            layer, unit = place[0], place[axis % 3] // width
            if score != -np.inf:
                sums[layer, unit] += float(score)
                weights[layer, unit] += 1
    return np.where(weights > 0, sums, -np.inf)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("zeros", [0.0, 0.9])
def test_a_units_score_is_the_sum_of_its_weights_scores(width, zeros):
    kernels = [
        (random_scores((2, 3, 5 * width), 0, zeros), -1),
        (random_scores((2, 3, 5 * width), 1, zeros), -1),
        (random_scores((2, 5 * width, 4), 2, zeros), -2),
    ]
    expected = brute_force(kernels, 5)
    np.testing.assert_allclose(unit_scores(kernels, 5), expected, rtol=1e-12)
    found = unit_scores(kernels, 5, alike=True)
    sums = np.where(expected == -np.inf, 0, expected).sum(0)
    sums[(expected == -np.inf).all(0)] = -np.inf
    np.testing.assert_allclose(found, sums[None], rtol=1e-12)


def test_one_zero_weight_does_not_send_a_unit_first_and_no_score_sends_it_sooner():
    """Scores of a user's may be as negative as they like."""
    scores = np.full((1, 2, 4), -3e38, np.float32)
    scores[0, :, 2] = ZERO  # has no weight
    scores[0, 0, 1] = ZERO  # has one
    found = unit_scores([(scores, -1)], 4)
    assert found[0, 2] == -np.inf
    assert np.isfinite(np.delete(found, 2)).all()
    assert found[0, 1] == float(np.float32(-3e38))
    assert kept_units(found, 0.25).tolist() == [[0, 1, 3]]


def test_a_matrix_without_layers_is_one_layer():
    scores = random_scores((3, 6))
    assert by_unit(scores, -1, 2).shape == (1, 9, 2)
    expected = unit_scores([(scores[None], -1)], 2)
    np.testing.assert_array_equal(unit_scores([(scores, -1)], 2), expected)


@given(units=st.integers(1, 60), sparsity=st.floats(0, 1), seed=st.integers(0, 9))
def test_counts_are_exact_and_no_unit_that_goes_is_above_one_that_stays(
    units, sparsity, seed
):
    scores = np.random.default_rng(seed).integers(0, 4, (3, units)).astype(float)
    kept = kept_units(scores, sparsity)
    assert kept.shape == (3, units - round(sparsity * units))
    for row, left in zip(scores, kept, strict=True):
        assert left.tolist() == sorted({*left.tolist()})
        gone = sorted({*range(units)} - {*left.tolist()})
        for one in gone:  # the earlier of equals goes
            assert all((row[one], one) < (row[other], other) for other in left)
    more = kept_units(scores, min(1.0, sparsity + 0.2))
    assert all({*m} <= {*k} for m, k in zip(more.tolist(), kept.tolist(), strict=True))


def test_halves_go_to_the_even_number():
    scores = np.arange(10.0)[None]
    assert [10 - kept_units(scores, s).shape[1] for s in (0.25, 0.35)] == [2, 4]
    assert kept_layers([0.3, 0.1, 0.1], 0.5) == [0]
    assert kept_layers([0.3, 0.1, 0.1], 1 / 3) == [0, 2]
    assert kept_layers([0.3, 0.1], 0.0) == [0, 1]
    with pytest.raises(InputError, match=r"`sparsity=1\.5`"):
        kept_units(scores, 1.5)
