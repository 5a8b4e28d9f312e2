"""The real sample questions under the real tokenizers, against the naive reference."""

import numpy as np
import pytest

from jaxsparse import cbt, scoring
from jaxsparse.types import Presentation
from tests import asking, reference
from tests.asking import COMBINATIONS, Asked

every_combination = pytest.mark.parametrize(("variant", "protocol"), COMBINATIONS)


@pytest.fixture(scope="module")
def questions():
    """Two of each word class."""
    path = asking.DATA / "cbt_sample"
    if not path.exists():
        pytest.skip("the sample questions are not here")
    return cbt.read(str(path), "test", None).questions


def check(pair, cases, protocol):
    encoded = [case.encode(pair.model, protocol) for case in cases]
    scores = asking.option_scores(pair.model, encoded, protocol, batch_tokens=8192)
    for case, one, found in zip(cases, encoded, scores, strict=True):
        expected = case.reference(pair, protocol)
        assert one.dropped == expected.dropped_sentences
        assert list(one.option_tokens) == expected.option_tokens
        error = np.abs(found - expected.scores)
        assert (error <= asking.tolerance(protocol, np.array(expected.scores))).all()


@every_combination
def test_sample_questions_score_as_the_naive_way_does(
    load_real, questions, variant, protocol
):
    """As they stand and detokenized; the first of them exceeds 512 tokens."""
    cases = [Asked(questions[0]), Asked(questions[3], detokenize="ptb")]
    check(load_real(variant), cases, protocol)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 300])
@pytest.mark.parametrize("style", cbt.STYLES)
@every_combination
def test_all_of_them(load_real, questions, variant, protocol, style, limit):
    cases = [Asked(one, "full", limit, style) for one in questions]
    check(load_real(variant), cases, protocol)


@every_combination
def test_stories_are_shortened_as_the_naive_way_does(
    load_real, questions, variant, protocol
):
    pair = load_real(variant)
    dropped = []
    for number, one in enumerate(questions):
        style = ("none", "ptb")[number % 2]
        for limit in (None, 350 + 20 * number):
            case = Asked(one, "full", limit, style)
            expected, rows = reference.shortened(
                pair.torch, pair.tokenizer, protocol, **case.for_reference()
            )
            encoded = case.encode(pair.model, protocol)
            assert encoded.dropped == expected
            assert list(encoded.option_tokens) == [row.own for row in rows]
            dropped.append(expected)
    assert any(dropped[0::2]) is (variant != "gpt2")  # 1024 tokens are enough
    assert len(set(dropped[1::2])) > 3


@every_combination
def test_real_questions_are_usable(load_real, questions, variant, protocol):
    model = load_real(variant).model
    for one in questions:
        put = Presentation(protocol)
        scoring.check_usable(one, model.tokenizer, model.config, put)
