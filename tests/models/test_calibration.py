"""Statistics of the inputs of every Dense, gathered without a change to any model.

What forward hooks of torch see is the oracle.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxsparse import trees
from tests import rows, tiny
from tests.oracle import Conv1D, torch


def sow_norm(call, args, kwargs, context):
    """Sows the input's norm per feature, over all rows and positions."""
    if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
        hidden = args[0].reshape(-1, args[0].shape[-1])
        norm = jnp.linalg.norm(hidden, axis=0)
        context.module.sow("calibration", "norm", norm, reduce_fn=lambda _, x: x)
    return call(*args, **kwargs)


def sown(model, made):
    module = model.blueprint.family.module(model.config, jnp.dtype("float32"))

    def run(params):
        nested = trees.unflatten(params)
        with nn.intercept_methods(sow_norm):
            _, state = module.apply({"params": nested}, made, mutable=["calibration"])
        return state["calibration"]

    return trees.flatten(jax.jit(run)(model.params))


def hooked(oracle, made):
    """Name of each linear layer's weight -> the norm of its inputs."""
    norms = {}

    def hook(name):
        def keep(_, args):
            norms[name] = args[0].flatten(0, -2).norm(dim=0).numpy()

        return keep

    for name, module in oracle.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            module.register_forward_pre_hook(hook(f"{name}.weight"))
    with torch.no_grad():
        rows.torch_output(oracle, made)
    return norms


@pytest.mark.parametrize(
    "variant",
    [
        "gpt2-untied",
        "electra-generator-projected",
        "electra-discriminator-projected",
        "t5-untied",
        "t5-gated",
    ],
)
def test_interceptor_sees_the_input_of_every_linear_layer_of_every_layer(
    variant, loaded
):
    model = loaded(variant)
    made = rows.random_rows(model.config.vocab, 10)
    got = sown(model, rows.inputs(model.family, made))
    expected = hooked(tiny.torch_model(variant), made)

    kernels = model.prunable("linear")
    assert sorted(got) == [path.removesuffix("kernel") + "norm" for path in kernels]
    for rule in model.blueprint.plan.rules:
        if rule.path in kernels:
            norms = got[rule.path.removesuffix("kernel") + "norm"]
            shape = trees.flatten(model.params)[rule.path].shape
            assert norms.shape == shape[:-1]  # layers in front where there are any
            theirs = [expected.pop(name) for name in rule.names(shape)]
            np.testing.assert_allclose(
                np.reshape(norms, np.shape(theirs)),
                theirs,
                rtol=1e-4,
                err_msg=rule.path,
            )
    tied = (
        {"lm_head.weight", "generator_lm_head.weight"} if model.config.tied else set()
    )
    assert expected.keys() <= tied
