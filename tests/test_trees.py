"""Trees addressed by name; a leaf is not a layer."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse import trees

NAMES = st.text("ab.0_", min_size=1, max_size=3)
LEAVES = st.integers() | st.none() | st.just(np.ones(2))
TREES = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1), max_leaves=8
    ),
)


@given(TREES)
def test_unflattening_undoes_flattening(tree):
    assert trees.unflatten(trees.flatten(tree)) == tree


@given(TREES)
def test_paths_name_their_leaves_from_the_root(tree):
    for path, leaf in trees.flatten(tree).items():
        node = tree
        for name in path.split("/"):
            node = node[name]
        assert node is leaf


def test_order_is_that_of_names_whatever_the_dicts_order():
    tree = {"b": {"y": 1, "x": 2}, "a": None}
    assert list(trees.flatten(tree)) == ["a", "b/x", "b/y"]


def test_every_path_goes_into_the_first_class_that_matches():
    classes = {"kernels": ["*/kernel"], "h": ["h/*"], "rest": ["*bias"]}
    paths = ["wte/bias", "h/b", "h/a/kernel", "h/bias"]
    assert trees.classify(paths, classes) == {
        "kernels": ("h/a/kernel",),
        "h": ("h/b", "h/bias"),
        "rest": ("wte/bias",),
    }


def test_a_path_of_no_class_is_an_error_with_its_name():
    with pytest.raises(KeyError, match=r"h/scale.*kernels"):
        trees.classify(["h/scale"], {"kernels": ["*/kernel"]})


def test_classes_tell_capitals_apart():
    with pytest.raises(KeyError):
        trees.classify(["h/Kernel"], {"kernels": ["*/kernel"]})


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_a_leaf_of_three_axes_holds_a_matrix_per_layer(array):
    leaf = array(np.arange(24.0).reshape(2, 3, 4))
    found = list(trees.matrices(leaf))
    assert len(found) == 2
    np.testing.assert_array_equal(found[1], np.arange(12.0, 24).reshape(3, 4))
    (only,) = trees.matrices(leaf[0])
    np.testing.assert_array_equal(only, np.arange(12.0).reshape(3, 4))


def test_matrices_are_views():
    leaf = np.zeros((2, 3, 4))
    for matrix in trees.matrices(leaf):
        matrix += 1
    assert leaf.all()


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3, 4)])
def test_what_holds_no_matrices_is_an_error_with_its_shape(shape):
    with pytest.raises(ValueError, match="no matrices") as caught:
        trees.matrices(np.zeros(shape))
    assert str(shape) in str(caught.value)


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4))
def test_size_counts_every_value(shapes):
    leaves = {str(number): np.zeros(shape) for number, shape in enumerate(shapes)}
    assert trees.size(leaves) == sum(leaf.size for leaf in leaves.values())
    assert type(trees.size(leaves)) is int


def test_size_is_exact_where_float32_and_int32_are_not():
    class Shaped:
        shape = (2**16 + 1, 2**16 + 1)

    assert trees.size({"a": Shaped()}) == (2**16 + 1) ** 2


def test_a_layer_is_that_of_kernels_biases_and_scales_alike():
    stacked = {"kernel": (3, 4, 5), "bias": (3, 5), "scale": (3, 5)}
    for name, shape in stacked.items():
        leaf = np.arange(np.prod(shape)).reshape(shape)
        np.testing.assert_array_equal(trees.layer_of(f"h/{name}", leaf, 1), leaf[1])
    for name, shape in {"kernel": (4, 5), "embedding": (4, 5), "scale": (5,)}.items():
        leaf = np.arange(np.prod(shape)).reshape(shape)
        assert trees.layer_of(name, leaf, 0) is leaf
