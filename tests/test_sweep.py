"""The sweep: one curve however its levels are grouped, and the one torch would draw."""

import dataclasses
import functools
import weakref
from collections import Counter

import jax
import numpy as np
import pytest
from transformers import AutoTokenizer

from jaxsparse import portions
from jaxsparse.cbt import Question
from jaxsparse.evaluation import Scorer, score_variants
from jaxsparse.journal import Journal
from jaxsparse.one_shot import OneShot
from jaxsparse.portions import stacked
from jaxsparse.pruning import Recipe
from jaxsparse.scoring import PROTOCOLS, batch, option_scores
from jaxsparse.sweep import sweep
from jaxsparse.types import InputError, Presentation
from tests import reference, tiny
from tests.asking import plan_of
from tests.oracle import prune as torch_prune
from tests.oracle import torch
from tests.pruned_by_torch import torch_model
from tests.told import Told

MAGNITUDE = Recipe("magnitude", "matrix")
RANDOM = Recipe("random", "matrix")
QUERY = Presentation("cloze", "query", "none")  # small shapes, and text as it is
SHORT = {"presentations": [QUERY]}


def question(seed, last="Hush !"):
    context, query, options, answer = tiny.question_text(seed)
    story = (*context[:-1], last)
    return Question(story, query, options, answer, "CN", id=f"CN-test-{seed}")


QUESTIONS = (question(2), question(5))  # the blank at the end: short branches
LONG = question(8, last=" ".join(["the fox saw the hen"] * 20))  # a bucket of its own


@pytest.fixture(scope="module")
def curve(loaded):
    """variant -> points of magnitude and random at 0, 0.5 and 0.9, one by one."""

    @functools.cache
    def draw(variant):
        recipes = (MAGNITUDE, RANDOM)
        return tuple(sweep(loaded(variant), QUESTIONS, recipes, (0.9, 0.5), **SHORT))

    return draw


def scores_of(points):
    return np.stack([point.answers.scores for point in points])


def counting(model, calls):
    """The model with every trace of its apply counted by the inputs' shapes."""

    def apply(params, inputs):
        calls[tuple(leaf.shape for leaf in jax.tree.leaves(inputs))] += 1
        return model.apply(params, inputs)

    return dataclasses.replace(model, apply=apply)


@pytest.mark.parametrize(
    ("variant", "at_once"),  # of 5 levels: 2 and 3 leave a remainder, 9 is too many
    [
        ("gpt2", (2, 3, 9)),
        ("electra-generator-projected", (3,)),
        ("electra-discriminator", (5,)),
        ("t5", (3,)),
    ],
)
def test_levels_at_once_give_the_scores_of_one_by_one_in_one_trace(
    loaded, curve, scorers, variant, at_once
):
    calls = Counter()
    model = counting(loaded(variant), calls)
    one_by_one = scores_of(curve(variant))
    assert len(np.unique(one_by_one, axis=0)) == 5
    for number in at_once:
        points = sweep(
            model,
            QUESTIONS,
            (MAGNITUDE, RANDOM),
            (0.5, 0.9),
            levels_at_once=number,
            **SHORT,
        )
        np.testing.assert_allclose(scores_of(points), one_by_one, rtol=1e-5)
        assert scorers[-1].levels_at_once == min(number, 5)
        assert scorers[-1].compilations == 1
    assert sum(calls.values()) == len(at_once)


def test_a_scan_of_vmaps_with_a_remainder_gives_the_same_scores(loaded):
    model = loaded("gpt2")
    pruned = OneShot(model).variants(MAGNITUDE, (0.2, 0.4, 0.6, 0.8, 0.9))
    plan = plan_of(model, QUESTIONS, QUERY, 4096)
    (planned,) = plan.batches
    made = batch(plan.encoded, planned, model.config, "cloze")

    def score(changed, at_once):
        of_all = functools.partial(
            score_variants, model.apply, option_scores, model.form, at_once
        )
        return jax.jit(of_all)(model.params, changed, made)

    together = score(stacked(pruned, 5), 2)
    for variant, scores in zip(pruned, together, strict=True):
        (alone,) = score(variant.leaves(), 1)
        np.testing.assert_allclose(scores, alone, rtol=1e-5)


def test_one_compilation_and_one_trace_per_shape(loaded, scorers):
    calls = Counter()
    model, questions = counting(loaded("gpt2"), calls), (*QUESTIONS, LONG)
    last = [Presentation(protocol, "last") for protocol in PROTOCOLS]
    plans = [plan_of(model, questions, put, 64) for put in last]
    shapes = [shape for plan in plans for shape in plan.shapes]
    assert len(shapes) == 4  # two buckets under two protocols
    assert sum(len(plan.batches) for plan in plans) > len(shapes)

    methods = ("magnitude", "random")
    points = sweep(model, questions, methods, (0.3, 0.6, 0.9), last, batch_tokens=64)
    assert len(list(points)) == 2 * 2 * 4
    assert [scorer.compilations for scorer in scorers] == [
        len(plan.shapes) for plan in plans
    ]
    assert sum(calls.values()) == len(shapes)


def test_dense_is_scored_once_and_is_the_point_at_0_of_every_method(
    loaded, curve, monkeypatch
):
    scored = []
    score = Scorer.score
    monkeypatch.setattr(
        Scorer, "score", lambda *args: scored.append(args) or score(*args)
    )
    recipes = (MAGNITUDE, RANDOM)
    asked = list(sweep(loaded("gpt2"), QUESTIONS, recipes, (0.0, 0.9, 0.5), **SHORT))
    assert len(scored) == 1 + 2 * 2

    expected = [
        (recipe, sparsity) for recipe in recipes for sparsity in (0.0, 0.5, 0.9)
    ]
    for points in asked, curve("gpt2"):  # 0 was not among the curve's sparsities
        assert [(point.curve.recipe, point.sparsity) for point in points] == expected
        dense = points[0].answers
        for point in points:
            assert (point.answers is dense) == (point.sparsity == 0)
            if point.sparsity == 0:
                assert (point.achieved_sparsity, point.total_sparsity) == (0, 0)
    np.testing.assert_array_equal(scores_of(asked), scores_of(curve("gpt2")))


def test_progress_tells_stages_points_and_every_question_at_every_level(loaded):
    journal, first = Journal(), Told()
    how = {"levels_at_once": 2, "journal": journal, **SHORT}
    list(sweep(loaded("gpt2"), QUESTIONS, [MAGNITUDE], (0.5,), progress=first, **how))
    assert first.told == [
        ("magnitude · pruning", 12, 0), *[1] * 12,
        ("cloze · reading", 2, 0), 1, 1,
        ("cloze", 4, 0), "dense … magnitude 0.5", 4,
    ]  # fmt: skip
    more = Told()
    both = (0.5, 0.9)
    list(sweep(loaded("gpt2"), QUESTIONS, [MAGNITUDE], both, progress=more, **how))
    assert more.told[-3:] == [("cloze", 6, 4), "magnitude 0.9", 2]
    none = Told()
    list(sweep(loaded("gpt2"), QUESTIONS, [MAGNITUDE], (0.5,), progress=none, **how))
    assert none.told[-1] == ("cloze", 4, 4)


def test_levels_that_lack_other_questions_do_not_go_together(loaded):
    """Dense and 0.5 lack the second question, 0.7 and 0.9 both."""
    journal = Journal()
    how = {"levels_at_once": 3, "journal": journal, **SHORT}
    model = loaded("gpt2")
    list(sweep(model, QUESTIONS[:1], [MAGNITUDE], (0.5,), **how))
    told = Told()
    points = sweep(model, QUESTIONS, [MAGNITUDE], (0.5, 0.7, 0.9), progress=told, **how)
    scores = scores_of(points)
    assert told.told[-5:] == [
        ("cloze", 8, 2),
        "dense … magnitude 0.5", 2,
        "magnitude 0.7 … magnitude 0.9", 4,
    ]  # fmt: skip
    alone = sweep(model, QUESTIONS, [MAGNITUDE], (0.5, 0.7, 0.9), **SHORT)
    np.testing.assert_allclose(scores, scores_of(alone), rtol=1e-5)


def test_dense_is_known_whatever_it_was_compared_with(loaded):
    journal, told = Journal(), Told()
    how = {"journal": journal, **SHORT}
    list(sweep(loaded("gpt2"), QUESTIONS, [MAGNITUDE], (), **how))
    list(sweep(loaded("gpt2"), QUESTIONS, [RANDOM], (), progress=told, **how))
    assert told.told[-1] == ("cloze", 2, 2)


def test_points_say_what_was_pruned_of_each_matrix(curve, loaded):
    dense, half, _ = curve("gpt2")[:3]
    assert dense.matrices == ()
    paths = loaded("gpt2").prunable("blocks")
    layers = loaded("gpt2").config.layers
    named = [(one.path, one.layer) for one in half.matrices]
    assert sorted(named) == sorted((path, n) for path in paths for n in range(layers))
    flat = loaded("gpt2").params
    for one in half.matrices:
        assert one.weights == flat[one.path][one.layer].size
        assert one.pruned == round(0.5 * one.weights)


def test_a_method_by_name_is_pruned_in_its_own_scope(loaded, curve):
    points = list(sweep(loaded("gpt2"), QUESTIONS, ["random"], (0.5, 0.9), **SHORT))
    assert {point.curve.recipe for point in points} == {RANDOM}
    np.testing.assert_array_equal(scores_of(points), scores_of(curve("gpt2")[3:]))


def test_a_presentation_that_there_is_not_and_no_questions_are_refused(loaded):
    with pytest.raises(InputError, match="`protocol=fill`"):
        Presentation("fill")
    with pytest.raises(InputError, match="`context=none`"):
        Presentation(context="none")
    with pytest.raises(InputError, match="`questions` holds none"):
        list(sweep(loaded("gpt2"), [], ["magnitude"], [0.5]))


def test_negative_levels_at_once_are_refused(loaded):
    with pytest.raises(ValueError, match="levels_at_once is -1"):
        next(sweep(loaded("gpt2"), QUESTIONS, [MAGNITUDE], (0.5,), levels_at_once=-1))


def test_smaller_models_are_not_computed_as_often_as_the_others_fit(
    loaded, monkeypatch
):
    """Each has a shape of its own: filling up would multiply its seconds."""
    made = []

    def watched(portion, number):
        made.append(([variant.name for variant in portion], number))
        return stacked(portion, number)

    monkeypatch.setattr(portions, "stacked", watched)
    recipes, levels = (MAGNITUDE, Recipe("magnitude", pattern="neurons")), (0.5, 0.9)
    how = {"levels_at_once": 4, "journal": Journal(), **SHORT}
    scores = scores_of(sweep(loaded("gpt2"), QUESTIONS, recipes, levels, **how))
    assert made == [
        (["dense", "magnitude 0.5", "magnitude 0.9"], 3),
        (["magnitude neurons 0.5"], 1),
        (["magnitude neurons 0.9"], 1),
    ]
    one_by_one = sweep(loaded("gpt2"), QUESTIONS, recipes, levels, **SHORT)
    np.testing.assert_allclose(scores, scores_of(one_by_one), rtol=1e-5)


def test_a_level_that_is_added_is_computed_with_as_many_as_all_are(loaded, monkeypatch):
    """What is known counts, or a run that goes on would compute other shapes."""
    journal, made = Journal(), []
    how = {"levels_at_once": 3, "journal": journal, **SHORT}
    model = loaded("gpt2")
    list(sweep(model, QUESTIONS, [MAGNITUDE], (0.5,), **how))
    monkeypatch.setattr(
        portions, "stacked", lambda *given: made.append(given) or stacked(*given)
    )
    list(sweep(model, QUESTIONS, [MAGNITUDE], (0.5, 0.9), **how))
    ((portion, number),) = made
    assert [variant.name for variant in portion] == ["magnitude 0.9"]
    assert number == 3


@pytest.mark.parametrize("at_once", [1, 2])
def test_pruned_leaves_are_gone_before_the_next(loaded, monkeypatch, at_once):
    """Else a sweep of a large model would hold two of its levels."""
    made = []

    def watched(portion, number):
        assert all(leaf() is None for leaf in made)
        leaves = stacked(portion, number)
        dense = {id(leaf) for leaf in loaded("gpt2").params.values()}
        made.extend(
            weakref.ref(leaf) for leaf in leaves.values() if id(leaf) not in dense
        )
        return leaves

    monkeypatch.setattr(portions, "stacked", watched)
    points = sweep(
        loaded("gpt2"), QUESTIONS, [MAGNITUDE], (0.3, 0.5, 0.9), **SHORT,
        levels_at_once=at_once,
    )  # fmt: skip
    assert len(list(points)) == 4
    assert made


def test_methods_and_seeds_share_what_is_compiled(loaded):
    recipes = [MAGNITUDE, RANDOM, dataclasses.replace(RANDOM, seed=1)]
    points = list(sweep(loaded("gpt2"), QUESTIONS, recipes, (0.5, 0.9), **SHORT))
    assert len(points) == 9
    (work,) = {point.workload for point in points}
    assert work.compilations == work.shapes
    assert work.compile_seconds > 0
    assert 0 <= work.padding < 1


# The same model pruned by torch


@pytest.fixture
def one_torch_thread():
    """Rows are tiny, and threads of busy cores wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def torch_scores(model, directory, protocol):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    return np.array([
        reference.score(
            model, tokenizer, protocol, one.context, one.query, one.options, "query"
        ).scores
        for one in QUESTIONS
    ])  # fmt: skip


def assert_agree(scores, expected, protocol):
    """As DESIGN section 5 has it: nats, or probabilities."""
    if protocol == "cloze":
        np.testing.assert_allclose(scores, expected, atol=1e-3, rtol=1e-6)
    else:
        np.testing.assert_allclose(scores, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("variant", "prunable", "scope", "protocol"),
    [
        ("gpt2", "blocks", "matrix", "cloze"),
        ("gpt2", "linear", "global", "append"),
        ("electra-generator-projected", "linear", "matrix", "append"),
        ("electra-discriminator", "blocks", "matrix", "cloze"),
        ("t5", "blocks", "global", "cloze"),
        ("t5", "all", "matrix", "cloze"),
    ],
)
def test_scores_are_those_of_torch_models_pruned_by_l1_unstructured(
    loaded, one_torch_thread, variant, prunable, scope, protocol
):
    model = loaded(variant)
    recipe = Recipe("magnitude", scope, prunable)
    put = Presentation(protocol, "query", "none")
    dense, *points = sweep(model, QUESTIONS, [recipe], (0.5, 0.9), [put])
    for point in points:
        pruned, modules = torch_model(variant, prunable)
        weights = [(module, "weight") for module in modules]
        if scope == "global":
            method = torch_prune.L1Unstructured
            torch_prune.global_unstructured(weights, method, amount=point.sparsity)
        else:
            for weight in weights:
                torch_prune.l1_unstructured(*weight, amount=point.sparsity)
        with torch.no_grad():
            for module in modules:  # in place: T5's embedding has three names
                module.weight_orig.mul_(module.weight_mask)
        directory = model.blueprint.checkpoint.directory
        expected = torch_scores(pruned, directory, protocol)
        assert_agree(point.answers.scores, expected, protocol)
        unlike = np.abs(point.answers.scores / dense.answers.scores - 1)
        assert np.median(unlike) > 0.01  # dense would not do


def test_scores_that_are_not_finite_are_refused(loaded):
    model = loaded("gpt2")
    broken = dataclasses.replace(
        model, apply=lambda *args: model.apply(*args) * np.float32("nan")
    )
    with pytest.raises(InputError, match=r"`dtype=float32`: .* not finite"):
        next(sweep(broken, QUESTIONS, [MAGNITUDE], (0.5,), **SHORT))


@pytest.mark.parametrize("recipe", [MAGNITUDE, RANDOM])
def test_points_of_a_recipe_are_those_of_a_sweep_of_its_own(loaded, curve, recipe):
    model = loaded("electra-discriminator")
    alone = sweep(model, QUESTIONS, [recipe], (0.5, 0.9), **SHORT)
    together = [
        point
        for point in curve("electra-discriminator")
        if point.curve.recipe == recipe
    ]
    np.testing.assert_array_equal(scores_of(alone), scores_of(together))
