"""One table, both directions, nothing left over on either side."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.model import open_model
from jaxsparse.models import FAMILIES
from jaxsparse.types import InputError
from jaxsparse.weights.rules import (
    IDENTITY,
    TRANSPOSED,
    Rename,
    Rule,
    Table,
    Tied,
    conv1d,
    current_names,
    embedding,
    equal,
    from_hf,
    linear,
    listing,
    may_be_absent,
    plan,
    to_hf,
)
from tests import tiny

TABLE = Table(
    rules=(
        *embedding("model.emb", "emb"),
        *linear("model.h.{i}.fc", "h/fc"),
        *conv1d("model.h.{i}.conv", "h/conv"),
        *linear("head", "head"),
    ),
    tied=(Tied("head.weight", "model.emb.weight"),),
    buffers=(r"model\.h\.\d+\.mask",),
    renames=(Rename(r"(emb|h)\.", r"model.\1."), Rename(r"(.*)\.gamma$", r"\1.weight")),
)
LEAVES = {
    "emb/embedding": (5, 2),
    "h/fc/kernel": (3, 2, 4),
    "h/fc/bias": (3, 4),
    "h/conv/kernel": (3, 4, 2),
    "h/conv/bias": (3, 2),
    "head/bias": (5,),
}


def tensors(leaves=LEAVES):
    """Names and values of the file that belongs to LEAVES; all values differ."""
    rules = [rule for rule in TABLE.rules if rule.path in leaves]
    shapes = {
        name: rule.hf_shape(leaves[rule.path])
        for rule in rules
        for name in rule.names(leaves[rule.path])
    }
    made, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        made[name] = np.arange(start, start + size, dtype=np.float32).reshape(shape)
        start += size
    return made


def planned(file, leaves=LEAVES):
    return plan(TABLE, leaves, {name: value.shape for name, value in file.items()})


def loaded(file, dtype="float32"):
    return from_hf(
        planned(file), file.__getitem__, np.dtype(dtype), lambda path, leaf: leaf
    )


def test_a_file_becomes_leaves_and_leaves_become_the_file():
    file = tensors()
    leaves = loaded(file)
    assert {path: leaf.shape for path, leaf in leaves.items()} == LEAVES
    made = {name: make() for name, make in to_hf(planned(file).rules, leaves).items()}
    assert made.keys() == file.keys()
    for name in file:
        np.testing.assert_array_equal(made[name], file[name])
        assert made[name].flags.c_contiguous  # safetensors writes memory as it lies


def test_layers_are_stacked_in_order_and_linear_kernels_are_turned():
    file = tensors()
    leaves = loaded(file)
    for i in range(3):
        turned = file[f"model.h.{i}.fc.weight"].T
        np.testing.assert_array_equal(leaves["h/fc/kernel"][i], turned)
        as_is = file[f"model.h.{i}.conv.weight"]
        np.testing.assert_array_equal(leaves["h/conv/kernel"][i], as_is)


def test_more_than_ten_layers_keep_their_numbers():
    rule = Rule("h.{i}.w", "h")
    assert rule.names((12, 3))[9:] == ("h.9.w", "h.10.w", "h.11.w")
    assert rule.hf_shape((12, 3)) == (3,)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=2), st.booleans())
def test_a_codec_and_its_inverse_agree_with_its_shapes(shape, turned):
    codec = TRANSPOSED if turned else IDENTITY
    leaf = np.arange(np.prod(shape)).reshape(shape)
    assert codec.to_hf(leaf).shape == codec.hf_shape(leaf.shape)
    np.testing.assert_array_equal(codec.to_leaf(codec.to_hf(leaf)), leaf)


def test_old_names_are_read_as_current_ones():
    file = tensors()
    old = {name.removeprefix("model."): value for name, value in file.items()}
    old["h.1.fc.gamma"] = old.pop("h.1.fc.weight")
    for path, leaf in loaded(old).items():
        np.testing.assert_array_equal(leaf, loaded(file)[path])


def test_one_parameter_under_two_names_is_refused_with_both():
    names = ["emb.weight", "model.emb.weight"]
    with pytest.raises(InputError, match=r"emb\.weight and model\.emb\.weight"):
        current_names(TABLE, names)


@given(st.sampled_from(sorted(tensors())))
def test_a_missing_tensor_is_named(name):
    file = tensors()
    del file[name]
    with pytest.raises(InputError, match=rf"missing: {re.escape(name)};"):
        planned(file)


@given(st.sampled_from(["more", "model.h.3.fc.weight", "model.h.0.fc.weight.more"]))
def test_a_tensor_without_a_rule_is_named(name):
    file = {**tensors(), name: np.zeros(3, np.float32)}
    with pytest.raises(InputError, match=rf"not known.*: {re.escape(name)};"):
        planned(file)


@given(st.sampled_from(sorted(tensors())), st.booleans())
def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(name, larger):
    file = tensors()
    right = file[name].shape
    file[name] = np.zeros((right[0] + 1, *right[1:]) if larger else (*right, 1))
    wrong = file[name].shape
    message = rf"wrong shape: {name} {re.escape(f'{wrong}, expected {right}')}"
    with pytest.raises(InputError, match=message):
        planned(file)


def test_a_turned_kernel_is_of_the_wrong_shape():
    file = tensors()
    file["model.h.2.fc.weight"] = file["model.h.2.fc.weight"].T
    with pytest.raises(InputError, match=r"model\.h\.2\.fc\.weight \(2, 4\)"):
        planned(file)


def test_buffers_are_dropped():
    file = {**tensors(), "model.h.0.mask": np.ones(3, bool)}
    assert planned(file).tensors() == planned(tensors()).tensors()
    loaded(file)


def test_a_tied_repeat_is_known_and_dropped():
    file = tensors()
    file["head.weight"] = file["model.emb.weight"]
    assert planned(file).repeats == TABLE.tied
    assert "head.weight" not in planned(file).tensors()
    assert loaded(file).keys() == LEAVES.keys()


def test_a_twin_serves_where_the_tensor_itself_is_missing():
    file = tensors()
    expected = loaded(file)
    file["head.weight"] = file.pop("model.emb.weight")
    assert planned(file).tensors()["model.emb.weight"] == "head.weight"
    got = loaded(file)
    for path, leaf in expected.items():
        np.testing.assert_array_equal(got[path], leaf)


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        *(("head.weight", True), ("model.emb.weight", True), ("emb.weight", True)),
        *(("h.1.mask", True), ("head.bias", False), ("more", False)),
    ],
)
def test_a_twin_or_a_buffer_may_be_absent(name, absent):
    assert may_be_absent(TABLE, name) == absent


def test_a_head_with_a_leaf_of_its_own_is_no_repeat():
    leaves = {**LEAVES, "head/kernel": (2, 5)}
    file = tensors(leaves)
    assert not planned(file, leaves).repeats
    assert "head.weight" in planned(file, leaves).tensors()


def test_equal_compares_shapes_and_values():
    file = {"a": np.ones((2, 3)), "b": np.ones((3, 2)), "c": np.ones((2, 3))}
    assert equal(file.__getitem__, "a", "c")
    assert not equal(file.__getitem__, "a", "b")
    file["c"][1, 2] = 2
    assert not equal(file.__getitem__, "a", "c")


def test_leaves_arrive_in_the_dtype_that_was_asked_for():
    assert {leaf.dtype for leaf in loaded(tensors(), "bfloat16").values()} == {
        np.dtype("bfloat16")
    }


def test_a_listing_names_three_and_counts_the_rest():
    assert listing(["a", "b"]) == "a, b"
    assert listing("abcde") == "a, b, c and 2 more"


def test_every_rule_of_every_family_is_used_by_some_variant(saved):
    used = {
        rule
        for variant in tiny.EVERY
        for rule in open_model(str(saved(variant))).plan.rules
    }
    every = {rule for family in FAMILIES.values() for rule in family.table.rules}
    assert used == every
