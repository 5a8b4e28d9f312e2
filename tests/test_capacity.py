"""What suits a device: known by arithmetic, where it says what memory it has."""

import jax
import numpy as np
import pytest

from jaxsparse import capacity, parallel
from jaxsparse.scoring import BatchShape
from tests import rows

GIGABYTE = 10**9


def shape(batch_rows=4, length=64, scored=8):
    lengths = (("tokens", length), ("positions", length), ("scored", scored))
    return BatchShape(2, batch_rows, lengths, 16, 10, 4)


@pytest.fixture
def model(loaded):
    return loaded("gpt2")


@pytest.fixture
def accelerator(monkeypatch):
    """As if the device had so much memory, and were no CPU."""

    def pretend(memory):
        monkeypatch.setattr(parallel, "memory", lambda: memory)
        monkeypatch.setattr(capacity.jax, "default_backend", lambda: "gpu")

    return pretend


def test_a_cpu_evaluates_one_level_at_a_time(model):
    assert capacity.levels_at_once(model, model.prunable("blocks"), [shape()], 5) == 1
    assert capacity.batch_tokens(model, "blocks") == capacity.CPU_BATCH_TOKENS


def needed(model, levels):
    """Bytes for so many levels, as the docstrings say."""
    leaves = model.params
    pruned = [leaves[path].nbytes for path in model.prunable("blocks")]
    each = sum(pruned) + capacity.activations(model, shape()) + max(pruned)
    dense = sum(leaf.nbytes for leaf in leaves.values())
    return (dense + levels * each) / capacity.SHARE


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_as_many_levels_as_memory_takes(model, accelerator, levels):
    paths = model.prunable("blocks")
    accelerator(needed(model, levels) + 100)
    assert capacity.levels_at_once(model, paths, [shape()], 9) == levels
    accelerator(needed(model, levels) - 100)
    assert capacity.levels_at_once(model, paths, [shape()], 9) == max(levels - 1, 1)


def test_no_more_than_there_are_and_for_the_largest_shape(model, accelerator):
    paths = model.prunable("blocks")
    accelerator(100 * GIGABYTE)
    assert capacity.levels_at_once(model, paths, [shape()], 5) == 5
    most = capacity.ACCELERATOR_BATCH_TOKENS
    assert capacity.batch_tokens(model, "blocks") == most
    accelerator(needed(model, 3))
    large = shape(batch_rows=1000)
    assert capacity.levels_at_once(model, paths, [shape(), large], 5) == 1


def test_batches_are_halved_until_one_level_fits(model, accelerator):
    found = []
    for memory in (8 * GIGABYTE, GIGABYTE // 4, GIGABYTE // 16, 1):
        accelerator(memory)
        found.append(capacity.batch_tokens(model, "blocks"))
    assert found == sorted(found, reverse=True)
    assert found[0] == capacity.ACCELERATOR_BATCH_TOKENS > found[1] > found[-1]
    assert found[-1] == capacity.CPU_BATCH_TOKENS


def test_a_device_that_does_not_say_gets_one(model, accelerator):
    accelerator(0)
    assert capacity.levels_at_once(model, model.prunable("blocks"), [shape()], 5) == 1


def test_activations_by_hand(model):
    config = model.config
    wide = 64 * (8 * config.hidden + 2 * config.ffn)
    attention, logits = 2 * config.heads * 64 * 64, 2 * 8 * config.vocab
    expected = 4 * 4 * (wide + attention + logits)
    assert capacity.activations(model, shape()) == expected


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
@pytest.mark.parametrize("tokens", [1, 25, 60, 1000])
def test_rows_in_parts_are_the_rows_together(variant, tokens, loaded, monkeypatch):
    """Parts of one row, of two, of all; of four, the last of which is filled up."""
    monkeypatch.setattr(capacity, "CPU_BATCH_TOKENS", tokens)
    model = loaded(variant)
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, 10))
    made = jax.tree.map(lambda leaf: np.concatenate([leaf] * 4)[:7], made)
    assert len(made.tokens) == 7
    found = jax.jit(capacity.in_parts(model.apply))(model.params, made)
    expected = jax.jit(model.apply)(model.params, made)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
