"""Bundled questions at one length: the same words, twenty sentences, the same query."""

import pytest

from experiments.benchmark import questions
from jaxsparse import cbt
from jaxsparse.assets import MODELS
from jaxsparse.types import InputError
from jaxsparse.weights.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(MODELS / "tiny-t5")


@pytest.mark.parametrize("tokens", [100, 500])
def test_questions_are_as_long_as_asked(tokenizer, tokens):
    found = questions.bundled(tokenizer, tokens, 9, seed=1)
    classes = sorted(one.word_class for one in found)
    assert classes == ["CN"] * 3 + ["NE"] * 2 + ["P"] * 2 + ["V"] * 2
    originals = {one.id: one for one in cbt.read("bundled", "test", None).questions}
    for one in found:
        assert 0.95 * tokens <= questions.length(one, tokenizer) <= tokens
        assert len(one.context) == 20
        assert all(one.context)
        original = originals[one.id]
        assert (one.query, one.options) == (original.query, original.options)
        longer, shorter = sorted(
            (" ".join(one.context), " ".join(original.context)), key=len, reverse=True
        )
        assert longer.endswith(shorter)


def test_the_seed_draws_the_questions(tokenizer):
    draws = [questions.bundled(tokenizer, 400, 4, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_more_than_there_are_is_one_line(tokenizer):
    with pytest.raises(InputError, match="ask for fewer"):
        questions.bundled(tokenizer, 500, 5000, seed=0)


def test_a_story_is_split_between_words_only():
    words = tuple("a b , c " * 8 for _ in range(3))
    parts = questions.twenty(words)
    assert parts is not None
    assert len(parts) == 20
    assert " ".join(parts).split() == " ".join(words).split()
    assert not any(part.startswith(",") or part.endswith(",") for part in parts[:-1])
    assert questions.twenty(("too few words",)) is None
