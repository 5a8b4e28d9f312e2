"""Sparse execution of whole models: the scores of dense execution, but for rounding."""

import functools
from itertools import pairwise

import numpy as np
import pytest

import jaxsparse
from jaxsparse import sparse, variants
from jaxsparse.execution import executed
from jaxsparse.journal import Journal, key_of
from jaxsparse.model import load_model, open_model
from jaxsparse.one_shot import OneShot, prune
from jaxsparse.pruning import Recipe
from jaxsparse.sparse import execution
from jaxsparse.sweep import sweep
from jaxsparse.types import InputError, Presentation
from tests.one_shot.test_pruner import calibration_of
from tests.sparse.conftest import library  # noqa: F401
from tests.test_sweep import MAGNITUDE, QUERY, QUESTIONS, RANDOM, SHORT, scores_of
from tests.test_text_loss import LENGTH, LONG
from tests.told import Told

pytestmark = pytest.mark.usefixtures("library")
BOTH = [QUERY, Presentation("append", "query", "none")]


@pytest.fixture
def crossovers(monkeypatch):
    """Sets the density below which sparse execution gains, of every shape."""

    def fix(density):
        monkeypatch.setattr(execution, "crossover", lambda *_: density)

    return fix


def drawn(model, recipes, sparsities=(0.5, 0.9), **how):
    """The points of a sweep that is calibrated on a few rows."""
    calibrated = any(recipe.calibrated for recipe in recipes)
    rows = calibration_of(model, rows=3) if calibrated else None
    put = how.pop("presentations", BOTH)
    return list(
        sweep(model, QUESTIONS, recipes, sparsities, put, calibration=rows, **how)
    )


def assert_same_scores(points, others):
    np.testing.assert_allclose(scores_of(points), scores_of(others), rtol=1e-5)


def kernels_of(variant):
    leaves = map(variant.leaf, variant.shapes)
    return [leaf for leaf in leaves if isinstance(leaf, sparse.SparseKernel)]


@pytest.mark.parametrize(
    ("family", "recipe"),
    [
        ("gpt2", MAGNITUDE),
        ("gpt2-untied", Recipe("magnitude", prunable="all")),
        ("electra-generator-projected", Recipe("magnitude", "global", "linear")),
        ("electra-discriminator", Recipe("wanda+pcg", prunable="linear")),
        ("t5", Recipe("sparsegpt")),
        ("t5-gated", Recipe("wanda", allocation="owl", statistics="dense")),
        ("gpt2-relu", Recipe("magnitude", pattern="2:4")),
        ("llama-biased", Recipe("magnitude", prunable="all")),
        ("pythia", Recipe("wanda")),
        ("opt-norm-behind", Recipe("admm", prunable="linear")),
        ("bert", Recipe("magnitude", prunable="linear")),
    ],
)
def test_scores_are_those_of_dense_execution(loaded, crossovers, family, recipe):
    model = loaded(family)
    crossovers(0.3)
    sparsities = () if recipe.own_sparsity else (0.5, 0.9)
    dense, *others = (
        drawn(model, [recipe], sparsities, execution=kind)
        for kind in ("dense", "sparse", "auto")
    )
    for points, kind in zip(others, ("sparse", "auto"), strict=True):
        assert_same_scores(points, dense)
        assert {point.curve.execution for point in points} == {kind}
    assert {point.curve.execution for point in dense} == {"dense"}


@pytest.mark.parametrize(
    "recipe", [Recipe("magnitude", "global"), Recipe("wanda", allocation="owl")]
)
def test_some_layers_of_a_leaf_are_dense_and_others_sparse(loaded, crossovers, recipe):
    model = loaded("gpt2")
    rows = calibration_of(model, rows=3)
    pruned = OneShot(model, rows).variants(recipe, [0.4, 0.6])
    kept = [1 - matrix.pruned / matrix.weights for matrix in pruned[1].matrices]
    crossovers(float(np.median(kept)))
    mixed = executed(pruned, sparse.Execution("auto"))
    found = kernels_of(mixed[1])
    assert any(0 < kernel.dense.shape[0] < model.config.layers for kernel in found)
    dense, auto = (
        drawn(model, [recipe], (0.4, 0.6), execution=kind, presentations=[QUERY])
        for kind in ("dense", "auto")
    )
    assert_same_scores(auto, dense)


@pytest.mark.parametrize("pattern", ["neurons", "layers"])
def test_smaller_models_stay_dense(loaded, pattern):
    model = loaded("gpt2")
    recipe = Recipe("magnitude", pattern=pattern)
    (smaller,) = OneShot(model, calibration_of(model)).variants(recipe, [0.5])
    (same,) = executed([smaller], sparse.Execution("sparse"))
    assert not kernels_of(same)
    assert same.identity == smaller.identity


def test_leaves_of_kept_weights_are_those_of_masks(loaded):
    """Whatever order variants are asked in: one packing is held at a time."""
    model = loaded("gpt2")
    pruned = [
        *OneShot(model).variants(MAGNITUDE, [0.3, 0.5, 0.9]),
        *OneShot(model).variants(RANDOM, [0.5]),
    ]
    made = executed(pruned, sparse.Execution("sparse"))
    for number in (2, 3, 0, 1, 2):
        for path in pruned[number].shapes:
            kernel = made[number].leaf(path)
            assert sparse.kept(kernel) == np.count_nonzero(pruned[number].leaf(path))


def test_sparsities_that_are_near_share_a_packing(loaded):
    """So that what is kept at a large one does not lie far apart in memory."""
    pruned = OneShot(loaded("gpt2")).variants(MAGNITUDE, [0.5, 0.6, 0.8, 0.9, 0.99])
    made = executed(pruned, sparse.Execution("sparse"))
    path = "h/mlp/c_fc/kernel"
    kernels = [variant.leaf(path) for variant in made]
    together = [other.values is one.values for one, other in pairwise(kernels)]
    assert together == [True, True, False, False]
    assert int(kernels[-1].ends.max()) < 0.02 * kernels[-1].size


def test_a_variant_that_is_dense_all_the_same_keeps_its_identity(loaded, crossovers):
    model = loaded("gpt2")
    crossovers(0.2)
    dense, recipe = variants.dense(model, MAGNITUDE), MAGNITUDE
    pruned = [dense, *OneShot(model).variants(recipe, [0.5, 0.9])]
    keys = [key_of(variant.identity) for variant in pruned]
    auto, always = (
        [key_of(v.identity) for v in executed(pruned, sparse.Execution(kind))]
        for kind in ("auto", "sparse")
    )
    assert auto[:2] == keys[:2]
    assert always[0] == keys[0]
    assert len({*keys, *auto, *always}) == 3 + 1 + 2
    assert executed(pruned, sparse.Execution()) == pruned


def test_a_run_that_goes_on_finds_its_own_answers(loaded):
    model, journal, told = loaded("gpt2"), Journal(), Told()
    how = {"journal": journal, **SHORT}
    first = list(
        sweep(model, QUESTIONS, [MAGNITUDE], (0.5,), execution="sparse", **how)
    )
    how |= {"progress": told}
    again = list(
        sweep(model, QUESTIONS, [MAGNITUDE], (0.5,), execution="sparse", **how)
    )
    assert told.told[-1] == ("cloze", 4, 4)
    np.testing.assert_array_equal(scores_of(first), scores_of(again))
    list(sweep(model, QUESTIONS, [MAGNITUDE], (0.5,), **how))
    assert ("cloze", 4, 2) in told.told  # dense alone is known


def test_all_that_is_pruned_shares_what_is_compiled(loaded, scorers):
    """Masks that nest, and values that are made block by block."""
    recipes = [MAGNITUDE, RANDOM, Recipe("sparsegpt")]
    how = {"execution": "sparse", "presentations": [QUERY]}
    points = drawn(loaded("gpt2"), recipes, (0.5, 0.9, 0.99), **how)
    assert len(points) == 12
    (scorer,) = scorers
    assert scorer.compilations == 2 * points[0].workload.shapes  # dense has its own


def test_running_text_and_further_draws_cost_what_they_cost_dense(loaded):
    def losses(execution):
        points = list(
            sweep(
                loaded("gpt2"), QUESTIONS, [MAGNITUDE, RANDOM], (0.6,), [QUERY],
                texts=[LONG], text_tokens=LENGTH, redraws={5: None},
                execution=execution,
            )
        )  # fmt: skip
        of_points = [point.texts[0] for point in points]
        redrawn = [nats for loss in of_points for _, nats in loss.redrawn]
        return [loss.nats for loss in of_points], redrawn

    (dense, dense_redrawn), (found, redrawn) = losses("dense"), losses("sparse")
    np.testing.assert_allclose(found, dense, rtol=1e-5)
    assert len(redrawn) == 1
    np.testing.assert_allclose(redrawn, dense_redrawn, rtol=1e-5)


# Models that are loaded so


@pytest.fixture(scope="module")
def pruned_directory(loaded, tmp_path_factory):
    @functools.cache
    def write(format):
        directory = tmp_path_factory.mktemp("pruned") / format
        variant = prune(loaded("gpt2"), "magnitude", 0.8, scope="global")
        variants.save(variant, directory, format=format)
        return str(directory)

    return write


def asked(model):
    return list(sweep(model, QUESTIONS, [MAGNITUDE], (), **SHORT))


@pytest.mark.parametrize("format", ["dense", "bitmask"])
@pytest.mark.parametrize("kind", ["sparse", "auto"])
def test_a_pruned_directory_is_executed_by_its_zeros(
    pruned_directory, crossovers, format, kind
):
    directory = pruned_directory(format)
    dense = load_model(directory)
    layers = np.asarray(dense.params["h/mlp/c_fc/kernel"])
    crossovers(float(np.median(np.mean(layers != 0, axis=(1, 2)))))
    model = load_model(directory, execution=kind)
    found = [
        leaf for leaf in model.params.values() if isinstance(leaf, sparse.SparseKernel)
    ]
    mixed = [0 < leaf.dense.shape[0] < leaf.shape[0] for leaf in found]
    assert found
    assert any(mixed) == (kind == "auto")
    assert model.digest == dense.digest
    (expected,), (point,) = asked(dense), asked(model)
    assert_same_scores([point], [expected])
    assert point.curve.execution == kind
    assert point.achieved_sparsity == expected.achieved_sparsity > 0.79
    assert point.total_sparsity == expected.total_sparsity
    (swept,) = sweep(dense, QUESTIONS, [MAGNITUDE], (), execution=kind, **SHORT)
    assert_same_scores([swept], [expected])


def test_a_model_that_keeps_no_dense_weights_is_not_pruned_or_written(
    pruned_directory, tmp_path
):
    model = load_model(pruned_directory("dense"), execution="sparse")
    said = r"was loaded with `execution=sparse`, .*load it with `execution=dense`"
    with pytest.raises(InputError, match=said):
        prune(model, "magnitude", 0.9)
    with pytest.raises(InputError, match=said):
        next(sweep(model, QUESTIONS, [MAGNITUDE], (0.9,), **SHORT))
    for what in model, variants.dense(model, MAGNITUDE):
        with pytest.raises(InputError, match=said):
            jaxsparse.save(what, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_what_is_not_executed_so_is_refused_before_weights_are_read(saved, loaded):
    directory = str(saved("gpt2"))
    with pytest.raises(InputError, match="float32 only"):
        load_model(directory, "bfloat16", execution="sparse")
    with pytest.raises(InputError, match="`execution=fast`"):
        load_model(directory, execution="fast")
    with pytest.raises(InputError, match="`levels_at_once=2`"):
        next(
            sweep(
                loaded("gpt2"), QUESTIONS, [MAGNITUDE], (0.5,), levels_at_once=2,
                execution="sparse",
            )
        )  # fmt: skip


def test_without_a_kernel_a_model_is_loaded_dense_with_one_warning(
    saved, loaded, monkeypatch
):
    def unavailable():
        raise sparse.Unavailable("no compiler")

    monkeypatch.setattr(execution, "library", unavailable)
    with pytest.warns(UserWarning, match="dense instead of auto: no comp") as warned:
        model = load_model(str(saved("gpt2")), execution="auto")
    assert len(warned) == 1
    assert model.execution == "dense"
    told = Told()
    points = list(
        sweep(
            model, QUESTIONS, [MAGNITUDE], (0.5,), execution="sparse", progress=told,
            levels_at_once=2, **SHORT,
        )
    )  # fmt: skip
    said = "all execution is dense instead of sparse: no compiler"
    assert told.lines.count(said) == 1
    assert {point.curve.execution for point in points} == {"dense"}


def test_a_run_says_what_it_measured_of_a_shape_once(pruned_directory, crossovers):
    crossovers(0.25)
    auto, told = sparse.Execution("auto"), Told()
    for _ in range(2):
        model = jaxsparse.model.load(
            open_model(pruned_directory("dense")), execution=auto
        )
        list(
            sweep(model, QUESTIONS, [MAGNITUDE], (), execution=auto, progress=told,
                  **SHORT)
        )  # fmt: skip
    said = [line for line in told.lines if "sparse execution of" in line]
    assert said
    assert len(said) == len(set(said))
    assert "sparse execution of 32 → 96 gains above 75% sparsity here" in said


def test_of_a_dense_model_nothing_is_measured(saved, monkeypatch):
    monkeypatch.setattr(execution, "crossover", lambda *_: pytest.fail("measures"))
    model = load_model(str(saved("gpt2")), execution="auto")
    assert not any(isinstance(v, sparse.SparseKernel) for v in model.params.values())
