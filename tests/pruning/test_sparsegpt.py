"""SparseGPT against its paper's algorithm in float64, written as it stands there."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.pruning import sparsegpt as module
from jaxsparse.pruning.sparsegpt import block_counts, solve, sparsegpt
from jaxsparse.types import InputError
from tests.pruning.layers import assert_close, error, layer


def reference(weights, gram, sparsity, pattern=None):
    """Algorithm 1, with C from the inverse of H, in blocks, column after column."""
    values, zero = weights.astype(np.float64), weights == 0
    inputs, outputs = weights.shape
    matrix = gram.astype(np.float64)
    dead = np.diag(matrix) == 0
    matrix[dead, dead] = 1
    matrix += 0.01 * np.mean(np.diag(matrix)) * np.eye(inputs)
    upper = np.linalg.cholesky(np.linalg.inv(matrix)).T
    divisors = np.diag(upper)
    kept = np.ones(weights.shape, bool)

    def decide(part, number, axis):
        scores = (values[part] / divisors[part, None]) ** 2
        scores[dead[part]], scores[zero[part]] = 0, -np.inf
        order = np.argsort(scores, axis, kind="stable")
        mask = np.ones(scores.shape, bool)
        if axis is None:
            mask.flat[order[:number]] = False
        else:
            np.put_along_axis(mask, order[:number], False, axis)
        kept[part] = mask & ~zero[part]

    block = 128 // pattern[1] * pattern[1] if pattern else 128
    for start in range(0, inputs, block):
        end = min(start + block, inputs)
        errors = np.zeros((end - start, outputs))
        if not pattern:
            decide(slice(start, end), round(sparsity * (end - start) * outputs), None)
        for row in range(start, end):
            if pattern and (row - start) % pattern[1] == 0:
                decide(slice(row, row + pattern[1]), pattern[1] - pattern[0], 0)
            lost = np.where(kept[row], 0, values[row])
            errors[row - start] = lost / upper[row, row]
            rest = slice(row + 1, end)
            values[rest] -= np.outer(upper[row, rest], errors[row - start])
            values[row] -= lost
        values[end:] -= upper[start:end, end:].T @ errors
    return np.where(kept, values, 0), kept


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("inputs", [40, 128, 300])
def test_the_paper_s_masks_and_weights(inputs, sparsity):
    weights, gram = layer(inputs, 48, seed=inputs, zeros=0.05, dead=[3])
    solution = sparsegpt(weights, gram, sparsity)
    values, kept = reference(weights, gram, sparsity)
    np.testing.assert_array_equal(solution.mask, kept)
    assert_close(solution.values, values)
    assert solution.damping_raised == 0


@pytest.mark.parametrize(
    ("inputs", "kept", "width"),
    [(128, 2, 4), (264, 4, 8), (40, 1, 4), (280, 3, 7), (96, 5, 32), (130, 1, 2)],
)
def test_the_paper_s_masks_and_weights_of_n_m(inputs, kept, width):
    weights, gram = layer(inputs, 24, seed=inputs, zeros=0.05, dead=[3])
    solution = sparsegpt(weights, gram, 0.9, f"{kept}:{width}")
    values, mask = reference(weights, gram, 0.9, (kept, width))
    np.testing.assert_array_equal(solution.mask, mask)
    assert_close(solution.values, values)
    groups = np.asarray(solution.mask).reshape(-1, width, 24).sum(1)
    assert groups.max() == kept


def test_every_block_loses_its_exact_count():
    weights, gram = layer(300, 33)
    mask = np.asarray(sparsegpt(weights, gram, 0.61).mask)
    lost = [np.sum(~mask[start : start + 128]) for start in (0, 128, 256)]
    assert lost == [round(0.61 * rows * 33) for rows in (128, 128, 44)]


def test_the_update_loses_less_than_the_mask_alone():
    weights, gram = layer(256, 64)
    solution = sparsegpt(weights, gram, 0.6)
    masked = np.where(solution.mask, weights, 0)
    updated = error(weights, solution.values, gram)
    assert updated < 0.8 * error(weights, masked, gram)


def test_zeros_of_the_file_stay_zero_and_count():
    weights, gram = layer(128, 40, zeros=0.5)
    zeros = np.sum(weights == 0)
    for sparsity in (0.2, 0.7):
        solution = sparsegpt(weights, gram, sparsity)
        assert not np.any(np.asarray(solution.mask)[weights == 0])
        assert not np.any(np.asarray(solution.values)[~np.asarray(solution.mask)])
        assert np.sum(~np.asarray(solution.mask)) == max(
            zeros, round(sparsity * weights.size)
        )


def test_weights_of_dead_inputs_go_before_all_others():
    weights, gram = layer(64, 10, dead=range(8))
    mask = np.asarray(sparsegpt(weights, gram, 0.25).mask)
    assert not mask[:8].any()
    assert np.sum(~mask) == 160
    dense = sparsegpt(weights, gram, 0.0)
    np.testing.assert_array_equal(dense.values, weights)


def test_damping_is_raised_until_the_gram_matrix_can_be_factored():
    weights, _ = layer(64, 10)
    broken = 1.05 * np.eye(64, dtype=np.float32) - np.float32(0.05)  # down to -2.15
    solution = sparsegpt(weights, broken, 0.5)
    assert solution.damping_raised == 3
    assert np.isfinite(solution.values).all()
    with pytest.raises(InputError, match=r"cannot be factored, not even with 1000 "):
        sparsegpt(weights, -broken, 0.5)


def test_bad_input_is_refused():
    weights, gram = layer(10, 4)
    with pytest.raises(InputError, match="which 4 does not divide"):
        sparsegpt(weights, gram, 0.5, "2:4")
    with pytest.raises(InputError, match=r"sparsity=1\.5"):
        sparsegpt(weights, gram, 1.5)


@pytest.mark.parametrize("pattern", [None, (2, 4)])
def test_layers_under_vmap_are_those_one_by_one(pattern):
    pairs = [layer(160, 20, seed=seed) for seed in range(3)]
    weights, grams = (
        jnp.asarray(np.stack(arrays)) for arrays in zip(*pairs, strict=True)
    )
    counts = block_counts((160, 20), 0.5, pattern)
    solving = functools.partial(solve, consecutive=pattern)
    together = jax.vmap(solving, (0, 0, None, None))(weights, grams, 0.01, counts)
    for number in range(3):
        alone = solving(weights[number], grams[number], 0.01, counts)
        np.testing.assert_array_equal(together[1][number], alone[1])
        assert_close(together[0][number], np.asarray(alone[0]))


def test_panels_and_blocks_are_multiples_of_m():
    for width in range(2, 33):
        sizes = module._sizes((1, width))
        assert sizes[0] == 128 // width * width
        for larger, smaller in itertools.pairwise(sizes):
            assert larger % smaller == 0
        assert width in sizes
