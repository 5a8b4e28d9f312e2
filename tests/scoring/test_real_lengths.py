"""Plans for questions as long as real ones are, as sweeps make them."""

import functools

import pytest

from jaxsparse import cbt, scoring
from jaxsparse.model import open_model
from jaxsparse.scoring.grouping import MOST_SHAPES
from jaxsparse.types import Presentation


@functools.cache
def encoded(name, protocol):
    model = open_model(name)
    questions = cbt.read("bundled", None, None).questions
    some = cbt.select(questions, 100)
    return model, [
        scoring.encode(one, model.tokenizer, model.config, Presentation(protocol))
        for one in some
    ]


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-electra", "tiny-t5"])
@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
@pytest.mark.parametrize("tokens", [2048, 32768])
def test_less_than_a_fifth_is_padding(name, protocol, tokens):
    model, questions = encoded(name, protocol)
    operations = model.family.operations(model.config)
    for count in (24, 48, 100):
        some = questions[:: len(questions) // count][:count]
        batches = scoring.plan(some, tokens, operations)
        assert scoring.padding(some, batches) < 0.2, count
        assert len({batch.shape for batch in batches}) <= MOST_SHAPES
