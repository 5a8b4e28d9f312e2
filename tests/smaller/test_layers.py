"""Models without some layers: which go, and that the others are as they were."""

import copy
import dataclasses

import jax
import numpy as np
import pytest

from jaxsparse.calibration import Walk
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.pruning import LAYERS, Recipe
from jaxsparse.smaller import block_influences
from jaxsparse.types import InputError
from tests import rows, tiny
from tests.calibration import hooks
from tests.one_shot.test_pruner import calibration_of
from tests.oracle import torch
from tests.smaller.test_units import FAMILIES, LATER, logits

INFLUENCE = Recipe("magnitude", pattern=LAYERS)


def stacks_of(oracle):
    """Path of a stack -> torch's list of its layers."""
    if hasattr(oracle, "transformer"):
        return {"h": oracle.transformer.h}
    for name in "electra", "bert", "roberta":
        if hasattr(oracle, name):
            return {"block": getattr(oracle, name).encoder.layer}
    if hasattr(oracle, "gpt_neox"):
        return {"layers": oracle.gpt_neox.layers}
    if hasattr(oracle, "model"):
        return {"layers": getattr(oracle.model, "decoder", oracle.model).layers}
    return {f"{s}/block": getattr(oracle, s).block for s in ("encoder", "decoder")}


@torch.no_grad()
def torch_influences(oracle, model, made):
    """Hidden states by forward hooks, cosines token by token."""
    real = np.asarray(hooks.inputs_of(model, made).attended)
    found = {}

    def hook(stack, mask):
        def keep(module, args, kwargs, output):
            before = args[0] if args else kwargs["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            before, after = (t[torch.tensor(mask)].double() for t in (before, after))
            cosines = torch.nn.functional.cosine_similarity(before, after, dim=-1)
            found.setdefault(stack, []).append(1 - float(cosines.mean()))

        return keep

    for stack, blocks in stacks_of(oracle).items():
        mask = made.attention_mask if stack == "encoder/block" else real
        for block in blocks:
            block.register_forward_hook(hook(stack, mask), with_kwargs=True)
    rows.torch_output(oracle, made)
    return found


def without_layers(oracle, kept):
    """Blocks are taken out of torch's lists; T5's first has the biases of all."""
    smaller = copy.deepcopy(oracle)
    smaller.config.use_cache = False
    for stack, blocks in stacks_of(smaller).items():
        left = torch.nn.ModuleList([blocks[number] for number in kept[stack]])
        if "/" in stack and kept[stack][0]:
            first, before = (b[0].layer[0].SelfAttention for b in (left, blocks))
            first.has_relative_attention_bias = True
            first.relative_attention_bias = before.relative_attention_bias
        blocks._modules = left._modules
    return smaller


@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_influences_are_those_of_torchs_hidden_states_at_real_tokens(variant, loaded):
    model = loaded(variant)
    made = hooks.made_rows(model)
    expected = torch_influences(tiny.torch_model(variant), model, made)
    found = block_influences(model, hooks.calibration_of(model, made))
    assert found.keys() == expected.keys()
    for stack, values in expected.items():
        np.testing.assert_allclose(found[stack], values, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_the_least_influential_go_and_the_rest_says_what_torch_does_without_them(
    variant, loaded
):
    model, oracle = loaded(variant), tiny.torch_model(variant)
    calibration = calibration_of(model)
    influences = block_influences(model, calibration)
    pruned = prune(model, "wanda", 0.5, pattern=LAYERS, calibration=calibration)
    kept = {}
    for stack, values in influences.items():
        order = np.argsort(values, kind="stable")
        kept[stack] = sorted(order[round(0.5 * len(values)) :].tolist())
    made = rows.random_rows(model.config.vocab, 40)
    expected = rows.torch_output(without_layers(oracle, kept), made).numpy()
    assert np.abs(expected - rows.torch_output(oracle, made).numpy()).max() > 0.01
    got = logits(pruned.model, pruned.leaves())
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)
    before, left = (sum(map(len, of.values())) for of in (influences, kept))
    assert pruned.achieved_sparsity == (before - left) / before
    assert (pruned.name, pruned.recipe.method) == (
        "influence (layers) 0.5",
        "influence",
    )
    gone = {(m.path, m.layer) for m in pruned.matrices if m.pruned == m.weights}
    assert gone == {
        (path, layer)
        for stack, numbers in kept.items()
        for path in model.prunable("blocks")
        if path.startswith(f"{stack}/")
        for layer in range(len(influences[stack]))
        if layer not in numbers
    }


def test_every_method_is_influence(loaded):
    given = [Recipe(m, pattern=LAYERS) for m in ("magnitude", "admm", "influence")]
    assert len({*given}) == 1
    (recipe,) = {*given}
    assert (recipe.scope, recipe.statistics, recipe.needs) == ("stack", "dense", ())
    assert recipe.calibrated
    assert Recipe.written(**vars(recipe)) == recipe
    with pytest.raises(InputError, match="`method=fancy`"):
        Recipe("fancy", pattern=LAYERS)
    with pytest.raises(InputError, match="`method=influence`: it goes with `pattern=l"):
        Recipe("influence")


def test_each_stack_loses_its_share_and_keeps_one_layer_at_least(loaded):
    model = loaded("t5")  # two layers, and three
    pruner = OneShot(model, calibration_of(model))
    for sparsity, left in (0.2, (2, 2)), (0.5, (1, 1)), (0.1, (2, 3)):
        (variant,) = pruner.variants(INFLUENCE, [sparsity])
        config = variant.model.config
        assert (config.encoder_layers, config.decoder_layers) == left
    with pytest.raises(InputError, match=r"`sparsity=0.9`: .* none of the 2 layers of"):
        pruner.variants(INFLUENCE, [0.9])


def test_layers_whose_number_counts_stay(loaded):
    model = loaded("gpt2-inverse-layer")
    with pytest.raises(InputError, match="`pattern=layers`: scale_attn_by_inverse_lay"):
        prune(model, sparsity=0.5, pattern=LAYERS, calibration=calibration_of(model))
    assert prune(model, sparsity=0.5, pattern="neurons").achieved_sparsity == 0.5


def test_influences_are_kept_for_the_same_rows_and_weights(
    loaded, tmp_path, monkeypatch
):
    model = loaded("gpt2")
    calibration = calibration_of(model)
    first = block_influences(model, calibration, tmp_path)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(Walk, "influence", None)
    assert block_influences(model, calibration, tmp_path) == first
    with pytest.raises(TypeError):
        block_influences(model, calibration_of(model, seed=1), tmp_path)
    file.write_text(file.read_text()[:-9])
    with pytest.raises(TypeError):
        block_influences(model, calibration, tmp_path)


def test_a_model_that_is_not_finite_is_refused_with_the_block(loaded):
    model = loaded("gpt2")
    kernel = np.array(model.params["h/mlp/c_proj/bias"])
    kernel[1, 0] = 3e38
    params = {**model.params, "h/mlp/c_proj/bias": jax.device_put(kernel)}
    broken = dataclasses.replace(model, params=params)
    with pytest.raises(InputError, match="h/1: its outputs at calibration rows are"):
        block_influences(broken, calibration_of(model))
