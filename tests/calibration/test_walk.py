"""Statistics against forward hooks of torch, on dense models and on models that are
being pruned; padding, batches and their sums."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse import load_model
from jaxsparse.calibration import Walk
from jaxsparse.calibration.steps import _compensated, steps_of
from jaxsparse.models.statistics import Parts
from jaxsparse.types import InputError
from tests import tiny
from tests.calibration import hooks
from tests.oracle import torch
from tests.slices import slow

VARIANTS = (
    "gpt2-untied",
    "electra-generator-untied",
    "electra-discriminator-projected",
    "t5-untied",
    "t5-gated-untied",
    *("llama", "pythia", "opt-plain", "bert-untied", "roberta-untied"),
)


def all_statistics(model, calibration, needs=("gram",), prunable="blocks"):
    walk = Walk(model, calibration, prunable)
    found = {}
    for stage in walk.stages:
        for path, statistics in walk.statistics(stage, needs).items():
            found[path, stage.layer] = statistics
        walk.advance(stage)
    return found


def halved(weights):
    """Half of the weights zero, whichever way the matrix lies."""
    return np.where(np.abs(weights) < np.median(np.abs(weights)), 0, weights)


@pytest.mark.parametrize("variant", VARIANTS)
def test_statistics_are_those_of_torchs_hooks(variant, loaded):
    model, oracle = loaded(variant), tiny.torch_model(variant)
    made = hooks.made_rows(model)
    seen = hooks.hooked(oracle, model, made)
    found = all_statistics(model, hooks.calibration_of(model, made), prunable="linear")
    for (path, layer), statistics in found.items():
        name = hooks.torch_name(model, path, layer)
        hooks.assert_as_seen(statistics, seen.pop(name), name)
    assert not seen  # every linear layer


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_block_sees_all_before_it_pruned_and_itself_dense(variant, loaded):
    """At every stage torch's model has what was pruned up to there."""
    model, oracle = loaded(variant), tiny.torch_model(variant)
    made = hooks.made_rows(model)
    parameters = dict(oracle.named_parameters())
    dense = all_statistics(model, hooks.calibration_of(model, made), prunable="linear")
    walk = Walk(model, hooks.calibration_of(model, made), "linear")
    changed = 0
    for stage in walk.stages:
        seen = hooks.hooked(oracle, model, made)
        pruned = {}
        for path, statistics in walk.statistics(stage, ("gram",)).items():
            name = hooks.torch_name(model, path, stage.layer)
            hooks.assert_as_seen(statistics, seen[name], name)
            changed += not np.allclose(statistics.gram, dense[path, stage.layer].gram)
            leaf = np.asarray(model.params[path])
            pruned[path] = halved(leaf if stage.layer is None else leaf[stage.layer])
            with torch.no_grad():
                parameters[name].copy_(torch.tensor(halved(parameters[name].numpy())))
        walk.advance(stage, pruned)
    first = len(walk.stages[0].paths)
    assert changed >= len(dense) - 3 * first  # all but the first block of each stack


def with_more_padding(calibration):
    """The same rows, four positions longer."""
    inputs = calibration.examples.inputs
    fields = {
        name: np.pad(
            field, ((0, 0), (0, 4)), constant_values=-1 if name == "branches" else 0
        )
        for name, field in vars(inputs).items()
    }
    padded = dataclasses.replace(calibration.examples, inputs=type(inputs)(**fields))
    return dataclasses.replace(calibration, examples=padded)


@pytest.mark.parametrize(
    "variant", slow(["gpt2", "electra-generator-projected", "t5"], ["t5"])
)
def test_neither_batches_nor_padding_change_anything(variant, loaded):
    model = loaded(variant)
    calibration = hooks.calibration_of(
        model, hooks.made_rows(model, (13, 9, 13, 5, 12))
    )
    expected = all_statistics(model, calibration)  # all rows in one batch
    form = dataclasses.replace(model.form, batch_tokens=2 * 30)
    few = all_statistics(dataclasses.replace(model, form=form), calibration)
    padded = all_statistics(model, with_more_padding(calibration))
    for matrix, statistics in expected.items():
        for other in few[matrix], padded[matrix]:
            assert other.tokens == statistics.tokens
            for need in "mean", "squares", "gram":
                value = np.asarray(getattr(statistics, need))
                np.testing.assert_allclose(
                    np.asarray(getattr(other, need)) / np.abs(value).max(),
                    value / np.abs(value).max(),
                    rtol=0,
                    atol=1e-6,
                    err_msg=f"{matrix} {need}",
                )


def test_matrices_that_read_the_same_inputs_share_their_statistics(loaded):
    model = loaded("t5-gated")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    walk = Walk(model, calibration)
    for stage in walk.stages[:2]:
        walk.advance(stage)
    found = walk.statistics(walk.stages[2], ("gram",))
    groups = {}
    for path, statistics in found.items():
        name = path.removeprefix("decoder/block/").removesuffix("/kernel")
        groups.setdefault(id(statistics), set()).add(name)
    shared = [group for group in groups.values() if len(group) > 1]
    assert sorted(map(sorted, shared)) == [
        ["attention/k", "attention/q", "attention/v"],
        ["cross_attention/k", "cross_attention/v"],
        ["mlp/wi_0", "mlp/wi_1"],
    ]


def test_only_what_is_needed_is_gathered(loaded):
    model = loaded("gpt2")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    walk = Walk(model, calibration)
    plain = walk.statistics(walk.stages[0], ("squares",))["h/mlp/c_fc/kernel"]
    assert plain.gram is None
    assert plain.mean is not None
    whole = walk.statistics(walk.stages[0], ("gram",))["h/mlp/c_fc/kernel"]
    # Whatever else is asked for; the Gram matrix' own are summed in another order.
    np.testing.assert_array_equal(plain.squares, whole.squares)
    np.testing.assert_allclose(np.diagonal(whole.gram), whole.squares, rtol=1e-6)
    np.testing.assert_array_equal(plain.norms, np.sqrt(np.asarray(plain.squares)))


def test_a_second_walk_compiles_nothing(loaded):
    model = loaded("gpt2")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    family, config = model.blueprint.family, model.config
    steps = steps_of(Parts(family, config, model.dtype, model.form), None)
    all_statistics(model, calibration)
    sizes = steps.gather._cache_size(), steps.advance._cache_size()
    all_statistics(model, calibration)
    assert (steps.gather._cache_size(), steps.advance._cache_size()) == sizes


def test_inputs_that_are_not_finite_are_refused_by_matrix_and_layer(loaded):
    model = loaded("gpt2")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    walk = Walk(model, calibration)
    walk.statistics(walk.stages[0], ("squares",))
    broken = np.asarray(model.params["h/mlp/c_proj/kernel"])[0] * np.inf
    walk.advance(walk.stages[0], {"h/mlp/c_proj/kernel": broken})
    with pytest.raises(InputError, match=r"^h/attn/c_attn, layer 1: .*not finite"):
        walk.statistics(walk.stages[1], ("squares",))


def test_embeddings_have_no_inputs_and_stages_come_in_order(loaded):
    model = loaded("gpt2")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    with pytest.raises(InputError, match="wpe/embedding has no inputs"):
        Walk(model, calibration, "all")
    walk = Walk(model, calibration)
    with pytest.raises(ValueError, match="h/1 is not the next stage"):
        walk.advance(walk.stages[1])
    with pytest.raises(ValueError, match="gradient"):
        walk.statistics(walk.stages[0], ("gradient",))


def test_bfloat16_inputs_are_widened_before_their_squares(saved):
    model = load_model(str(saved("gpt2")), dtype="bfloat16")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    exact = all_statistics(load_model(str(saved("gpt2"))), calibration)
    for matrix, statistics in all_statistics(model, calibration).items():
        assert statistics.gram.dtype == np.float32
        scale = np.abs(exact[matrix].gram).max()
        error = np.abs(statistics.gram - exact[matrix].gram).max() / scale
        assert error < 0.1
        values = np.asarray(statistics.squares)
        assert (values != values.astype(jnp.bfloat16).astype(np.float32)).any()


def test_what_additions_round_off_is_not_lost():
    values = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32) ** 2
    total = lost = jnp.zeros(3, jnp.float32)
    plain = np.zeros(3, np.float32)
    add = jax.jit(_compensated)
    for value in values:
        total, lost = add(total, lost, value)
        plain += value
    exact = values.astype(np.float64).sum(axis=0)
    error = np.abs(np.asarray(total + lost) - exact) / exact
    assert error.max() <= 2**-24 < np.abs(plain - exact).max() / exact.max()
