"""One matrix, from weights and statistics to a solution."""

import numpy as np
import pytest

from jaxsparse.pruning import Recipe, mask_at, nested_masks, prune_matrix, scores
from jaxsparse.types import InputError
from tests.pruning.test_criteria import SHAPE, layer, statistics_of


def known(seed):
    weights, seen, rows = layer(seed)
    return weights, seen, statistics_of(seen, rows)


@pytest.mark.parametrize("method", ["magnitude", "random", "wanda", "ria", "fisher"])
@pytest.mark.parametrize("pattern", ["unstructured", "1:4"])
def test_a_mask_is_that_of_all_matrices_together(method, pattern):
    recipe = Recipe(method, pattern=pattern, seed=4)
    weights, _, statistics = known(0)
    leaf = np.stack([weights, weights[::-1]])
    scored = scores({"h/w": leaf}, method, lambda path, layer: statistics, seed=4)
    sparsity = recipe.own_sparsity or 0.7
    nested = nested_masks(scored, [sparsity], recipe.scope, pattern)["h/w"]
    for number, matrix in enumerate(leaf):
        solution = prune_matrix(recipe, matrix, statistics, sparsity, "h/w", number)
        expected = mask_at(nested[number], 0)
        np.testing.assert_array_equal(solution.mask, expected)
        np.testing.assert_array_equal(solution.values, np.where(expected, matrix, 0))
        assert solution.bias is None


def test_bias_keeps_the_mean_output():
    """mean(X W') + bias is mean(X W)."""
    weights, seen, statistics = known(1)
    solution = prune_matrix(Recipe("wanda+bias"), weights, statistics, 0.8, "w", 0)
    plain = prune_matrix(Recipe("wanda"), weights, statistics, 0.8, "w", 0)
    np.testing.assert_array_equal(solution.values, plain.values)
    before, after = seen @ weights, seen @ solution.values + solution.bias
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=1e-3)
    assert np.abs(before.mean(0) - (seen @ plain.values).mean(0)).max() > 0.1


def test_a_mask_that_is_given_is_taken():
    weights, _, statistics = known(2)
    mask = np.random.default_rng(0).random(SHAPE) < 0.3
    recipe = Recipe("magnitude+bias", "global")
    solution = prune_matrix(recipe, weights, statistics, 0.9, "w", 0, mask)
    np.testing.assert_array_equal(solution.values, np.where(mask, weights, 0))
    with pytest.raises(ValueError, match="from all matrices"):
        prune_matrix(recipe, weights, statistics, 0.9, "w", 0)


def test_weights_that_are_no_numbers_are_named():
    weights, _, statistics = known(3)
    weights[2, 3] = np.nan
    with pytest.raises(InputError, match=r"^h/w, layer 7: wanda scores hold NaN"):
        prune_matrix(Recipe("wanda"), weights, statistics, 0.5, "h/w", 7)
