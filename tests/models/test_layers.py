"""The last layer where it is read gives what the last layer everywhere gives."""

import dataclasses
import math

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse import trees
from tests import rows

VARIANTS = ("gpt2", "gpt2-inner", "electra-generator", "electra-discriminator")


def outputs(model, made, everywhere):
    module = model.blueprint.family.module(
        model.config, jnp.dtype("float32"), everywhere=everywhere
    )
    return jax.jit(module.apply)({"params": trees.unflatten(model.params)}, made)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scored", [[0], [3, 7, 7, 1], list(range(10))])
def test_read_where_scored(variant, scored, loaded):
    model = loaded(variant)
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, 10))
    count = len(made.tokens)
    made = dataclasses.replace(made, scored=np.tile(np.int32(scored), (count, 1)))
    found, expected = (outputs(model, made, where) for where in (False, True))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator"])
def test_gradients_are_those_of_every_position(variant, loaded):
    model = loaded(variant)
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, 10))

    def loss(params, everywhere):
        module = model.blueprint.family.module(
            model.config, jnp.dtype("float32"), everywhere=everywhere
        )
        return jnp.sum(jax.nn.tanh(module.apply({"params": params}, made)))

    nested = trees.unflatten(model.params)
    found, expected = (jax.grad(loss)(nested, where) for where in (False, True))
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        # Of sums that cancel, what is left is as exact as their parts.
        largest = float(jnp.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(largest, 1))


def products(jaxpr, times=1):
    """Operations of the matrix products of a program, loops as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = math.prod(shape[axis] for axis in contracted)
            total += 2 * inner * equation.outvars[0].aval.size * times
        often = times * equation.params.get("length", 1)
        for inside in jax.extend.core.jaxprs_in_params(equation.params):
            total += products(inside, often)
    return total


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_not_read_is_not_computed(variant, loaded):
    """The program holds the operations that the family states, and no more."""
    model, length = loaded(variant), 60
    made = rows.inputs(model.family, rows.random_rows(model.config.vocab, length))
    made = dataclasses.replace(made, scored=np.zeros((len(made.tokens), 1), np.int32))
    jaxpr = jax.make_jaxpr(model.apply)(model.params, made)
    costs = model.blueprint.family.operations(model.config)
    stated = costs.padded(np.array([0.0, length, 1.0])) * len(made.tokens)
    assert products(jaxpr.jaxpr) == pytest.approx(stated, rel=0.05)
