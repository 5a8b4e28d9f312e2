"""What training lowers, held to numpy, scipy and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxsparse import scoring
from jaxsparse.exam import Exam
from jaxsparse.finetuning import lessons as lessons_module
from jaxsparse.finetuning.lessons import NO_ANSWER, QuestionLessons, StoryLessons
from jaxsparse.finetuning.losses import Losses, choice_losses, divergences, square_head
from jaxsparse.models.apply import (
    LayerStates,
    make_apply,
    make_apply_with_states,
    make_text_loss,
)
from jaxsparse.readings import Readings
from jaxsparse.running_text import loss_sums
from jaxsparse.weights import rules
from tests import asking, reference, tiny
from tests.finetuning.school import QUERY, TRAIN
from tests.oracle import torch

QUESTIONS = TRAIN[:5]  # one of them has two options
SMALL, LARGE = 1, 1 << 20  # tokens of a part: a question in each, or all in one


def parts_of(model, part_tokens=LARGE):
    """Every question once."""
    reader = scoring.Reader(model.tokenizer, model.config, QUERY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons_module, "LEAST_SHARE", 1.0)  # one shape for all
        lessons = QuestionLessons(
            Readings().read(reader, QUESTIONS), QUESTIONS, model.config,
            QUERY.protocol, len(QUESTIONS), part_tokens,
        )  # fmt: skip
    assert sorted(lessons.members(0, 0)[1]) == list(range(len(QUESTIONS)))
    return lessons.parts(0, 0)


def losses_of(model, **distilled):
    made = model.blueprint.family, model.config, "float32", model.form
    text_loss = None
    if model.config.reading != "replaced":
        text_loss = make_text_loss(*made)
    return Losses(make_apply(*made), model.form, text_loss, **distilled)


def with_states(model):
    return make_apply_with_states(
        model.blueprint.family, model.config, "float32", model.form
    )


def summed(losses, model, parts, dense=None):
    """Loss, and right answers, of a step."""
    of_part = jax.jit(losses.__call__)
    found = [of_part(model.params, dense or {}, part) for part in parts]
    loss, right = zip(*found, strict=True)
    return float(sum(loss)), int(sum(right))


@pytest.mark.parametrize("variant", [*asking.FAMILIES, *asking.LATER])
def test_choice_is_the_cross_entropy_of_the_scores_that_evaluate(variant, loaded):
    """And of those that torch gives row by row; however the questions are parted."""
    model = loaded(variant)
    exam = Exam.of(
        QUESTIONS, model.tokenizer, model.blueprint.family, model.config, model.apply,
        QUERY,
    )  # fmt: skip
    answers = exam.answers(model.params)
    losses = losses_of(model)
    found = [summed(losses, model, parts_of(model, size)) for size in (SMALL, LARGE)]
    assert len(parts_of(model, SMALL)) > len(parts_of(model, LARGE)) == 1
    for loss, right in found:
        assert loss == pytest.approx(cross_entropy(answers.scores), rel=1e-5)
        assert right == answers.correct.sum()
    pair = asking.Pair(tiny.torch_model(variant), model)
    put = [asking.Asked(q, "query", detokenize="ptb") for q in QUESTIONS]
    scores = [one.reference(pair, "cloze").scores for one in put]
    assert found[1][0] == pytest.approx(cross_entropy(scores), abs=1e-3)


def cross_entropy(scores):
    return -np.mean(
        [
            scipy.special.log_softmax(row[: len(question.options)])[
                question.options.index(question.answer)
            ]
            for row, question in zip(scores, QUESTIONS, strict=True)
        ]
    )


def test_its_gradient_is_torchs(loaded):
    model, oracle = loaded("gpt2"), tiny.torch_model("gpt2")
    (part,) = parts_of(model)
    losses = losses_of(model)
    gradient = jax.jit(jax.grad(lambda leaves: losses(leaves, {}, part)[0]))
    total = 0
    for question in QUESTIONS:
        told = asking.Asked(question, "query", detokenize="ptb").for_reference()
        _, rows = reference.shortened(oracle, model.tokenizer, "cloze", **told)
        _, score = reference._ways(oracle, "cloze")
        scores = torch.stack([score(oracle, model.tokenizer, row) for row in rows])
        right = question.options.index(question.answer)
        total = total - scores.log_softmax(-1)[right] / len(QUESTIONS)
    total.backward()
    leaves = {path: np.asarray(g) for path, g in gradient(model.params).items()}
    got = rules.to_hf(model.blueprint.plan.rules, leaves)
    theirs = dict(oracle.named_parameters())
    largest = max(parameter.grad.abs().max().item() for parameter in theirs.values())
    for name, parameter in theirs.items():
        expected = parameter.grad.numpy()
        scale = max(np.abs(expected).max(), 1e-2 * largest)  # a key's bias has none
        np.testing.assert_allclose(
            got[name]() / scale, expected / scale, rtol=0, atol=2e-5, err_msg=name
        )


def test_questions_and_options_that_fill_up_have_neither_loss_nor_gradient():
    scores = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    padded = np.full((5, 6), -np.inf, np.float32)
    padded[:3, :4] = scores
    answers = np.array([2, 0, 3], np.int32)
    more = np.array([2, 0, 3, NO_ANSWER, NO_ANSWER], np.int32)

    def both(scores, answers):
        def loss(scores):
            return choice_losses(scores, jnp.asarray(answers)).sum()

        return jax.value_and_grad(loss)(jnp.asarray(scores))

    loss, slope = both(scores, answers)
    again, wider = both(padded, more)
    np.testing.assert_allclose(again, loss, rtol=1e-6)
    np.testing.assert_allclose(wider[:3, :4], slope, atol=1e-7)
    assert not wider[3:].any()
    assert not wider[:, 4:].any()


def test_the_divergence_of_options_is_scipys_and_nothing_against_oneself():
    rng = np.random.default_rng(0)
    told, scores = 3 * rng.normal(size=(2, 4, 5)).astype(np.float32)
    for each in told, scores:
        each[1, 3:] = -np.inf  # two options fewer
        each[3] = -np.inf  # fills up
    asked = jnp.array([True, True, True, False])
    found = divergences(told, scores, asked)
    p, q = (scipy.special.softmax(each[:3], axis=-1) for each in (told, scores))
    expected = scipy.stats.entropy(p, q, axis=-1)
    assert expected.min() > 0.01
    np.testing.assert_allclose(found, [*expected, 0], rtol=1e-5)
    of_oneself = jax.value_and_grad(lambda s: divergences(told, s, asked).sum())
    loss, slope = of_oneself(jnp.asarray(told))
    assert loss == 0
    np.testing.assert_allclose(slope, np.zeros((4, 5)), atol=1e-7)


def drawn_states(rng, layers, rows, tokens, real):
    drawn = rng.normal(size=(layers, rows, tokens, 6)).astype(np.float32)
    return LayerStates(jnp.asarray(drawn), jnp.asarray(real))


def test_square_head_is_a_loop_over_layers_and_real_tokens():
    rng = np.random.default_rng(0)
    real = rng.random((3, 5)) < 0.6
    real[1] = False  # a row that fills up
    dense = {name: drawn_states(rng, 2, 3, 5, real) for name in ("encoder", "decoder")}
    ours = {name: drawn_states(rng, 2, 3, 5, real) for name in dense}
    expected = np.zeros(3)
    for name, of_dense in dense.items():
        for h_t, h_s in zip(of_dense.states, ours[name].states, strict=True):
            for row in 0, 2:
                of_t, of_s = (np.asarray(h)[row][real[row]] for h in (h_t, h_s))
                expected[row] += np.mean((of_s - of_t) ** 2) / np.mean(of_t**2)
    np.testing.assert_allclose(square_head(ours, dense), expected, rtol=1e-5)
    assert not square_head(dense, dense).any()
    padded = {
        name: LayerStates(
            jnp.where(real[None, :, :, None], of.states, 99.0), jnp.asarray(real)
        )
        for name, of in ours.items()
    }
    again = square_head(padded, dense)
    np.testing.assert_array_equal(again, square_head(ours, dense))


@pytest.mark.parametrize("variant", ["gpt2", "electra-discriminator", "t5"])
def test_told_by_oneself_nothing_is_added(variant, loaded):
    model = loaded(variant)
    parts = parts_of(model, 600)
    plain, right = summed(losses_of(model), model, parts)
    for told in (
        {"dense_apply": model.apply},
        {"states": with_states(model), "dense_states": with_states(model)},
    ):
        found = summed(losses_of(model, **told), model, parts, model.params)
        assert found == (pytest.approx(plain, rel=1e-5), right)


def test_told_by_another_the_divergence_or_the_distance_is_added(loaded):
    model = loaded("gpt2")
    other = {path: leaf * 1.1 for path, leaf in model.params.items()}
    (part,) = parts_of(model)
    loss, _ = summed(losses_of(model), model, [part])
    of = jax.jit(scoring.option_scores, static_argnums=0)
    scores, told = (of(model.apply, p, part.batch) for p in (model.params, other))
    found, _ = summed(losses_of(model, dense_apply=model.apply), model, [part], other)
    asked = jnp.asarray(part.answers != NO_ANSWER)
    added = divergences(jnp.asarray(told), jnp.asarray(scores), asked)
    assert found - loss == pytest.approx(float(added.sum()) / 5, rel=1e-4)
    apply = with_states(model)
    found, _ = summed(
        losses_of(model, states=apply, dense_states=apply), model, [part], other
    )
    run = jax.jit(apply)
    states = [run(leaves, part.batch.inputs)[1] for leaves in (model.params, other)]
    away, real = square_head(*states), part.batch.inputs.attended.any(axis=1).sum()
    assert found - loss == pytest.approx(float(away.sum()) / real, rel=1e-4)


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
@pytest.mark.parametrize("text", [False, True])
def test_a_distance_is_the_same_however_a_step_is_parted(variant, text, loaded):
    """With rows that fill parts up: five windows in parts of two."""
    model = loaded(variant)
    other = {path: leaf * 1.1 for path, leaf in model.params.items()}
    told = {"states": with_states(model), "dense_states": with_states(model)}
    losses = losses_of(model, **told)
    story = " ".join(sentence for q in TRAIN for sentence in q.context)
    found, numbers = [], []
    for size in (48 if text else SMALL), LARGE:
        parts = parts_of(model, size)
        if text:
            lessons = StoryLessons([story], model.tokenizer, model.config, 5, 24, size)
            parts = lessons.parts(0, 0)
        numbers.append(len(parts))
        found.append(summed(losses, model, parts, other)[0])
    assert numbers[0] > numbers[1] == 1
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    plain = losses_of(model)
    assert found[0] - summed(plain, model, parts)[0] > 1e-3


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
def test_lm_is_the_mean_over_the_targets_of_a_step(variant, loaded):
    """However its windows are parted."""
    model = loaded(variant)
    text = " ".join(sentence for q in TRAIN for sentence in q.context)
    found = []
    for part_tokens in 1, 1 << 20:
        lessons = StoryLessons(
            [text], model.tokenizer, model.config, 3, 24, part_tokens
        )
        parts = lessons.parts(0, 0)
        assert len(parts) == (3 if part_tokens == 1 else 1)
        found.append(summed(losses_of(model), model, parts)[0])
    (part,) = parts
    blueprint = model.blueprint
    apply = make_apply(blueprint.family, model.config, "float32", model.form)
    total, targets = jax.jit(loss_sums, static_argnums=0)(
        apply, model.params, part.examples
    )
    assert targets == part.examples.valid.sum() > 3
    assert found == [pytest.approx(float(total / targets), rel=1e-5)] * 2
