"""What training asks of models: hidden states, less memory, bfloat16 with float32
weights."""

import dataclasses

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.device import CPU
from jaxsparse.models.apply import make_apply, make_apply_with_states
from jaxsparse.models.shapes import published
from tests import rows, tiny
from tests.oracle import torch

# One of each family and head, as in test_parity.
VARIANTS = (
    "gpt2-untied",
    "electra-generator-projected",
    "electra-discriminator-projected",
    "t5-gated-untied-scaled",
)
REMAT = dataclasses.replace(CPU, remat=True)


def given(model, length=21, padded=0):
    made = rows.random_rows(model.config.vocab, length)
    made = rows.Rows(made.tokens, made.targets, (length, length - padded))
    return made, rows.inputs(model.family, made)


def of(model, make, *arguments):
    return make(model.blueprint.family, model.config, "float32", *arguments)


def torch_states(oracle, made):
    """What leaves each layer, by our paths of the stacks; torch gives the last one with
    the norm behind it, and so does `norms`."""
    arguments = {"input_ids": torch.tensor(made.tokens, dtype=torch.long)}
    arguments["attention_mask"] = torch.tensor(made.attention_mask)
    kind = oracle.config.model_type
    if kind == "t5":
        targets = torch.tensor(made.targets, dtype=torch.long)
        found = oracle(
            **arguments, decoder_input_ids=targets, output_hidden_states=True
        )
        return {
            "encoder/block": (
                found.encoder_hidden_states, oracle.encoder.final_layer_norm
            ),
            "decoder/block": (
                found.decoder_hidden_states, oracle.decoder.final_layer_norm
            ),
        }  # fmt: skip
    states = oracle(**arguments, output_hidden_states=True).hidden_states
    if kind == "gpt2":
        return {"h": (states, oracle.transformer.ln_f)}
    return {"block": (states, lambda hidden: hidden)}


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_states_behind_every_layer_are_torchs(variant, loaded):
    model, oracle = loaded(variant), tiny.torch_model(variant)
    made, inputs = given(model, padded=4)
    apply = jax.jit(of(model, make_apply_with_states, CPU))
    outputs, found = apply(model.params, inputs)
    expected = torch_states(oracle, made)
    assert found.keys() == expected.keys()
    for path, (states, norm) in expected.items():
        ours = np.asarray(found[path].states)
        real = np.asarray(found[path].attended)
        mask = (
            made.attention_mask
            if path != "decoder/block"
            else np.full(real.shape, True)
        )
        np.testing.assert_array_equal(real, mask)
        assert len(ours) == len(states) - 1 > 1  # torch's first enters the layers
        last = norm(torch.tensor(ours[-1])).numpy()
        for one, other in zip([*ours[:-1], last], states[1:], strict=True):
            np.testing.assert_allclose(one[mask], other.numpy()[mask], atol=1e-5)
    plain = jax.jit(of(model, make_apply, CPU, True))(model.params, inputs)
    np.testing.assert_array_equal(outputs, plain)


def gradients(apply, model, inputs):
    """The loss, and its gradient, of outputs and of states where there are any."""

    def loss(params):
        return sum(
            jnp.mean(jnp.square(array))
            for array in jax.tree.leaves(apply(params, inputs))
            if array.dtype != bool
        )

    return jax.jit(jax.value_and_grad(loss))(model.params)


@pytest.mark.parametrize(
    ("variant", "everywhere"), [*((v, True) for v in VARIANTS), ("gpt2-untied", False)]
)
def test_layers_computed_again_have_the_same_gradients(variant, everywhere, loaded):
    """Of the outputs, and of the states where there are any."""
    model = loaded(variant)
    _, inputs = given(model)

    def applied(form):
        if everywhere:
            return of(model, make_apply_with_states, form)
        return of(model, make_apply, form)

    (loss, expected), (again, found) = (
        gradients(applied(form), model, inputs) for form in (CPU, REMAT)
    )
    np.testing.assert_allclose(again, loss, rtol=1e-6)
    largest = max(float(jnp.abs(leaf).max()) for leaf in expected.values())
    for path, leaf in expected.items():
        # A key's bias has none.
        scale = max(float(jnp.abs(leaf).max()), 1e-2 * largest)
        np.testing.assert_allclose(
            found[path] / scale, leaf / scale, atol=1e-5, err_msg=path
        )


@pytest.mark.parametrize(
    ("shape", "everywhere"),
    [("gpt2-small", True), ("gpt2-small", False), ("t5-small", True)],
)
def test_layers_computed_again_take_less_memory(shape, everywhere):
    """Of a published shape with few words: compiled, never run."""
    family, config = published(shape)
    config = dataclasses.replace(config, vocab=8)
    params = {
        path: jax.ShapeDtypeStruct(size, jnp.float32)
        for path, size in family.shapes(config).items()
    }
    inputs = rows.inputs(family.name, rows.random_rows(config.vocab, 128, rows=32))

    def taken(form):
        apply = make_apply(family, config, "float32", form, everywhere)
        gradient = jax.grad(lambda params: jnp.sum(apply(params, inputs)))
        compiled = jax.jit(gradient).lower(params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert taken(REMAT) < taken(CPU) / 2


def products(jaxpr):
    """The dtypes of all factors of matrix products, loops included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield from (str(factor.aval.dtype) for factor in equation.invars)
        for inside in jax.extend.core.jaxprs_in_params(equation.params):
            yield from products(inside)


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5-gated-untied"])
def test_bfloat16_is_computed_from_float32_weights(variant, loaded):
    """As from weights of bfloat16, if they are such numbers; gradients are float32."""
    model = loaded(variant)
    family = model.blueprint.family
    _, inputs = given(model, padded=4)
    apply = make_apply(family, model.config, "bfloat16", CPU, everywhere=True)
    assert set(products(jax.make_jaxpr(apply)(model.params, inputs).jaxpr)) == {
        "bfloat16"
    }
    low = {path: jnp.asarray(leaf, jnp.bfloat16) for path, leaf in model.params.items()}
    wide = {path: leaf.astype(jnp.float32) for path, leaf in low.items()}
    outputs = [jax.jit(apply)(params, inputs) for params in (low, wide)]
    assert outputs[0].dtype == jnp.float32
    np.testing.assert_array_equal(*outputs)

    weights = jax.random.normal(jax.random.key(0), outputs[0].shape)

    def slope(apply):
        loss = jax.grad(lambda params: jnp.mean(weights * apply(params, inputs)))
        return jax.jit(loss)(wide)

    found, expected = slope(apply), slope(of(model, make_apply, CPU, True))
    assert {leaf.dtype for leaf in found.values()} == {jnp.dtype("float32")}
    along = sum(jnp.vdot(found[path], leaf) for path, leaf in expected.items())
    lengths = [
        sum(jnp.vdot(leaf, leaf) for leaf in leaves.values()) ** 0.5
        for leaves in (found, expected)
    ]
    assert float(along / lengths[0] / lengths[1]) > 0.99
