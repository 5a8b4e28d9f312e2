"""The loss by portions is the loss of all logits, and so is its gradient."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.device import ACCELERATOR, CPU
from jaxsparse.models.apply import make_apply, make_text_loss
from jaxsparse.models.cross_entropy import summed_nats
from jaxsparse.models.shapes import published
from jaxsparse.running_text import Examples, loss_sums, portioned_loss_sums
from jaxsparse.types import InputError
from tests import rows

# 22 targets: in one portion, in two, in four of which the last is filled up.
FORMS = [ACCELERATOR, *(dataclasses.replace(CPU, text_targets=n) for n in (512, 11, 6))]


def plain(hidden, embedding, bias, targets, valid):
    logits = jnp.einsum("bqm,vm->bqv", hidden, embedding) + bias
    nats = -jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(nats, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(chosen, where=valid)


@pytest.mark.parametrize("form", FORMS)
def test_by_portions(form):
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = jax.random.normal(keys[0], (2, 11, 8))
    embedding, bias = jax.random.normal(keys[1], (50, 8)), jnp.linspace(-3, 3, 50)
    targets = jax.random.randint(keys[2], (2, 11), 0, 50)
    valid = jax.random.uniform(keys[3], (2, 11)) < 0.7
    given = hidden, embedding, bias
    loss = functools.partial(summed_nats, form=form)

    def slope(loss):
        def of(*given):  # as a mean is taken of it, and more
            return jnp.square(loss(*given, targets, valid) / 7.0)

        return jax.jit(jax.grad(of, (0, 1, 2)))(*given)

    expected = plain(*given, targets, valid)
    found = jax.jit(loss)(*given, targets, valid)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for one, other in zip(slope(loss), slope(plain), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    nothing = jnp.zeros_like(valid)
    assert loss(*given, targets, nothing) == 0
    assert not any(
        jnp.abs(part).max()
        for part in jax.grad(loss, (0, 1, 2))(*given, targets, nothing)
    )


@pytest.mark.parametrize(
    "variant",
    [
        *("gpt2", "gpt2-untied", "electra-generator-projected"),
        *("electra-generator-untied", "t5", "t5-gated-untied-scaled"),
    ],
)
def test_of_a_model(variant, loaded):
    """Every head has the same loss and gradient as by its logits."""
    model = loaded(variant)
    inputs = rows.inputs(model.family, rows.random_rows(model.config.vocab, 12))
    rng = np.random.default_rng(1)
    shape = inputs.scored.shape
    targets = rng.integers(0, model.config.vocab, shape).astype(np.int32)
    examples = Examples(inputs, targets, rng.random(shape) < 0.7)
    form = dataclasses.replace(CPU, text_targets=5)
    arguments = model.blueprint.family, model.config, "float32", form
    ours = functools.partial(portioned_loss_sums, make_text_loss(*arguments))
    by_logits = functools.partial(loss_sums, make_apply(*arguments, everywhere=True))
    found, expected = (
        jax.jit(jax.value_and_grad(sums, has_aux=True))(model.params, examples)
        for sums in (ours, by_logits)
    )
    (total, count), gradients = found
    assert count == expected[0][1] == examples.valid.sum()
    np.testing.assert_allclose(total, expected[0][0], rtol=1e-6)
    largest = max(float(jnp.abs(leaf).max()) for leaf in expected[1].values())
    for path, leaf in expected[1].items():
        scale = max(float(jnp.abs(leaf).max()), 1e-2 * largest)  # a key's bias has none
        np.testing.assert_allclose(
            gradients[path] / scale, leaf / scale, atol=2e-5, err_msg=path
        )


def test_logits_are_never_there_all_at_once():
    """Of a published shape: compiled, never run."""
    family, config = published("gpt2-tiny")
    config = dataclasses.replace(config, vocab=50_000)
    params = {
        path: jax.ShapeDtypeStruct(size, jnp.float32)
        for path, size in family.shapes(config).items()
    }
    inputs = rows.inputs("gpt2", rows.random_rows(config.vocab, 400, rows=4))
    shape = inputs.scored.shape
    examples = Examples(inputs, np.ones(shape, np.int32), np.ones(shape, bool))
    sizes = {}
    for targets in (None, 40):
        form = dataclasses.replace(CPU, text_targets=targets)
        loss = make_text_loss(family, config, "float32", form)
        gradient = jax.grad(
            lambda params, loss=loss: portioned_loss_sums(loss, params, examples)[0]
        )
        compiled = jax.jit(gradient).lower(params).compile()
        sizes[targets] = compiled.memory_analysis().temp_size_in_bytes
    logits = 4 * 1600 * config.vocab
    assert sizes[40] < sizes[None] - logits / 2


def test_a_discriminator_has_no_such_loss(loaded):
    model = loaded("electra-discriminator")
    with pytest.raises(InputError, match="predicts no tokens of a text"):
        make_text_loss(model.blueprint.family, model.config, "float32", CPU)
