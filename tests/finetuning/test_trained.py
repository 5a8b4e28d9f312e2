"""What is trained of a model, and how its leaves come of that."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.finetuning import memory
from jaxsparse.finetuning.trained import (
    SCALE,
    check_rank,
    merged,
    split,
    trained_shapes,
)
from jaxsparse.models.shapes import published
from jaxsparse.training.training import LEGAL
from jaxsparse.types import InputError
from tests.finetuning.school import assert_same_leaves, leaves_of, pruned, zeros_of

RANK = 4


@pytest.fixture(scope="module")
def half(loaded):
    """A model at 50 %, with its prunable paths and masks."""
    model = loaded("t5")
    (variant,) = pruned(model, 0.5)
    paths = model.prunable("blocks")
    leaves = leaves_of(variant)
    return leaves, paths, {p: jnp.asarray(leaves[p]) != 0 for p in paths}


@pytest.mark.parametrize("train", LEGAL["train"])
def test_training_begins_with_the_variant_as_it_is(half, train):
    leaves, paths, masks = half
    parts = split(leaves, paths, train, RANK, seed=1)
    assert_same_leaves(merged(train, parts.trained, parts.fixed, masks), leaves)
    shapes = {path: leaf.shape for path, leaf in leaves.items()}
    assert {path: leaf.shape for path, leaf in parts.trained.items()} == (
        trained_shapes(shapes, paths, train, RANK)
    )


def test_an_adapter_is_a_product_of_two_narrow_matrices_put_on_the_mask(half):
    leaves, paths, masks = half
    parts = split(leaves, paths, "masklora", RANK, seed=1)
    rng = np.random.default_rng(0)
    trained = {
        path: rng.normal(size=leaf.shape).astype(np.float32)
        for path, leaf in parts.trained.items()
    }
    found = merged("masklora", trained, parts.fixed, masks)
    assert {p.rpartition("/")[0] for p in trained} == set(paths)
    for path, leaf in leaves.items():
        if path not in paths:
            np.testing.assert_array_equal(found[path], leaf)
            continue
        a, b = trained[f"{path}/lora_a"], trained[f"{path}/lora_b"]
        for layer, kernel in enumerate(np.asarray(leaf)):
            mask = kernel != 0
            expected = kernel + SCALE / RANK * mask * (a[layer] @ b[layer])
            got = np.asarray(found[path][layer])
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
            assert not got[~mask].any()
            assert np.abs(got - kernel).max() > 1


def test_the_first_factor_is_of_the_seed_and_bounded_by_its_inputs(half):
    leaves, paths, _ = half
    one, again, other = (
        split(leaves, paths, "masklora", RANK, seed).trained for seed in (1, 1, 2)
    )
    assert_same_leaves(one, again)
    for path in paths:
        first = np.asarray(one[f"{path}/lora_a"])
        assert not np.array_equal(first, other[f"{path}/lora_a"])
        bound = leaves[path].shape[-2] ** -0.5
        assert 0.8 * bound < np.abs(first).max() <= bound
        assert not one[f"{path}/lora_b"].any()


def test_an_embedding_that_is_pruned_is_held_and_not_adapted(loaded):
    model = loaded("gpt2")
    paths = model.prunable("all")
    embeddings = {path for path in paths if path.endswith("embedding")}
    parts = split(model.params, paths, "masklora", RANK, 0)
    adapted = {path.rpartition("/")[0] for path in parts.trained}
    assert embeddings
    assert adapted == set(paths) - embeddings
    masks = {path: jnp.zeros(model.params[path].shape, bool) for path in paths}
    found = merged("masklora", parts.trained, parts.fixed, masks)
    assert all(zeros.all() for zeros in zeros_of(found, paths).values())


def test_a_rank_above_the_width_is_refused_by_name_and_width():
    shapes = {"h/up/kernel": (3, 32, 96), "h/down/kernel": (3, 8, 32)}
    check_rank(shapes, tuple(shapes), 8)
    said = r"^`rank=9`: h/down/kernel is 8 wide, and .*; choose 1 to 8$"
    with pytest.raises(InputError, match=said):
        check_rank(shapes, tuple(shapes), 9)
    leaves = {path: np.zeros(shape) for path, shape in shapes.items()}
    with pytest.raises(InputError, match=said):
        split(leaves, tuple(shapes), "masklora", 9, 0)
    with pytest.raises(InputError, match=said):
        trained_shapes(shapes, tuple(shapes), "masklora", 9)


@pytest.mark.parametrize("name", ["gpt2-small", "electra-base", "t5-small"])
def test_norms_and_biases_are_a_few_thousandths_at_most(name):
    family, config = published(name)
    shapes = family.shapes(config)
    trained = trained_shapes(shapes, (), "norms,biases", RANK)
    number, of = (sum(map(math.prod, each.values())) for each in (trained, shapes))
    assert 0 < number < 0.005 * of
    # So there is hardly an optimizer's state.
    every = memory.state_bytes(shapes, shapes, ())
    assert memory.state_bytes(shapes, trained, ()) < 0.21 * every


def test_norms_and_biases_are_every_leaf_that_has_no_matrix(loaded):
    for name in "gpt2", "electra-generator-projected", "t5-gated":
        leaves = loaded(name).params
        parts = split(leaves, (), "norms,biases", RANK, 0)
        for path in parts.trained:
            of_a_layer = leaves[path].shape[-1:]
            assert math.prod(of_a_layer) * 3 >= leaves[path].size, path
        assert parts.trained.keys() | parts.fixed.keys() == leaves.keys()
        assert all(p.endswith(("kernel", "embedding")) for p in parts.fixed)
