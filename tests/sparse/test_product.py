"""Products by kept weights only, beside numpy and beside dense layers."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse import sparse
from jaxsparse.models import layers
from jaxsparse.types import InputError

pytestmark = pytest.mark.usefixtures("library")
ROOT = Path(__file__).parents[2]


def packed(weights, survival=None, levels=1, density=0.5, chosen=None):
    """The kernels of a leaf, (layer in out) or (in out), for each level."""
    survival = (weights != 0).astype(np.uint8) if survival is None else survival
    stacked, of_layer = (
        leaf.reshape(-1, *weights.shape[-2:]) for leaf in (weights, survival)
    )
    chosen = range(len(stacked)) if chosen is None else chosen
    return sparse.pack(
        weights.shape,
        lambda n: (stacked[n], of_layer[n]),
        levels,
        dict.fromkeys(chosen, density),
    )


def drawn(*shape, density=1.0, seed=0):
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape).astype(np.float32)
    return np.where(random.random(shape) < density, values, np.float32(0))


@jax.jit
def product(x, kernel, bias):
    return sparse.linear(x, kernel, bias)


def assert_product(y, x, weights, bias=None):
    """Within 1e-5 of the sum of absolute terms."""
    x, weights = x.astype(float), weights.astype(float)
    bias = np.zeros(weights.shape[1]) if bias is None else bias.astype(float)
    size = np.abs(x) @ np.abs(weights) + np.abs(bias)
    assert y.shape == size.shape
    assert (np.abs(np.asarray(y) - (x @ weights + bias)) <= 1e-5 * size).all()


@settings(max_examples=40)
@given(
    inputs=st.sampled_from([1, 17, 127, 128, 129, 300]),
    outputs=st.sampled_from([1, 5, 63, 65]),
    tokens=st.sampled_from([1, 3, 63, 64, 65, 129, 200]),
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    has_bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_products_are_those_of_numpy(inputs, outputs, tokens, density, has_bias, seed):
    weights = drawn(inputs, outputs, density=density, seed=seed)
    x, bias = drawn(tokens, inputs, seed=seed + 1), drawn(outputs, seed=seed + 2)
    (kernel,) = packed(weights, density=density)
    assert sparse.kept(kernel) == np.count_nonzero(weights)
    bias = bias if has_bias else None
    assert_product(product(x, kernel, bias), x, weights, bias)


def test_empty_inputs_and_outputs_give_the_bias():
    weights, x, bias = drawn(140, 20), drawn(70, 140, seed=1), drawn(20, seed=2)
    weights[[0, 139]] = weights[:, [0, 7, 19]] = 0
    (kernel,) = packed(weights)
    y = product(x, kernel, bias)
    assert_product(y, x, weights, bias)
    np.testing.assert_array_equal(y[:, 7], np.full(70, bias[7]))


@pytest.mark.parametrize("name", [*filter(None, sparse.ACTIVATIONS)])
def test_activations_are_those_of_dense_layers(name):
    ends = [1e2, 1e4, 1e12, 1e30, 3e38, 1e-30, 0.0, np.inf, np.nan]
    x = np.concatenate([np.linspace(-30, 30, 4001), ends, np.negative(ends)])
    x = x.astype(np.float32)[:, None]
    (kernel,) = packed(np.ones((1, 1), np.float32))
    y = jax.jit(lambda x: sparse.linear(x, kernel, None, name))(x)
    expected = layers.ACTIVATIONS[name](jnp.asarray(x))
    np.testing.assert_allclose(y, expected, atol=1e-6, rtol=1e-6)


def test_axes_before_the_last_are_tokens():
    weights, x = drawn(40, 9, density=0.5), drawn(2, 3, 5, 40, seed=1)
    (kernel,) = packed(weights)
    y = product(x, kernel, None)
    assert y.shape == (2, 3, 5, 9)
    flat = product(x.reshape(30, 40), kernel, None)
    np.testing.assert_array_equal(y.reshape(30, 9), flat)


def test_layers_of_a_leaf_are_taken_by_a_traced_number():
    weights, bias = drawn(3, 150, 150, density=0.1), drawn(3, 150, seed=1)
    (leaf,), x = packed(weights), drawn(10, 150, seed=2)

    @jax.jit
    def through(x, leaf):
        def layer(x, number):
            y = sparse.linear(x, leaf[number], jnp.asarray(bias)[number], "relu")
            return y, y

        return jax.lax.scan(layer, x, jnp.arange(3))[1]

    for number, y in enumerate(through(x, leaf)):
        (alone,) = packed(weights[number])
        x = sparse.linear(x, alone, bias[number], "relu")
        np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("activation", [None, "relu", "gelu_new", "gelu", "silu"])
def test_feed_forward_is_two_layers(activation):
    first, second = drawn(2, 65, 140, density=0.3), drawn(2, 140, 33, density=0.02)
    (first,), (second,) = packed(first), packed(second, density=0.02)
    x, inner, outer = drawn(2, 67, 65, seed=3), drawn(140), drawn(33)

    @jax.jit
    def both(number):
        of_layer = first[number], inner, activation, second[number], outer
        return sparse.feed_forward(x, *of_layer)

    for number in range(2):
        hidden = sparse.linear(x, first[number], inner, activation)
        apart = sparse.linear(hidden, second[number], outer)
        np.testing.assert_array_equal(both(number), apart)


@pytest.mark.parametrize(("levels", "density"), [(1, 0.5), (5, 0.5), (5, 0.01)])
def test_one_packing_serves_all_levels(levels, density):
    random = np.random.default_rng(0)
    weights = drawn(2, 300, 70, seed=1)
    survival = random.integers(0, levels + 1, weights.shape).astype(np.uint8)
    survival[random.random(weights.shape) > 2 * density] = 0
    kernels = packed(weights, survival, levels, density)
    assert len(kernels) == levels
    x = drawn(9, 300, seed=2)
    for level, kernel in enumerate(kernels):
        assert kernel.values is kernels[0].values
        left = np.where(survival > level, weights, np.float32(0))
        assert sparse.kept(kernel) == np.count_nonzero(left)
        (alone,) = packed(left, density=density)
        for number in range(2):
            y = product(x, kernel[number], None)
            assert_product(y, x, left[number])
            of_one = product(x, alone[number], None)
            np.testing.assert_allclose(y, of_one, rtol=1e-4, atol=1e-5)


def test_few_weights_are_not_divided_into_blocks_and_shapes_stay():
    weights = drawn(300, 70, density=0.5)
    (many,), (few,) = packed(weights), packed(weights, density=0.01)
    assert many.geometry.tolist() == [128, 3]
    assert few.geometry.tolist() == [300, 1]
    shapes = [
        [leaf.shape for leaf in jax.tree.leaves(kernel)] for kernel in (many, few)
    ]
    assert shapes[0] == shapes[1]


def test_values_are_kept_bit_for_bit_and_zeros_of_either_sign_are_none():
    smallest = np.float32(1e-45)
    weights = np.array([[-0.0, smallest], [0.0, -1e-40], [3.5, 0.0]], np.float32)
    kernel = sparse.by_zeros(weights, sparse.Execution("sparse"))
    assert sparse.kept(kernel) == 3
    stored = np.asarray(kernel.values)[:3]
    expected = np.array([3.5, smallest, -1e-40], np.float32)
    assert stored.tobytes() == expected.tobytes()
    assert np.asarray(kernel.inputs)[:3].tolist() == [2, 0, 1]


@pytest.mark.parametrize("shape", [(65537, 1), (1 << 12, 1 << 10, 1 << 10)])
def test_leaves_whose_weights_have_no_number_are_refused(shape):
    with pytest.raises(InputError, match=r"`execution=sparse`: a leaf .*choose dense"):
        sparse.pack(shape, lambda _: pytest.fail("is not asked"), 1, {0: 0.5})


@pytest.mark.parametrize("activation", [None, "gelu_new", "tanh"])
def test_layers_of_a_leaf_may_be_dense(activation):
    """`tanh` is none that the kernel applies itself."""
    weights, bias = drawn(4, 30, 30, density=0.3), drawn(4, 30, seed=1)
    is_sparse = {0: True, 1: False, 2: True, 3: False}
    (kernel,) = packed(weights, chosen=[0, 2])
    leaf = sparse.with_dense(kernel, is_sparse, weights.__getitem__)
    assert leaf.dense.shape == (2, 30, 30)
    assert sparse.kept(leaf) == np.count_nonzero(weights)
    module, x = layers.Linear(30, activation=activation), drawn(7, 30, seed=2)

    @jax.jit
    def through(leaf):
        def layer(x, number):
            params = {"kernel": leaf[number], "bias": jnp.asarray(bias)[number]}
            return module.apply({"params": params}, x), None

        return jax.lax.scan(layer, x, jnp.arange(4))[0]

    np.testing.assert_allclose(
        through(leaf), through(jnp.asarray(weights)), rtol=1e-4, atol=1e-5
    )


NO_MEMORY = """
import resource, sys
import jax, numpy as np
from jaxsparse import sparse
weights = np.ones((65536, 1), np.float32)
kept = np.ones((65536, 1), np.uint8)
(kernel,) = sparse.pack(weights.shape, lambda _: (weights, kept), 1, {0: 1.0})
x = jax.numpy.ones((64, 65536), np.float32)
y = jax.jit(lambda x: sparse.linear(x, kernel, None)).lower(x).compile()
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (1 << 20), -1))
try:
    y(x).block_until_ready()
except jax.errors.JaxRuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")
def test_memory_that_there_is_not_is_an_error_of_the_call():
    done = subprocess.run(
        [sys.executable, "-c", NO_MEMORY],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no memory for a panel of tokens" in done.stdout, done.stderr
