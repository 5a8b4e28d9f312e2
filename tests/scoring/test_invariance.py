"""A score does not depend on its company; what is summed, what is averaged, and where
the vocabulary is met."""

import dataclasses
import functools
import math
import random

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse import scoring
from jaxsparse.scoring.batching import Terms
from tests import asking
from tests.asking import COMBINATIONS, Asked, generated, question
from tests.slices import slow

TWINS = (
    "fox",
    "the",
    "hen",
    "FOX",
    "Zumbleton",
    "fox",
    "hen",
    "jackdaws",
    "Ned",
    "fox",
)
CASES = (  # one bucket in every family, so that few shapes are compiled
    *(Asked(generated(seed), "query") for seed in (2, 5, 8, 11)),
    Asked(question("Ned , who could n't see the mill , opened XXXXX", TWINS), "query"),
)
CLOSE = {"rtol": 1e-5, "atol": 0}

SLOW = (
    *(("electra-generator", "append"), ("electra-discriminator", "cloze")),
    ("t5", "append"),
)
every_combination = pytest.mark.parametrize(
    ("variant", "protocol"), slow(COMBINATIONS, SLOW)
)


@pytest.fixture(scope="module")
def together(load):
    """(variant, protocol) -> the cases encoded, and their scores in one batch."""

    @functools.cache
    def score(variant: str, protocol: str):
        model = load(variant).model
        encoded = [case.encode(model, protocol) for case in CASES]
        return encoded, asking.option_scores(model, encoded, protocol)

    return score


@every_combination
def test_neither_the_batch_nor_its_padding_matters(load, together, variant, protocol):
    """Each question alone, in a shape that is larger than it need be."""
    encoded, scores = together(variant, protocol)
    model = load(variant).model
    for planned in scoring.plan(encoded, batch_tokens=1):
        [number] = planned.questions
        shape = dataclasses.replace(
            planned.shape,
            questions=2,
            options=planned.shape.options + 2,
            rows=planned.shape.rows + 2,
            reads=planned.shape.reads + 5,
            terms=planned.shape.terms + 3,
            lengths=tuple((name, 2 * n + 1) for name, n in planned.shape.lengths),
        )
        padded = dataclasses.replace(planned, shape=shape)
        batch = scoring.batch(encoded, padded, model.config, protocol)
        alone, nothing = asking.score_batch(model, batch)
        np.testing.assert_allclose(alone[:10], scores[number], **CLOSE)
        assert np.isneginf([*alone[10:], *nothing]).all()  # padding never wins


@every_combination
def test_the_order_of_questions_does_not_matter(load, together, variant, protocol):
    encoded, scores = together(variant, protocol)
    backwards = asking.option_scores(load(variant).model, encoded[::-1], protocol)
    np.testing.assert_allclose(backwards[::-1], scores, **CLOSE)


@every_combination
def test_options_in_any_number_and_order_keep_their_scores(
    load, together, variant, protocol
):
    _, scores = together(variant, protocol)
    model = load(variant).model
    chosen = [random.Random(n).sample(range(10), n) for n in (2, 10, 3, 5, 4)]
    encoded = []
    for case, places in zip(CASES, chosen, strict=True):
        options = tuple(case.question.options[place] for place in places)
        changed = dataclasses.replace(case.question, options=options)
        encoded.append(Asked(changed, "query").encode(model, protocol))
    found = asking.option_scores(model, encoded, protocol)
    for row, places, expected in zip(found, chosen, scores, strict=True):
        np.testing.assert_allclose(row[: len(places)], expected[places], **CLOSE)
        assert np.isneginf(row[len(places) :]).all()


@pytest.mark.parametrize(
    ("variant", "protocol"), [("gpt2", "cloze"), ("gpt2", "append"), ("t5", "cloze")]
)
def test_the_other_branches_do_not_matter(load, together, variant, protocol):
    """Here they are all the same."""
    _, scores = together(variant, protocol)
    model = load(variant).model
    alone = [
        Asked(question(CASES[0].question.query, [option] * 10), "query")
        for option in CASES[0].question.options
    ]
    encoded = [case.encode(model, protocol) for case in alone]
    found = asking.option_scores(model, encoded, protocol)
    np.testing.assert_allclose(found[:, 0], scores[0], **CLOSE)


@every_combination
def test_equal_options_tie_exactly(together, variant, protocol):
    _, scores = together(variant, protocol)
    twins = dict(zip(TWINS, scores[-1], strict=True))
    for option, score in zip(TWINS, scores[-1], strict=True):
        assert score == twins[option]
    cased = variant in ("gpt2", "t5")  # to ELECTRA, FOX is a fox
    assert (twins["fox"] == twins["FOX"]) is np.bool(not cased)
    assert len(set(twins.values())) == len(twins) - (not cased)


# Scores from given outputs, against the definitions.

OUTPUTS = np.random.default_rng(0).normal(size=(2, 3, 7)).astype(np.float32) * 3
PLACES = ([(0, 1, 4)], [(0, 0, 2), (0, 2, 6), (1, 1, 0)])  # row, slot, token of options


def scores_of(outputs, protocol, discriminates=False):
    """Row by row what is read, in a place of its own for every term."""
    rows, reads = len(outputs), 3
    slots, tokens = (np.zeros((rows, reads), np.int32) for _ in "st")
    padding = (2, len(PLACES) + 1, 4)  # of each one more than there are
    places, valid = np.zeros(padding, np.int32), np.zeros(padding, bool)
    taken = [0] * rows
    for option, terms in enumerate(PLACES):
        for at, (row, slot, token) in enumerate(terms):
            slots[row, taken[row]], tokens[row, taken[row]] = slot, token
            places[0, option, at] = row * reads + taken[row]
            valid[0, option, at] = True
            taken[row] += 1
    terms = Terms(slots, tokens, places, valid)
    batch = scoring.Batch({}, terms, protocol, discriminates)
    found = scoring.option_scores(
        lambda params, inputs: jnp.asarray(outputs), {}, batch
    )
    assert np.isneginf([found[0, -1], *found[1]]).all()  # padding never wins
    return found[0, :-1]


def probabilities(outputs, places):
    for row, slot, token in places:
        weights = [math.exp(value) for value in outputs[row, slot]]
        yield weights[token] / sum(weights)


def test_cloze_sums_log_probabilities():
    expected = [sum(map(math.log, probabilities(OUTPUTS, of))) for of in PLACES]
    np.testing.assert_allclose(scores_of(OUTPUTS, "cloze"), expected, rtol=1e-5)


def test_append_averages_probabilities():
    expected = [np.mean(list(probabilities(OUTPUTS, of))) for of in PLACES]
    np.testing.assert_allclose(scores_of(OUTPUTS, "append"), expected, rtol=1e-5)


def test_the_discriminators_probability_is_that_of_no_replacement():
    replaced = OUTPUTS[..., 0]
    original = [
        [1 - 1 / (1 + math.exp(-replaced[row, slot])) for row, slot, _ in of]
        for of in PLACES
    ]
    cloze, append = (scores_of(replaced, name, True) for name in scoring.PROTOCOLS)
    np.testing.assert_allclose(cloze, [sum(map(math.log, o)) for o in original], 1e-5)
    np.testing.assert_allclose(append, [np.mean(o) for o in original], rtol=1e-5)


def test_log_probabilities_survive_large_logits():
    assert np.isfinite(scores_of(OUTPUTS * 1e4, "cloze")).all()
    assert np.isfinite(scores_of(OUTPUTS[..., 0] * 1e4, "cloze", True)).all()


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
def test_outputs_of_padding_are_never_read(protocol):
    read = np.zeros(OUTPUTS.shape[:2], bool)
    for places in PLACES:
        for row, slot, _ in places:
            read[row, slot] = True
    poisoned = np.where(read[..., None], OUTPUTS, np.nan)
    assert np.isfinite(scores_of(poisoned, protocol)).all()


def shapes_within(jaxpr):
    for equation in jaxpr.eqns:
        yield from (variable.aval.shape for variable in equation.outvars)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from shapes_within(inner)


@pytest.mark.parametrize("variant", ["gpt2", "electra-generator", "t5"])
@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
def test_only_scored_positions_reach_the_vocabulary(load, variant, protocol):
    model = load(variant).model
    encoded = [Asked(generated(seed)).encode(model, protocol) for seed in (2, 5)]
    planned = asking.one_batch(encoded)
    batch = scoring.batch(encoded, planned, model.config, protocol)
    score = functools.partial(scoring.option_scores, model.apply)
    jaxpr = jax.make_jaxpr(score)(model.params, batch)
    rows, lengths = planned.shape.rows, dict(planned.shape.lengths)
    assert model.config.vocab not in (rows, *lengths.values())
    reaching = [
        math.prod(shape) // model.config.vocab
        for shape in shapes_within(jaxpr.jaxpr)
        if model.config.vocab in shape
    ]
    assert max(reaching) == rows * lengths["scored"]
    assert 3 * lengths["scored"] < lengths.get("encoder_tokens", lengths["tokens"])
