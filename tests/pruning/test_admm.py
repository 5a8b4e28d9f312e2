"""ADMM against its definition in float64."""

import functools

import jax
import numpy as np
import pytest

from jaxsparse.pruning import admm as module
from jaxsparse.pruning.admm import admm, growing_counts, solve
from jaxsparse.pruning.sparsegpt import sparsegpt
from jaxsparse.types import InputError
from tests.pruning.layers import assert_close, error, layer


def reference(weights, gram, sparsity, pattern=None):
    """The formulas of the design, one after another."""
    zero, gram = weights == 0, gram.astype(np.float64)
    diagonal = np.diag(gram).copy()
    dead = diagonal == 0
    diagonal[dead] = 1
    root = np.sqrt(diagonal)[:, None]
    scaled = gram / root / root.T
    scaled[dead, dead] = 1
    scaled += 0.1 * np.mean(np.diag(scaled)) * np.eye(len(gram))
    wanted = root * weights
    v, u = wanted, np.zeros(wanted.shape)
    for step in range(1, 21):
        if step <= 15:
            share = sparsity * (1 - (1 - step / 15) ** 3)
            scores = np.abs(v + u)
            scores[dead], scores[zero] = 0, -np.inf
            if pattern:
                kept, width = pattern
                grouped = scores.reshape(-1, width, scores.shape[1])
                ranks = grouped.argsort(1, kind="stable").argsort(1, kind="stable")
                scores = np.where(ranks < width - kept, grouped, np.inf)
                scores = scores.reshape(weights.shape)
            order = np.argsort(scores, None, kind="stable")
            mask = ~zero
            mask.flat[order[: round(share * mask.size)]] = False
        z = np.where(mask, v + u, 0)
        u = u + v - z
        v = np.linalg.solve(scaled + np.eye(len(gram)), scaled @ wanted + z - u)
    return np.where(mask, v + u, 0) / root, mask


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.6, 0.95, 1.0])
def test_the_masks_and_weights_of_the_definition(sparsity):
    weights, gram = layer(70, 30, zeros=0.05, dead=[3])
    solution = admm(weights, gram, sparsity)
    values, mask = reference(weights, gram, sparsity)
    np.testing.assert_array_equal(solution.mask, mask)
    assert_close(solution.values, values)
    assert np.sum(~mask) == max(np.sum(weights == 0), round(sparsity * mask.size))


@pytest.mark.parametrize(("kept", "width"), [(2, 4), (4, 8), (1, 4), (3, 7), (20, 32)])
def test_the_masks_and_weights_of_n_m(kept, width):
    weights, gram = layer(3 * width, 30, zeros=0.05, dead=[3])
    solution = admm(weights, gram, 0.9, f"{kept}:{width}")
    values, mask = reference(weights, gram, 1 - kept / width, (kept, width))
    np.testing.assert_array_equal(solution.mask, mask)
    assert_close(solution.values, values)
    assert np.asarray(solution.mask).reshape(-1, width, 30).sum(1).max() == kept


def test_inverting_by_halves(monkeypatch):
    weights, gram = layer(70, 30)
    values, mask = reference(weights, gram, 0.6)
    monkeypatch.setattr(module, "INVERTED", 16)
    jax.clear_caches()
    solution = admm(weights, gram, 0.6)
    np.testing.assert_array_equal(solution.mask, mask)
    assert_close(solution.values, values)


@pytest.mark.parametrize("sparsity", [0.5, 0.7])
@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_it_loses_less_than_sparsegpt(sparsity, pattern):
    weights, gram = layer(192, 64, seed=1)
    lost = [
        error(weights, solver(weights, gram, sparsity, pattern).values, gram)
        for solver in (admm, sparsegpt)
    ]
    assert lost[0] < lost[1]


def test_zeros_of_the_file_stay_zero_and_dead_inputs_go_next():
    weights, gram = layer(64, 10, zeros=0.1, dead=range(4))
    solution = admm(weights, gram, 0.25)
    mask = np.asarray(solution.mask)
    assert not mask[weights == 0].any()
    assert not mask[:4].any()
    assert not np.any(np.asarray(solution.values)[~mask])
    assert np.sum(~mask) == 160


def test_damping_is_raised_until_the_gram_matrix_can_be_factored():
    weights, _ = layer(64, 10)
    broken = 1.05 * np.eye(64, dtype=np.float32) - np.float32(0.05)  # down to -2.15
    solution = admm(weights, broken, 0.5)
    assert solution.damping_raised == 2
    assert np.isfinite(solution.values).all()
    with pytest.raises(InputError, match=r"cannot be factored"):
        admm(weights, -broken, 0.5)


def test_the_sparsity_grows_by_a_cubic_to_the_exact_count():
    counts = growing_counts(1001, 0.7)
    assert len(counts) == 15
    assert np.all(np.diff(counts) > 0)
    assert counts[0] == round(1001 * 0.7 * (1 - (14 / 15) ** 3))
    assert counts[-1] == round(0.7 * 1001)


@pytest.mark.parametrize("pattern", [None, (2, 4)])
def test_layers_under_vmap_are_those_one_by_one(pattern):
    pairs = [layer(48, 20, seed=seed) for seed in range(3)]
    weights, grams = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    counts = growing_counts(48 * 20, 0.5)
    solving = functools.partial(solve, consecutive=pattern)
    together = jax.vmap(solving, (0, 0, None, None))(weights, grams, 0.1, counts)
    for number, (weights, gram) in enumerate(pairs):
        values, mask, _ = solving(weights, gram, 0.1, counts)
        np.testing.assert_array_equal(together[1][number], mask)
        assert_close(together[0][number], np.asarray(values))
