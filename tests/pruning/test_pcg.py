"""Conjugate gradients against solving each output's damped least squares."""

import jax
import numpy as np
import pytest

from jaxsparse.pruning.pcg import pcg, solve
from tests.pruning.layers import assert_close, error, layer


def damped(gram):
    matrix = gram.astype(np.float64)
    dead = np.diag(matrix) == 0
    matrix[dead, dead] = 1
    return matrix + 0.01 * np.mean(np.diag(matrix)) * np.eye(len(matrix))


def exactly(weights, mask, gram):
    """The least of tr((W - W')ᵀ (G + λI) (W - W')), output by output."""
    matrix, values = damped(gram), np.zeros(weights.shape)
    for output, kept in enumerate(mask.T):
        wanted = (matrix @ weights[:, output].astype(np.float64))[kept]
        values[kept, output] = np.linalg.solve(matrix[np.ix_(kept, kept)], wanted)
    return values


def steps_in_float64(weights, mask, gram, steps):
    """The textbook's algorithm, one output after another (Saad 2003, algorithm 9.1)."""
    matrix, values = damped(gram), np.where(mask, weights, 0).astype(np.float64)
    for output, kept in enumerate(mask.T):
        part = matrix[np.ix_(kept, kept)]
        x = values[kept, output]
        r = (matrix @ (weights[:, output] - values[:, output]))[kept]
        p = z = r / np.diag(part)
        for _ in range(steps):
            q = part @ p
            length = (r @ z) / (p @ q)
            x, before = x + length * p, r @ z
            r = r - length * q
            z = r / np.diag(part)
            p = z + (r @ z) / before * p
        values[kept, output] = x
    return values


def problem(seed=0, **changes):
    weights, gram = layer(60, 20, seed=seed, **changes)
    mask = np.random.default_rng(seed).random(weights.shape) < 0.4
    return weights, mask & (weights != 0), gram


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_steps_are_those_of_conjugate_gradients(steps):
    weights, mask, gram = problem(dead=[2])
    solution = pcg(weights, mask, gram, steps)
    assert_close(solution.values, steps_in_float64(weights, mask, gram, steps))
    np.testing.assert_array_equal(solution.mask, mask)


def test_ten_steps_reach_what_they_reach_in_exact_arithmetic():
    """Real inputs have some directions that are far larger than the others; without
    more care float32 is then off by a fortieth after ten steps."""
    rng = np.random.default_rng(0)
    sizes = np.ones(200)
    sizes[:20] = np.geomspace(100, 3, 20)
    directions = np.linalg.qr(rng.normal(size=(200, 200)))[0]
    hidden = rng.normal(size=(2000, 200)) * sizes @ directions
    gram = (hidden.T @ hidden).astype(np.float32)
    weights = rng.normal(size=(200, 8)).astype(np.float32)
    mask = rng.random(weights.shape) < 0.4
    expected = steps_in_float64(weights, mask, gram, 10)
    got = pcg(weights, mask, gram).values
    # Of the largest as well, since these inputs are so unlike: 3e-6 measured.
    floor = 6e-6 * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=floor)


def test_ten_steps_are_the_default():
    weights, mask, gram = problem()
    ten = pcg(weights, mask, gram, 10).values
    np.testing.assert_array_equal(pcg(weights, mask, gram).values, ten)


@pytest.mark.parametrize("seed", range(3))
def test_many_steps_are_damped_least_squares_on_the_mask(seed):
    weights, mask, gram = problem(seed)
    assert_close(pcg(weights, mask, gram, 300).values, exactly(weights, mask, gram))


def test_every_step_loses_less():
    weights, mask, gram = problem()
    matrix = damped(gram)
    lost = [
        error(weights, pcg(weights, mask, gram, steps).values, matrix)
        for steps in (0, 1, 2, 5, 10)
    ]
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] < 0.7 * lost[0]


def test_what_is_pruned_or_zero_stays_zero():
    weights, mask, gram = problem(zeros=0.3)
    everything = np.ones_like(mask)
    solution = pcg(weights, everything, gram)
    np.testing.assert_array_equal(solution.mask, weights != 0)
    assert not np.any(np.asarray(solution.values)[weights == 0])
    values = np.asarray(pcg(weights, mask, gram).values)
    assert not values[~mask].any()


def test_nothing_and_everything_kept():
    weights, mask, gram = problem()
    assert not np.any(pcg(weights, np.zeros_like(mask), gram).values)
    np.testing.assert_array_equal(
        pcg(weights, np.ones_like(mask), gram).values, weights
    )


def test_layers_under_vmap_are_those_one_by_one():
    problems = [problem(seed) for seed in range(3)]
    weights, masks, grams = (np.stack(arrays) for arrays in zip(*problems, strict=True))
    together = jax.vmap(solve)(weights, masks, grams)
    for values, arguments in zip(together, problems, strict=True):
        assert_close(values, np.asarray(pcg(*arguments).values))
