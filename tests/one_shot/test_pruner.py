"""One-shot pruning of whole models: every recipe, exact and resumable."""

import collections
import dataclasses
import re

import jax
import numpy as np
import pytest

from jaxsparse import load_model
from jaxsparse.calibration import Calibration, Walk
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.pruning import METHODS, UPDATES, Recipe
from jaxsparse.running_text import examples
from jaxsparse.types import InputError
from jaxsparse.variants import weights_of
from tests.slices import slow
from tests.told import Told

FAMILIES = ("gpt2", "electra-generator-projected", "electra-discriminator", "t5-gated")
LATER = ("qwen3", "pythia", "opt-norm-behind", "bert", "roberta")
OF_INPUTS = [
    name
    for name, criterion in METHODS.items()
    if criterion.needs and not {"gradient", "fisher"} & {*criterion.needs}
]


def calibration_of(model, rows=6, length=24, seed=0):
    generator = np.random.default_rng(seed)
    special = {*model.tokenizer.get_added_vocab().values()}
    plain = [n for n in range(len(model.tokenizer)) if n not in special]
    windows = generator.choice(plain, (rows, length)).astype(np.int32)
    made = examples(windows, model.config, model.tokenizer, seed)
    return Calibration(made, "made", length, False, seed, windows.size)


def one_shot(model, *args, **kwargs):
    return OneShot(model, calibration_of(model), *args, **kwargs)


def zeros(leaf):
    return np.asarray(leaf) == 0


def values(variant):
    return {path: np.asarray(leaf) for path, leaf in variant.leaves().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for path, leaf in first.items():
        np.testing.assert_array_equal(leaf, second[path], err_msg=path)


@pytest.mark.parametrize("family", slow((*FAMILIES, *LATER), LATER[2:]))
@pytest.mark.parametrize(
    "method",
    [*OF_INPUTS, "wanda+pcg", "random+pcg", "wanda+reconstruct", "admm+reconstruct"],
)
def test_every_matrix_loses_as_many_weights_as_asked_for(method, family, loaded):
    model = loaded(family)
    recipe = Recipe(method)
    (variant,) = one_shot(model).variants(recipe, [0.6])
    assert variant.matrices
    for matrix in variant.matrices:
        leaf = variant.layer(matrix.path, matrix.layer)
        assert np.count_nonzero(zeros(leaf)) == matrix.pruned
        groups = leaf.shape[1] if recipe.scope == "output" else 1
        assert matrix.pruned == groups * round(0.6 * leaf.size / groups)
    pruned = sum(matrix.pruned for matrix in variant.matrices)
    weights = sum(matrix.weights for matrix in variant.matrices)
    assert variant.achieved_sparsity == pruned / weights


@pytest.mark.parametrize(
    "method",
    [
        *OF_INPUTS,
        "magnitude",
        "magnitude+pcg",
        "magnitude+reconstruct",
        "sparsegpt+reconstruct",
    ],
)
def test_n_of_m_keeps_n_of_every_m_inputs(method, loaded):
    model = loaded("gpt2")
    (variant,) = one_shot(model).variants(Recipe(method, pattern="1:4"), [0.3])
    assert variant.sparsity == variant.achieved_sparsity == 0.75
    for leaf in values(variant).values():
        kept = ~zeros(leaf).reshape(len(leaf), -1, 4, leaf.shape[-1])
        assert (kept.sum(axis=2) == 1).all()


def test_sequential_masks_are_those_of_inputs_that_came_through_what_was_pruned(loaded):
    model = loaded("gpt2")
    (variant,) = one_shot(model).variants(Recipe("wanda"), [0.7])
    (dense,) = one_shot(model).variants(Recipe("wanda", statistics="dense"), [0.7])
    first, second = values(variant), values(dense)
    walk = Walk(model, calibration_of(model))
    for stage in walk.stages:
        known = walk.statistics(stage, ["squares"])
        for path in stage.paths:
            weights = weights_of(model, path, stage.layer)
            scores = np.abs(weights) * known[path].norms[:, None]
            order = np.argsort(scores, axis=0, kind="stable")
            mask = np.ones(weights.shape, bool)
            number = round(0.7 * len(weights))
            np.put_along_axis(mask, order[:number], False, axis=0)
            leaf = first[path][stage.layer]
            np.testing.assert_array_equal(leaf, np.where(mask, weights, 0))
        own = {path: first[path][stage.layer] for path in stage.paths}
        walk.advance(stage, own)
    same = [(zeros(first[p]) == zeros(second[p])).all(axis=(1, 2)) for p in first]
    assert np.all([layers[0] for layers in same])  # nothing is pruned before block 0
    assert not np.all([layers[1] for layers in same])


@pytest.mark.parametrize("method", ["wanda", "gradient", "ria+pcg"])
def test_masks_of_dense_statistics_nest_where_scores_decide_them(method, loaded):
    model = loaded("electra-generator-projected")
    recipe = Recipe(method, statistics="" if method == "gradient" else "dense")
    low, high = map(values, one_shot(model).variants(recipe, [0.8, 0.4]))
    for path, leaf in low.items():
        assert np.all(zeros(leaf) <= zeros(high[path]))


def test_zeros_of_the_file_stay_zero_and_count(loaded):
    dense = loaded("gpt2")
    params = dict(dense.params)
    path = "h/mlp/c_fc/kernel"
    hole = np.asarray(params[path]).copy()
    hole[:, :, :40] = 0
    params[path] = jax.numpy.asarray(hole)
    model = dataclasses.replace(dense, params=params, digest="holes")
    updated = "wanda+pcg", "wanda+reconstruct", "sparsegpt+reconstruct"
    for method in ("magnitude", "wanda", "sparsegpt", "admm", *updated):
        (variant,) = one_shot(model).variants(Recipe(method), [0.2])
        assert not variant.leaf(path)[:, :, :40].any(), method
        of_path = [matrix for matrix in variant.matrices if matrix.path == path]
        for matrix in of_path:
            held = np.count_nonzero(zeros(variant.layer(path, matrix.layer)))
            assert held == matrix.pruned >= round(0.2 * matrix.weights), method


def test_a_bias_takes_what_was_pruned_on_average(loaded):
    model = loaded("gpt2")
    recipe = Recipe("magnitude+bias", statistics="dense")
    (variant,) = one_shot(model).variants(recipe, [0.5])
    walk = Walk(model, calibration_of(model))
    for stage in walk.stages:
        known = walk.statistics(stage, ["mean"])
        for path in stage.paths:
            bias = path.replace("kernel", "bias")
            change = variant.layer(path, stage.layer)
            change = weights_of(model, path, stage.layer) - change
            expected = weights_of(model, bias, stage.layer) + known[path].mean @ change
            got = variant.layer(bias, stage.layer)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
        walk.advance(stage)


@pytest.mark.parametrize("allocation", ["erk", "owl"])
def test_allocations_meet_the_sparsity_but_for_rounding(allocation, loaded):
    model = loaded("t5-gated")
    for method in ("magnitude", "wanda", "sparsegpt"):
        recipe = Recipe(method, "matrix", allocation=allocation)
        if method == "sparsegpt":
            recipe = Recipe(method, allocation=allocation)
        (variant,) = one_shot(model).variants(recipe, [0.5])
        assert abs(variant.achieved_sparsity - 0.5) < 2e-3, method
        fractions = {matrix.pruned / matrix.weights for matrix in variant.matrices}
        assert len(fractions) > 1
        if allocation == "owl":
            of_blocks = {}
            for matrix in variant.matrices:
                block = matrix.path.split("/")[0], matrix.layer
                fraction = matrix.pruned / matrix.weights
                of_blocks.setdefault(block, []).append(fraction)
            assert all(np.ptp(of_block) < 0.03 for of_block in of_blocks.values())


@pytest.mark.parametrize(
    "method",
    ["sparsegpt", "magnitude+reconstruct", "wanda+reconstruct", "admm+reconstruct"],
)
def test_a_run_that_was_killed_goes_on_behind_its_last_block(method, loaded, tmp_path):
    model, recipe = loaded("gpt2"), Recipe(method)
    (whole,) = one_shot(model).variants(recipe, [0.5])

    class Killed(Told):
        def done(self, number):
            if self.stages[-1][2] == "blocks":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one_shot(model, tmp_path, Killed()).variants(recipe, [0.5])
    told = Told()
    pruner = one_shot(model, tmp_path, told)
    (resumed,) = pruner.variants(recipe, [0.5])
    assert (f"{method} 0.5 · pruning", 3, 1) in told.told
    assert resumed.matrices == whole.matrices
    assert_same(values(resumed), values(whole))

    pruner.forget()
    assert not list(tmp_path.glob("pruned/*/h*"))
    told = Told()
    (again,) = one_shot(model, tmp_path, told).variants(recipe, [0.5])
    assert again.matrices == whole.matrices
    assert not [stage for stage in told.stages if stage[2] == "blocks"]
    assert_same(values(again), values(whole))


def test_room_on_the_disk_is_looked_for_before_any_work(loaded, tmp_path, monkeypatch):
    """For all that is pruned block by block and not there yet."""
    pruner = one_shot(loaded("gpt2"), tmp_path)
    recipes = [Recipe("magnitude"), Recipe("wanda"), Recipe("random+pcg")]
    (variant,) = pruner.variants(recipes[1], [0.5])
    each = sum(leaf.nbytes for leaf in values(variant).values())
    usage = collections.namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(5 * each))
    pruner.expect(recipes, [0.0, 0.5, 0.7, 0.9])
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(5 * each - 1))
    with pytest.raises(InputError, match="5 models that are pruned block by block"):
        pruner.expect(recipes, [0.0, 0.5, 0.7, 0.9])


def test_statistics_of_the_dense_model_are_gathered_for_all_at_once(loaded, tmp_path):
    told = Told()
    pruner = one_shot(loaded("gpt2"), tmp_path, told)
    wanda, pcg = (Recipe(name, statistics="dense") for name in ("wanda", "wanda+pcg"))
    pruner.expect([wanda, pcg], [0.5])
    (pruned,), _ = (pruner.variants(recipe, [0.5]) for recipe in (wanda, pcg))
    (alone,) = one_shot(loaded("gpt2")).variants(wanda, [0.5])
    assert_same(values(pruned), values(alone))
    assert [name for name, *_ in told.stages].count("calibrating") == 1


@pytest.mark.parametrize("damage", ["short", "value", "record", "nothing", "other"])
def test_files_that_are_not_as_written_are_made_anew(damage, loaded, tmp_path):
    model, recipe = loaded("gpt2"), Recipe("wanda")
    (whole,) = one_shot(model, tmp_path).variants(recipe, [0.5])
    (directory,) = tmp_path.glob("pruned/*")
    file, record = next(directory.glob("h*")), directory / "pruned.json"
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-1])
    if damage == "value":
        file.write_bytes(b"\0\1" + file.read_bytes()[2:])
    if damage == "nothing":
        record.write_text(
            re.sub(r'"matrices": \[.*?\]', '"matrices": []', record.read_text())
        )
    if damage == "record":
        record.write_text(record.read_text()[:-9])
    if damage == "other":
        record.write_text(record.read_text().replace("wanda", "ria"))
    (again,) = one_shot(model, tmp_path).variants(recipe, [0.5])
    assert_same(values(again), values(whole))


def test_errors_of_reconstruction_are_those_of_the_outputs(loaded, tmp_path):
    model = loaded("gpt2")
    for method in ("magnitude", "wanda+bias"):
        pruner = one_shot(model, tmp_path)
        (variant,) = pruner.measured(pruner.variants(Recipe(method), [0.5]))
        (again,) = pruner.measured(pruner.variants(Recipe(method), [0.5]))
        assert again.matrices == variant.matrices
        by_place = {(m.path, m.layer): m.error for m in variant.matrices}
        walk = Walk(model, calibration_of(model))
        for stage in walk.stages:
            known = walk.statistics(stage, ["mean", "gram"])
            for path in stage.paths:
                weights = weights_of(model, path, stage.layer).astype(float)
                change = variant.layer(path, stage.layer) - weights
                statistics = known[path]
                gram = np.asarray(statistics.gram, float)
                lost = np.sum(change * (gram @ change))
                if method == "wanda+bias":
                    bias = path.replace("kernel", "bias")
                    shift = variant.layer(bias, stage.layer)
                    shift = shift - weights_of(model, bias, stage.layer)
                    mean = np.asarray(statistics.mean, float)
                    lost += 2 * statistics.tokens * (mean @ change) @ shift
                    lost += statistics.tokens * np.sum(shift**2)
                expected = lost / np.sum(weights * (gram @ weights))
                got = by_place[path, stage.layer]
                assert got == pytest.approx(expected, rel=1e-3)
            walk.advance(stage)


@pytest.mark.parametrize(
    ("family", "method", "options", "message"),
    [
        ("t5-gated", "magnitude+bias", {}, "has no bias"),
        ("gpt2", "wanda", {"prunable": "all"}, "has no inputs"),
        ("gpt2", "wanda", {"pattern": "3:7"}, "does not divide"),
        ("gpt2", "magnitude+reconstruct", {"prunable": "linear"}, "choose blocks"),
        ("gpt2", "magnitude+reconstruct", {"prunable": "all"}, "choose blocks"),
        ("gpt2", "admm+pcg", {}, r"leave \+pcg out"),
        ("gpt2", "wanda+reconstruct", {"pattern": "neurons"}, "of single weights"),
        ("electra-discriminator", "gradient", {}, "discriminator"),
    ],
)
def test_what_a_model_cannot_be_asked_is_refused(
    family, method, options, message, loaded
):
    model = loaded(family)
    with pytest.raises(InputError, match=message):
        prune(model, method, **options, calibration=calibration_of(model))


def test_all_methods_are_tried_here():
    assert {*METHODS} == {*OF_INPUTS, "magnitude", "random", "gradient", "fisher"}
    assert {*UPDATES} == {"bias", "pcg", "reconstruct"}


@pytest.mark.parametrize(
    ("first", "statistics"),
    [
        (Recipe("magnitude", "global"), "sequential"),
        (Recipe("magnitude", "global"), "dense"),
        (Recipe("sparsegpt", statistics="dense"), "dense"),
    ],
)
def test_a_block_is_fitted_on_rows_that_came_through_fitted_blocks(
    first, statistics, loaded
):
    """Or, with statistics of the dense model, through dense ones."""
    model = loaded("gpt2")
    rows = calibration_of(model)
    recipe = Recipe(f"{first.method}+reconstruct", first.scope, statistics=statistics)
    (variant,) = one_shot(model).variants(recipe, [0.6])
    (masked,) = one_shot(model).variants(first, [0.6])
    walk, dense = (Walk(model, rows, fits_blocks=True) for _ in range(2))
    for stage in walk.stages:
        pruned = {path: masked.layer(path, stage.layer) for path in stage.paths}
        fitted = walk.fitted(stage, pruned, dense)
        for path, values in fitted.items():
            np.testing.assert_array_equal(variant.layer(path, stage.layer), values)
        walk.advance(stage, fitted if statistics == "sequential" else None)
        dense.advance(stage)


def test_bfloat16_models_are_fitted_and_rounded_once(saved):
    model = load_model(str(saved("gpt2")), dtype="bfloat16")
    variant = prune(
        model, "magnitude+reconstruct", 0.9, calibration=calibration_of(model)
    )
    for path, leaf in variant.leaves().items():
        assert leaf.dtype == model.params[path].dtype
        pruned = sum(m.pruned for m in variant.matrices if m.path == path)
        assert np.count_nonzero(zeros(leaf)) == pruned
