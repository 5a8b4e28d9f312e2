"""Models without some feed-forward units or heads: what is left, to the last bit, and
that nothing else has changed."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxsparse import trees
from jaxsparse.calibration import Walk
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.pruning import HEADS, NEURONS, Recipe
from jaxsparse.types import InputError
from jaxsparse.variants import dense
from tests import rows
from tests.one_shot.test_pruner import calibration_of

FAMILIES = (
    "gpt2",
    "electra-generator-projected",
    "electra-discriminator",
    "t5",
    "t5-gated-untied",
)
LATER = ("llama-biased", "qwen3", "pythia", "opt-norm-behind", "bert", "roberta")
READ = {  # linear layers, as their names end: outputs are units
    NEURONS: (
        *("mlp/c_fc", "block/intermediate", "mlp/wi", "mlp/wi_0", "mlp/wi_1"),
        *("mlp/gate_proj", "mlp/up_proj", "dense_h_to_4h", "fc1"),
    ),
    HEADS: ("attention/q", "attention/k", "attention/v"),
}
WRITE = {
    NEURONS: (
        *(
            "mlp/c_proj",
            "block/output",
            "mlp/wo",
            "mlp/down_proj",
            "dense_4h_to_h",
            "fc2",
        ),
    ),
    HEADS: ("attention/o",),
}


def host(leaves):
    return {path: np.asarray(leaf) for path, leaf in leaves.items()}


def logits(model, leaves=None):
    made = rows.random_rows(model.config.vocab, 40)
    params = {**model.params, **(leaves or {})}
    return np.asarray(jax.jit(model.apply)(params, rows.inputs(model.family, made)))


def groups_of(model, pattern):
    """The kernels of units that go together, by their common parent."""
    found = {}
    for path in model.params:
        linear = path.removesuffix("/kernel")
        if path.endswith("kernel") and linear.endswith(READ[pattern] + WRITE[pattern]):
            found.setdefault(linear.rpartition("/")[0], []).append(linear)
    return found


def sums(model, linears, layer, units, scores_of, pattern):
    """The scores of the units of a layer, one after another."""
    found = []
    for unit in range(units):
        score = 0.0
        for linear in linears:
            scores = scores_of(f"{linear}/kernel", layer)
            read = linear.endswith(READ[pattern])
            width = scores.shape[1 if read else 0] // units
            own = slice(unit * width, (unit + 1) * width)
            part = scores[:, own] if read else scores[own]
            score += float(part.astype(np.float64).sum())
        found.append(score)
    return np.array(found)


def least(scores, sparsity):
    """The units that go: those of least score, the earlier of equals."""
    order = sorted(range(len(scores)), key=lambda unit: (scores[unit], unit))
    return sorted(order[: round(sparsity * len(scores))])


def magnitudes(model):
    return lambda path, layer: np.abs(np.asarray(model.params[path])[layer])


def assert_without(model, variant, gone, pattern):
    """Every leaf is the dense one without the units that go, and the model says what
    the dense one does where these are silent.

    Args:
        gone: linear layer, layer -> the units that go.
    """
    size = {NEURONS: "ffn", HEADS: "heads"}[pattern]
    units = getattr(model.config, size)
    before, silent, left = (
        host(model.params),
        host(model.params),
        host(variant.leaves()),
    )
    for (linear, layer), numbers in gone.items():
        read = linear.endswith(READ[pattern])
        for name in "kernel", "bias":
            path = f"{linear}/{name}"
            if path not in before or (name == "bias" and not read):
                continue
            whole = before[path][layer]
            axis = -1 if read else -2
            width = whole.shape[axis] // units
            places = [unit * width + n for unit in numbers for n in range(width)]
            expected = np.delete(whole, places, axis)
            np.testing.assert_array_equal(left[path][layer], expected)
            if not read:
                silent[path] = silent[path].copy()
                silent[path][layer, places] = 0
    assert variant.model.config == dataclasses.replace(
        model.config, **{size: units - len(numbers)}
    )
    expected = logits(model, silent)
    assert np.abs(expected - logits(model)).max() > 0.01
    got = logits(variant.model, variant.leaves())
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)
    return left


@pytest.mark.parametrize("variant", [*FAMILIES, *LATER])
def test_the_units_of_least_sum_go_as_many_in_every_layer(variant, loaded):
    model = loaded(variant)
    (pruned,) = OneShot(model).variants(Recipe("magnitude", pattern=NEURONS), [0.3])
    gone = {}
    for linears in groups_of(model, NEURONS).values():
        for layer in range(len(model.params[f"{linears[0]}/kernel"])):
            args = linears, layer, model.config.ffn, magnitudes(model), NEURONS
            for linear in linears:
                gone[linear, layer] = least(sums(model, *args), 0.3)
    assert {len(units) for units in gone.values()} == {round(0.3 * model.config.ffn)}
    assert len({tuple(units) for units in gone.values()}) > 1
    assert_without(model, pruned, gone, NEURONS)
    assert pruned.achieved_sparsity == round(0.3 * model.config.ffn) / model.config.ffn


@pytest.mark.parametrize("variant", ["t5", "t5-gated-untied"])
def test_a_stack_loses_the_same_heads_of_self_attention_and_each_layer_its_of_cross(
    variant, loaded
):
    model = loaded(variant)
    pruned = prune(model, "magnitude", 0.25, pattern=HEADS)
    gone, units = {}, model.config.heads
    for parent, linears in groups_of(model, HEADS).items():
        layers = range(len(model.params[f"{linears[0]}/kernel"]))
        args = units, magnitudes(model), HEADS
        scores = [sums(model, linears, layer, *args) for layer in layers]
        if not parent.endswith("cross_attention"):
            scores = [np.sum(scores, axis=0)] * len(layers)
        for layer in layers:
            for linear in linears:
                gone[linear, layer] = least(scores[layer], 0.25)
    left = assert_without(model, pruned, gone, HEADS)
    for stack in "encoder", "decoder":
        path = f"{stack}/relative_bias/embedding"
        numbers = gone[f"{stack}/block/attention/q", 0]
        expected = np.delete(np.asarray(model.params[path]), numbers, -1)
        np.testing.assert_array_equal(left[path], expected)
    assert pruned.model.config.head_dim == model.config.head_dim
    assert pruned.achieved_sparsity == 0.25


def test_scores_are_those_of_the_criterion_at_the_dense_models_inputs(loaded):
    model = loaded("gpt2")
    calibration = calibration_of(model)
    walk, known = Walk(model, calibration), {}
    for stage in walk.stages:
        found = walk.statistics(stage, ["squares"])
        known |= {(path, stage.layer): found[path] for path in stage.paths}
        walk.advance(stage)

    def scores_of(path, layer):
        norms = known[path, layer].norms
        return magnitudes(model)(path, layer) * norms[:, None]

    (linears,) = groups_of(model, NEURONS).values()
    gone = {}
    for layer in range(model.config.layers):
        args = linears, layer, model.config.ffn, scores_of, NEURONS
        for linear in linears:
            gone[linear, layer] = least(sums(model, *args), 0.5)
    recipe = Recipe("wanda", pattern=NEURONS)
    assert (recipe.scope, recipe.statistics) == ("layer", "dense")
    (pruned,) = OneShot(model, calibration).variants(recipe, [0.5])
    assert_without(model, pruned, gone, NEURONS)
    assert pruned.identity["calibration"] == calibration.digest


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator-projected"])
def test_what_units_gave_on_average_goes_into_the_bias_behind_them(variant, loaded):
    model = loaded(variant)
    calibration = calibration_of(model)
    pruner = OneShot(model, calibration)
    (plain,) = pruner.variants(Recipe("magnitude", pattern=NEURONS), [0.5])
    (moved,) = pruner.variants(Recipe("magnitude+bias", pattern=NEURONS), [0.5])
    (bias,) = set(moved.shapes) - set(plain.shapes)
    kernel = bias.replace("bias", "kernel")
    assert kernel.removesuffix("/kernel").endswith(WRITE[NEURONS])
    for path, leaf in host(plain.leaves()).items():
        np.testing.assert_array_equal(moved.leaf(path), leaf)
    walk = Walk(model, calibration)
    for stage in walk.stages:
        mean = np.asarray(walk.statistics(stage, ["mean"])[kernel].mean, np.float64)
        whole = np.asarray(model.params[kernel][stage.layer], np.float64)
        left = {row.tobytes() for row in np.asarray(plain.leaf(kernel)[stage.layer])}
        gone = [row.astype(np.float32).tobytes() not in left for row in whole]
        assert sum(gone) == model.config.ffn // 2
        before = np.asarray(model.params[bias][stage.layer])
        added = np.asarray(moved.leaf(bias)[stage.layer]) - before
        np.testing.assert_allclose(added, mean[gone] @ whole[gone], atol=1e-5)
        walk.advance(stage)


def test_units_of_zeros_go_first_and_zeros_that_stay_are_counted(loaded, tmp_path):
    """By any criterion, also one that likes zeros best."""
    full = loaded("gpt2")
    params = {path: np.array(leaf) for path, leaf in full.params.items()}
    params["h/mlp/c_fc/kernel"][:, :, [3, 50]] = 0
    params["h/mlp/c_proj/kernel"][:, [3, 50]] = 0
    params["h/mlp/c_fc/kernel"][0, :7, 90] = 0
    params["h/attn/c_proj/kernel"][1, 0, :5] = 0
    model = dataclasses.replace(full, params=jax.device_put(params), digest="holes")
    file = tmp_path / "own.py"
    file.write_text("def small(w, statistics, generator):\n    return -abs(w) - 9")
    for method in "random", f"{file}:small":
        (pruned,) = OneShot(model).variants(
            Recipe(method, pattern=NEURONS), [2 / model.config.ffn]
        )
        kept = np.delete(params["h/mlp/c_fc/kernel"], [3, 50], -1)
        np.testing.assert_array_equal(pruned.leaf("h/mlp/c_fc/kernel"), kept)
    gone = trees.size(model.params) - pruned.parameters
    assert gone == 3 * 2 * (2 * model.config.hidden + 1)
    assert pruned.total_sparsity == (gone + 7 + 5) / trees.size(model.params)
    start = dense(model, Recipe("magnitude"))
    biases = 3 * 2  # of the units, which are no prunable weights
    added = pruned.total_sparsity - start.total_sparsity
    assert round(added * start.parameters, 6) == biases
    of = {(m.path, m.layer): (m.weights, m.pruned) for m in pruned.matrices}
    hidden, ffn = model.config.hidden, model.config.ffn
    assert of["h/mlp/c_fc/kernel", 0] == (hidden * ffn, 2 * hidden + 7)
    assert of["h/mlp/c_proj/kernel", 2] == (hidden * ffn, 2 * hidden)
    assert of["h/attn/c_proj/kernel", 1] == (hidden * hidden, 5)
    assert of["h/attn/c_attn/kernel", 1] == (3 * hidden * hidden, 0)


def test_parameters_and_bytes_are_those_of_the_arrays(loaded):
    model = loaded("t5")
    for pattern in NEURONS, HEADS:
        pruned = prune(model, "magnitude", 0.5, pattern=pattern)
        leaves = {**model.params, **pruned.leaves()}
        assert pruned.parameters == trees.size(leaves)
        assert pruned.bytes == sum(leaf.nbytes for leaf in leaves.values())
        assert {p: leaf.shape for p, leaf in leaves.items()} == (
            pruned.model.blueprint.plan.shapes
        )
    assert dense(model, pruned.recipe).parameters == trees.size(model.params)


def test_seeds_reach_units_and_sparsities_nest(loaded):
    model = loaded("gpt2")
    kept = {
        seed: [
            {row.tobytes() for row in np.asarray(v.leaf("h/mlp/c_proj/kernel")[0])}
            for v in OneShot(model).variants(
                Recipe("random", pattern=NEURONS, seed=seed), [0.25, 0.75]
            )
        ]
        for seed in (0, 1)
    }
    assert kept[0][1] < kept[0][0]
    assert kept[0][0] != kept[1][0]


def test_what_has_no_scores_or_leaves_nothing_is_refused_by_name(loaded):
    model, t5 = loaded("gpt2"), loaded("t5")
    rows_of = calibration_of(model)
    for wrong, message in (
        ({"method": "sparsegpt"}, "`method=sparsegpt`: it has no scores"),
        ({"method": "admm"}, "`method=admm`: it has no scores"),
        ({"method": "wanda+pcg"}, "`method=wanda.pcg`: its update is of single"),
        ({"prunable": "linear"}, "`prunable=linear`: `pattern=neurons` removes"),
        ({"scope": "output"}, "`scope=output`: method magnitude neurons defines lay"),
        ({"allocation": "erk"}, "`allocation=erk`: `pattern=neurons` takes the same"),
        (
            {"method": "wanda", "statistics": "sequential"},
            "`statistics=sequential`: wanda neurons of scope layer scores the dense",
        ),
        ({"sparsity": 1.0}, "`sparsity=1`: `pattern=neurons` would leave none of"),
        ({"pattern": "heads"}, "`pattern=heads`: in transformers' format a head of g"),
    ):
        given = {"pattern": NEURONS, "sparsity": 0.5, "calibration": rows_of, **wrong}
        with pytest.raises(InputError, match=message):
            prune(model, **given)
    with pytest.raises(InputError, match=r"`method=wanda\+bias`: .* has no bias"):
        prune(t5, "wanda+bias", 0.5, pattern=HEADS, calibration=rows_of)
    with pytest.raises(InputError, match=r"`sparsity=0.9`: .* of the 4 heads"):
        prune(t5, "magnitude", 0.9, pattern=HEADS)
