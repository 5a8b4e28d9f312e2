"""Variants: masks nest and are exact, and the rest of the house takes any kind."""

import dataclasses
import hashlib

import jax
import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from jaxsparse import pruning, report, trees
from jaxsparse.cbt import Question
from jaxsparse.journal import Journal
from jaxsparse.model import load_model
from jaxsparse.models.apply import make_apply
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.points import dense_of
from jaxsparse.pruning import Recipe
from jaxsparse.sweep import evaluate, sweep
from jaxsparse.training.training import Training
from jaxsparse.types import InputError, Presentation
from jaxsparse.variants import (
    Variant,
    dense,
    prunable_model,
    save,
    shapes_of,
)
from tests import tiny
from tests.pruned_by_torch import torch_model
from tests.told import Told

FAMILIES = ("gpt2", "electra-generator-projected", "electra-discriminator", "t5")
MAGNITUDE, RANDOM = Recipe("magnitude"), Recipe("random")
QUERY = Presentation("cloze", "query", "none")


def question(seed):
    context, query, options, answer = tiny.question_text(seed)
    return Question(context, query, options, answer, "CN", id=f"CN-test-{seed}")


QUESTIONS = (question(2), question(5))


def kept(variant):
    """The masks, off the leaves; no weight of these models is zero by itself."""
    return {path: np.asarray(leaf) != 0 for path, leaf in variant.leaves().items()}


def scores_of(points):
    return [point.answers.scores for point in points]


@pytest.mark.parametrize("scope", ["matrix", "output", "global"])
@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_masks_are_nested_and_those_of_each_sparsity_alone(loaded, method, scope):
    model, recipe = loaded("gpt2"), Recipe(method, scope)
    together = OneShot(model).variants(recipe, (0.9, 0.1, 0.0, 0.5))
    assert [variant.sparsity for variant in together] == [0.1, 0.5, 0.9]
    before = dict.fromkeys(together[0].shapes, True)
    for variant in together:
        (alone,) = OneShot(model).variants(recipe, [variant.sparsity])
        assert alone.identity == variant.identity
        assert alone.matrices == variant.matrices
        masks = kept(alone)
        for path, mask in kept(variant).items():
            np.testing.assert_array_equal(mask, masks[path])
            assert np.all(mask <= before[path])
            before[path] = mask


def test_leaves_are_the_masked_ones_and_exact_elsewhere(loaded):
    model = loaded("gpt2")
    for variant in OneShot(model).variants(MAGNITUDE, (0.5, 0.9)):
        assert variant.shapes.keys() == set(model.prunable("blocks"))
        for path, leaf in variant.leaves().items():
            assert leaf.shape == variant.shapes[path].shape
            exact = np.where(np.asarray(leaf) != 0, model.params[path], 0)
            np.testing.assert_array_equal(leaf, exact)
            for matrix in np.asarray(leaf):
                zeros = np.count_nonzero(matrix == 0)
                assert zeros == round(variant.sparsity * matrix.size)


def test_output_scope_takes_as_many_inputs_of_every_unit(loaded):
    variant = prune(loaded("gpt2"), "magnitude", 0.3, scope="output")
    for leaf in variant.leaves().values():
        zeros = np.count_nonzero(np.asarray(leaf) == 0, axis=-2)
        assert (zeros == round(0.3 * leaf.shape[-2])).all()


def test_global_scope_cuts_all_matrices_at_one_magnitude(loaded):
    model = loaded("gpt2")
    masks = kept(prune(model, "magnitude", 0.5, scope="global"))
    size = {path: np.abs(model.params[path]) for path in masks}
    highest_pruned = max(size[path][~mask].max() for path, mask in masks.items())
    assert highest_pruned <= min(size[path][mask].min() for path, mask in masks.items())
    total = sum(mask.size for mask in masks.values())
    assert sum(mask.sum() for mask in masks.values()) == total - round(0.5 * total)
    fractions = {round(float(mask.mean()), 3) for mask in masks.values()}
    assert len(fractions) > 1  # not the same in every matrix


def test_random_masks_depend_on_the_seed_alone(loaded):
    model = loaded("gpt2")
    first, again, other = (
        kept(prune(model, "random", 0.5, seed=seed)) for seed in (0, 0, 1)
    )
    for path, mask in first.items():
        np.testing.assert_array_equal(mask, again[path])
        assert 0.3 < np.mean(mask == other[path]) < 0.7


def test_sparsity_1_leaves_no_prunable_weight(loaded):
    model = loaded("gpt2")
    for recipe in (Recipe("random", "global"), MAGNITUDE):
        (variant,) = OneShot(model).variants(recipe, (1.0,))
        assert not any(np.any(leaf) for leaf in variant.leaves().values())
        weights = sum(leaf.size for leaf in variant.leaves().values())
        assert variant.achieved_sparsity == 1
        assert variant.total_sparsity == weights / trees.size(model.params)


@pytest.mark.parametrize("variant", FAMILIES)
@pytest.mark.parametrize("prunable", ["blocks", "linear", "all"])
def test_sparsities_stated_are_those_of_torchs_prunable_weights(
    loaded, variant, prunable
):
    pruned = prune(loaded(variant), "magnitude", 0.3, prunable=prunable)
    reference_model, modules = torch_model(variant, prunable)
    sizes = [module.weight.numel() for module in modules]
    total = sum(parameter.numel() for parameter in reference_model.parameters())
    zero = sum(round(0.3 * size) for size in sizes)
    assert sum(leaf.size for leaf in pruned.leaves().values()) == sum(sizes)
    assert trees.size(pruned.model.params) == total
    assert pruned.achieved_sparsity == zero / sum(sizes)
    assert pruned.total_sparsity == zero / total


@pytest.mark.parametrize("recipe", [MAGNITUDE, RANDOM])
def test_zeros_of_the_file_count_and_go_first(loaded, recipe):
    """Half of the weights are zero, so dense has 0.5, and less prunes nothing more."""
    full = loaded("gpt2")
    half = prune(full, "random", 0.5, seed=9)
    params = {**full.params, **half.leaves()}
    model = dataclasses.replace(full, params=params, digest="half")
    start, (less, more) = (
        dense(model, recipe),
        OneShot(model).variants(recipe, (0.3, 0.75)),
    )
    for variant in start, less:
        assert variant.achieved_sparsity == half.achieved_sparsity
        assert variant.total_sparsity == half.total_sparsity
    assert more.achieved_sparsity == 0.75
    left, masks, sooner = kept(half), kept(more), kept(less)
    for path, mask in masks.items():
        np.testing.assert_array_equal(sooner[path], left[path])
        assert not np.any(mask & ~left[path])
    assert sum(matrix.pruned for matrix in less.matrices) == sum(
        matrix.pruned for matrix in half.matrices
    )


HEADS = {
    "gpt2": "lm_head/kernel",
    "electra-generator-projected": "generator/lm_head/kernel",
    "t5": "lm_head/kernel",
}


@pytest.mark.parametrize("variant", HEADS)
def test_a_tied_head_is_untied_where_it_is_pruned_and_only_there(loaded, variant):
    model, head = loaded(variant), HEADS[variant]
    assert prunable_model(model, "blocks") is model
    assert head not in model.params
    for prunable in ("linear", "all"):
        untied = prunable_model(model, prunable)
        assert head in untied.prunable(prunable)
        assert not untied.config.tied
        embeddings = [path for path in untied.prunable(prunable) if "embedding" in path]
        assert bool(embeddings) == (prunable == "all")


@pytest.mark.parametrize("variant", ["gpt2", "t5"])
def test_bfloat16_weights_are_pruned_as_loaded(saved, variant):
    model = load_model(str(saved(variant)), "bfloat16")
    for path, mask in kept(prune(model)).items():
        assert model.params[path].dtype == np.dtype("bfloat16")
        widened = np.abs(np.asarray(model.params[path], np.float32))
        for matrix, kept_of_matrix in zip(widened, mask, strict=True):
            assert matrix[~kept_of_matrix].max() <= matrix[kept_of_matrix].min()


def test_prune_refuses_what_a_method_does_not_define(loaded):
    model = loaded("gpt2")
    for wrong, message in (
        ({"method": "fancy"}, "`method=fancy`"),
        ({"scope": "row"}, "`scope=row`"),
        ({"prunable": "heads"}, "`prunable=heads`"),
        (
            {"pattern": "3:5"},
            r"`pattern=3:5`: h/attn/c_attn.* inputs, which 5 does not",
        ),
        ({"pattern": "2:4", "sparsity": 0.9}, "`sparsity=0.9`: `pattern=2:4` has 0.5"),
        ({"allocation": "erk", "scope": "global"}, "`allocation=erk`: with"),
        ({"sparsity": 1.5}, "`sparsity=1.5`"),
        ({"method": "random", "seed": -1}, "`seed=-1`"),
    ):
        with pytest.raises(InputError, match=message):
            prune(model, **wrong)
    assert prune(model, sparsity=0.0).name == "dense"
    for sparsity, name in ((0.0, ""), (0.5, "magnitude 0.5, ")):
        tuned = dataclasses.replace(
            prune(model, sparsity=sparsity), training=Training(seed=3)
        )
        assert tuned.name == f"{name}fine-tuned, seed 3"


# Variants that no method makes yet


def layers_of(leaves):
    def layer(path, number):
        part = trees.layer_of(path, leaves[path], number)
        return np.asarray(part, np.float32)

    return layer


def with_new_weights(start: Variant) -> Variant:
    """As an update or fine-tuning will make them: all leaves of its own, a bias too."""
    model = start.model
    changed = {
        path: leaf * 1.5 if path.endswith("kernel") else leaf + 0.1
        for path, leaf in model.params.items()
        if path.startswith(("h/mlp", "h/attn"))
    }
    return dataclasses.replace(
        start,
        recipe=MAGNITUDE,
        sparsity=0.5,
        identity={**start.identity, "method": "made up", "weights of": "this test"},
        shapes=shapes_of(changed),
        leaf=changed.__getitem__,
        layer=layers_of(changed),
        training=Training(),
        execution="sparse",
    )


def with_fewer_neurons(start: Variant) -> Variant:
    """Every layer loses half of its feed-forward units, as smaller shapes will."""
    model, half = start.model, start.model.config.ffn // 2
    changed = {
        "h/mlp/c_fc/kernel": model.params["h/mlp/c_fc/kernel"][:, :, :half],
        "h/mlp/c_fc/bias": model.params["h/mlp/c_fc/bias"][:, :half],
        "h/mlp/c_proj/kernel": model.params["h/mlp/c_proj/kernel"][:, :half],
    }
    blueprint = model.blueprint
    config = dataclasses.replace(model.config, ffn=half)
    checkpoint = dataclasses.replace(
        blueprint.checkpoint, config={**blueprint.checkpoint.config, "n_inner": half}
    )
    smaller = dataclasses.replace(
        model,
        blueprint=dataclasses.replace(blueprint, config=config, checkpoint=checkpoint),
        apply=make_apply(blueprint.family, config, model.dtype, model.form),
    )
    return dataclasses.replace(
        start,
        model=smaller,
        sparsity=0.25,
        identity={**start.identity, "method": "made up", "neurons": half},
        shapes=shapes_of(changed),
        leaf=changed.__getitem__,
        layer=layers_of(changed),
    )


@pytest.fixture(scope="module")
def every_kind(loaded):
    """Dense, two by masks, one with weights of its own, one with smaller arrays."""
    model = loaded("gpt2")
    start = dense(model, MAGNITUDE)
    masked = OneShot(model).variants(MAGNITUDE, (0.5, 0.9))
    return (start, *masked, with_new_weights(start), with_fewer_neurons(start))


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_sweep_takes_every_kind_and_its_journal_knows_them(
    every_kind, scorers, at_once
):
    journal, told = Journal(), Told()
    how = {"levels_at_once": at_once, "journal": journal}
    points = list(evaluate(every_kind, QUESTIONS, QUERY, **how))
    assert scorers[-1].compilations == 3  # masks and dense share one
    assert journal.recorded == 5 * len(QUESTIONS)
    assert len(np.unique(scores_of(points), axis=0)) == 5
    again = list(evaluate(every_kind, QUESTIONS, QUERY, progress=told, **how))
    assert told.told[-1] == ("cloze", 10, 10)
    for point, variant, known in zip(points, every_kind, again, strict=True):
        model = dataclasses.replace(
            variant.model, params={**variant.model.params, **variant.leaves()}
        )
        (alone,) = sweep(model, QUESTIONS, sparsities=(), presentations=[QUERY])
        np.testing.assert_allclose(
            point.answers.scores, alone.answers.scores, rtol=1e-5
        )
        np.testing.assert_array_equal(point.answers.scores, known.answers.scores)
        assert point.curve.training == variant.training
        assert point.curve.execution == variant.execution
        assert point.digest == every_kind[0].model.digest


def test_a_fine_tuned_dense_model_is_compared_with_the_one_shot_one(every_kind):
    """It is at sparsity 0, too, and is not taken for dense."""
    start, *_ = every_kind
    leaves = {path: leaf * 1.5 for path, leaf in start.leaves().items()}
    tuned = dataclasses.replace(
        start,
        identity={**start.identity, "weights of": "this test"},
        leaf=leaves.__getitem__,
        training=Training(seed=2),
        training_seconds=1.5,
    )
    before, after = evaluate([start, tuned], QUESTIONS, QUERY)
    assert (before.pooled.p_vs_dense, before.training_seconds) == (None, None)
    assert after.pooled.p_vs_dense is not None
    assert (after.curve.training, after.training_seconds) == (Training(seed=2), 1.5)
    assert not np.array_equal(before.answers.scores, after.answers.scores)
    assert dense_of([after, before], before.setup) is before


@pytest.mark.parametrize("at_once", [1, 2])
def test_leaves_beside_its_own_are_those_of_a_variants_model(loaded, at_once):
    """Also where two models have one `apply`, and so what is compiled."""
    model = loaded("gpt2")
    start = dense(model, MAGNITUDE)
    params = {**model.params, "wte/embedding": model.params["wte/embedding"] * 1.5}
    other = dataclasses.replace(model, params=params, digest="other")
    pair = (start, dataclasses.replace(dense(other, MAGNITUDE), sparsity=0.5))
    points = evaluate(pair, QUESTIONS, QUERY, levels_at_once=at_once)
    for point, variant in zip(points, pair, strict=True):
        (alone,) = evaluate([variant], QUESTIONS, QUERY)
        np.testing.assert_allclose(
            point.answers.scores, alone.answers.scores, rtol=1e-5
        )


def test_leaves_may_be_of_another_dtype(loaded, scorers):
    start = dense(loaded("gpt2"), MAGNITUDE)
    half = {path: leaf.astype("bfloat16") for path, leaf in start.leaves().items()}
    narrow = dataclasses.replace(
        start, identity={**start.identity, "leaves": "half"}, leaf=half.__getitem__
    )
    wide, rounded = scores_of(evaluate([start, narrow], QUESTIONS, QUERY))
    assert scorers[-1].compilations == 2
    np.testing.assert_allclose(rounded, wide, rtol=0.02)
    assert not np.array_equal(rounded, wide)


def test_a_report_is_made_of_every_kind_and_read_again(every_kind, tmp_path):
    points = list(evaluate(every_kind, QUESTIONS, QUERY))
    run = {
        "command": "./run.sh", "notes": [], "settings": {},
        "models": {"gpt2": {"digest": every_kind[0].model.digest}},
    }  # fmt: skip
    report.write(tmp_path, report.statistics(points), run)
    for point, read in zip(points, report.read(tmp_path).points, strict=True):
        assert read.curve == point.curve
        assert read.sparsity == point.sparsity
        np.testing.assert_array_equal(read.answers.scores, point.answers.scores)


@pytest.mark.parametrize("index", range(5))
def test_every_kind_is_saved_for_transformers_and_loaded_again(
    every_kind, tmp_path, index
):
    variant = every_kind[index]
    save(variant, tmp_path / "saved")
    loaded_again = load_model(str(tmp_path / "saved"))
    for path, leaf in {**variant.model.params, **variant.leaves()}.items():
        np.testing.assert_array_equal(loaded_again.params[path], leaf)
    _, messages = AutoModelForCausalLM.from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not any(messages[name] for name in ("missing_keys", "unexpected_keys"))


def test_a_pattern_is_one_point_at_a_sparsity_of_its_own(loaded):
    model, recipe = loaded("gpt2"), Recipe("magnitude", pattern="1:4")
    (variant,) = OneShot(model).variants(recipe, (0.0, 0.1, 0.9))
    assert (variant.sparsity, variant.achieved_sparsity) == (0.75, 0.75)
    assert prune(model, pattern="1:4").identity == variant.identity
    for path, mask in kept(variant).items():
        layers, inputs, outputs = mask.shape
        groups = mask.reshape(layers, inputs // 4, 4, outputs)
        assert (groups.sum(axis=2) == 1).all()
        size = np.abs(model.params[path]).reshape(groups.shape)
        np.testing.assert_array_equal(size.max(2)[..., None, :] == size, groups)


def test_erk_prunes_small_matrices_less_and_nests(loaded):
    model, recipe = loaded("gpt2"), Recipe("magnitude", allocation="erk")
    half, most = OneShot(model).variants(recipe, (0.5, 0.9))
    shapes = {path: model.params[path].shape for path in half.shapes}
    places = [(path, layer) for path in shapes for layer in range(shapes[path][0])]
    density = pruning.erk([shapes[path][1:] for path, _ in places], 0.5)
    pruned = {(one.path, one.layer): one.pruned for one in half.matrices}
    for place, fraction in zip(places, density, strict=True):
        size = np.prod(shapes[place[0]][1:])
        assert pruned[place] == round(float(1 - fraction) * size)
    assert len(set(density)) > 1
    assert half.achieved_sparsity == pytest.approx(0.5, abs=1e-3)
    for (path, mask), fewer in zip(
        kept(half).items(), kept(most).values(), strict=True
    ):
        assert (mask >= fewer).all(), path


IDENTITY = {
    "dtype": "float32", "pattern": "unstructured", "scope": "matrix",
    "prunable": "blocks", "sparsity": 0.5, "calibration": None, "pruning_revision": 2,
}  # fmt: skip


def test_journals_know_what_they_knew(loaded, tmp_path):
    """The keys of magnitude and random are those of before there were others."""
    model = loaded("gpt2")
    before = IDENTITY | {"weights": model.digest}
    identity = prune(model, "magnitude", 0.5).identity
    assert identity == before | {"method": "magnitude", "seed": None}
    identity = prune(model, "random", 0.5, seed=3).identity
    assert identity == before | {"method": "random", "seed": 3}
    erk = prune(model, "magnitude", 0.5, allocation="erk").identity
    assert erk == before | {"method": "magnitude", "seed": None, "allocation": "erk"}
    file = tmp_path / "own.py"
    file.write_text(
        "def size(weights, statistics, generator):\n    return abs(weights)"
    )
    own = prune(model, method := f"{file}:size", 0.5)
    source = hashlib.sha256(file.read_bytes()).hexdigest()
    added = {"method": method, "seed": None, "source": source}
    assert own.identity == before | added
    for path, mask in kept(prune(model, "magnitude", 0.5)).items():
        np.testing.assert_array_equal(mask, kept(own)[path])


def test_a_model_itself_is_saved_too(loaded, tmp_path):
    save(loaded("t5"), str(tmp_path / "saved"))
    again = load_model(str(tmp_path / "saved")).params
    jax.tree.map(np.testing.assert_array_equal, dict(again), dict(loaded("t5").params))


def test_no_leaf_is_made_as_a_whole_to_be_written(loaded, tmp_path):
    variant = prune(loaded("electra-generator-projected"), "magnitude", 0.5)

    def refuse(path):
        raise AssertionError(path)

    save(dataclasses.replace(variant, leaf=refuse), tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"))
    for path, leaf in variant.leaves().items():
        np.testing.assert_array_equal(again.params[path], leaf)
