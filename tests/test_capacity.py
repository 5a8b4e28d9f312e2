"""How much a device takes: known by arithmetic, where it says what memory it has."""

import math
from dataclasses import replace

import pytest

from jaxsparse import capacity, device
from jaxsparse.device import ACCELERATOR, CPU
from jaxsparse.models.shapes import published
from jaxsparse.scoring import BatchShape

GIGABYTE = 10**9
LENGTHS = (("tokens", 64), ("positions", 64), ("scored", 8))


def shape(rows=4):
    return BatchShape(2, rows, LENGTHS, 16, 10, 4)


@pytest.fixture
def model(loaded):
    return loaded("gpt2")


def test_a_cpu_evaluates_one_variant_at_a_time(model):
    assert capacity.levels_at_once(model, model.prunable("blocks"), [shape()], 5) == 1
    assert capacity.batch_tokens(model, "blocks") == CPU.batch_tokens
    for memory in (0, GIGABYTE, 1000 * GIGABYTE):
        assert capacity.fitting_variants(CPU, memory, 10, [10], 10) == 1
        found = capacity.fitting_tokens(CPU, memory, 10, model.config)
        assert found == CPU.batch_tokens


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_as_many_variants_as_memory_takes(count):
    """Each costs 70 of pruned leaves, 200 of activations, and its largest leaf."""
    needed = math.ceil((1000 + count * (70 + 200 + 40)) / capacity.USABLE)

    def fitting(memory):
        return capacity.fitting_variants(ACCELERATOR, memory, 1000, [30, 40], 200)

    assert fitting(needed) == count
    assert fitting(needed - 2) == max(count - 1, 1)


def test_a_device_that_does_not_say_gets_one_variant_and_full_batches(model):
    assert capacity.fitting_variants(ACCELERATOR, 0, 1000, [30, 40], 200) == 1
    found = capacity.fitting_tokens(ACCELERATOR, 0, 10**15, model.config)
    assert found == ACCELERATOR.batch_tokens


def test_a_model_asks_its_device(model, monkeypatch):
    """No more variants than there are, for the largest of its shapes."""
    model = replace(model, form=ACCELERATOR)
    paths = model.prunable("blocks")
    leaves = model.params
    pruned = [leaves[path].nbytes for path in paths]
    dense = sum(leaf.nbytes for leaf in leaves.values())
    each = sum(pruned) + max(pruned) + capacity.activations(model.config, LENGTHS, 4)
    memory = (dense + 3 * each) / capacity.USABLE + 100
    monkeypatch.setattr(device, "memory", lambda: int(memory))
    assert capacity.levels_at_once(model, paths, [shape()], 9) == 3
    assert capacity.levels_at_once(model, paths, [shape()], 2) == 2
    assert capacity.levels_at_once(model, paths, [shape(), shape(1000)], 9) == 1
    assert capacity.batch_tokens(model, "blocks") == capacity.FEWEST_TOKENS


def test_rows_of_text_are_few_on_a_cpu_and_as_many_as_fit_elsewhere():
    _, config = published("gpt2-small")
    lengths = (("tokens", 1024), ("scored", 1023))
    short = (("tokens", 32), ("scored", 31))

    def rows(form, memory, lengths=lengths, tokens=32768):
        return capacity.fitting_rows(form, memory, 0, config, lengths, tokens)

    assert rows(CPU, 0) == 1  # 2^26 logits are 1,335 rows of the vocabulary
    assert rows(CPU, 0, short) == 43
    assert rows(CPU, 0, short, 2048 // 8) == 8
    assert rows(ACCELERATOR, 0) == 32
    of_one = capacity.activations(config, lengths, 1)
    assert rows(ACCELERATOR, int(32 * of_one / capacity.USABLE) + 9) == 32
    assert rows(ACCELERATOR, int(32 * of_one / capacity.USABLE) - 9) == 16
    assert rows(ACCELERATOR, 1) == 1
    both = (("tokens", 92), ("encoder_tokens", 420), ("scored", 92))
    assert rows(ACCELERATOR, 0, both, 2048) == 4


# Of a model in float32: tokens of a batch and variants in one call, where a device has
# 16, 80 and 140 GB. t5-3b is too large for the first; a mesh divides it.
CHOSEN = {
    "gpt2-small": [(32768, 1), (32768, 8), (32768, 14)],
    "gpt2-xl": [(2048, 1), (32768, 3), (32768, 5)],
    "electra-large": [(32768, 3), (32768, 17), (32768, 30)],
    "t5-3b": [(2048, 1), (32768, 2), (32768, 3)],
}


@pytest.mark.parametrize("name", CHOSEN)
def test_what_devices_of_16_80_and_140_gigabytes_get(name):
    family, config = published(name)
    shapes = family.shapes(config)
    sizes = {path: 4 * math.prod(shape) for path, shape in shapes.items()}
    dense = sum(sizes.values())
    pruned = [sizes[path] for path in family.prunable.paths(shapes, "blocks")]
    for gigabytes, (tokens, variants) in zip((16, 80, 140), CHOSEN[name], strict=True):
        memory, weights = gigabytes * GIGABYTE, dense + sum(pruned)
        assert tokens == capacity.fitting_tokens(ACCELERATOR, memory, weights, config)
        rows = tokens // 512
        used = capacity.activations(config, capacity.TYPICAL, rows)
        assert variants == capacity.fitting_variants(
            ACCELERATOR, memory, dense, pruned, used
        )


def test_activations_by_hand(model):
    config = model.config
    wide = 64 * (8 * config.hidden + 2 * config.ffn)
    attention, logits = 2 * config.heads * 64 * 64, 2 * 8 * config.vocab
    expected = 4 * 4 * (wide + attention + logits)
    assert capacity.activations(config, LENGTHS, 4) == expected
    longer = (*LENGTHS, ("encoder_tokens", 128))
    assert capacity.activations(config, longer, 4) > expected
