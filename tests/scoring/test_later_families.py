"""What families after the first three ask of reading: what stands in front of a row,
the space that goes with a mask, the limit, the tokens of words."""

import dataclasses

import pytest

from jaxsparse import scoring
from jaxsparse.types import InputError, Presentation
from tests import asking
from tests.asking import LATER, Asked, generated, question


@pytest.mark.parametrize("variant", LATER)
@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
def test_many_questions_have_the_tokens_of_one_by_one(load, variant, protocol):
    model = load(variant).model
    config = dataclasses.replace(model.config, positions=130)
    asked = [generated(seed) for seed in range(6)]
    arguments = model.tokenizer, config, Presentation(protocol, "full", "ptb")
    for one, found in zip(asked, scoring.encode_all(asked, *arguments), strict=True):
        expected = scoring.encode(one, *arguments)
        assert found.dropped == expected.dropped
        assert asking.option_terms(found) == asking.option_terms(expected)
        assert [r["tokens"].tolist() for r in found.rows] == [
            r["tokens"].tolist() for r in expected.rows
        ]


def first_tokens(pair, asked, context="query"):
    encoded = Asked(asked, context).encode(pair.model, "cloze")
    row = encoded.rows[0]["tokens"].tolist()
    return pair.tokenizer.convert_ids_to_tokens(row)


@pytest.mark.parametrize(
    ("variant", "first"),
    [("llama", "<s>"), ("mistral", "<s>"), ("opt", "</s>"), ("qwen3", "<|endoftext|>")],
)
def test_one_token_stands_in_front_of_a_row_that_needs_it(load, variant, first):
    """Put there by the tokenizer, or where it puts none by us: its bos_token, or as of
    Qwen's, which has none, its eos_token."""
    tokens = first_tokens(load(variant), generated(0))  # the blank comes first
    assert tokens[0] == first
    assert first not in tokens[1:]


def test_a_row_that_needs_no_first_token_gets_none(load):
    assert first_tokens(load("qwen3"), generated(1))[0] != "<|endoftext|>"
    assert first_tokens(load("llama"), generated(1))[0] == "<s>"  # its tokenizer's


def test_a_tokenizer_without_any_first_token_is_refused(load):
    model = load("qwen3").model
    tokenizer = type(model.tokenizer)(
        tokenizer_object=model.tokenizer.backend_tokenizer
    )
    with pytest.raises(InputError, match="no bos_token or eos_token"):
        scoring.check_tokenizer(tokenizer, model.config)
    puts_one = load("llama").model
    tokenizer = type(model.tokenizer)(
        tokenizer_object=puts_one.tokenizer.backend_tokenizer
    )
    scoring.check_tokenizer(tokenizer, puts_one.config)


@pytest.mark.parametrize(
    ("query", "spaced"),
    [("He saw XXXXX .", True), ("``XXXXX he said .", False), ("XXXXX ran .", False)],
)
def test_the_space_before_a_blank_goes_with_robertas_mask(load, query, spaced):
    pair = load("roberta")
    options = ("fox", "hen")
    encoded = Asked(question(query, options), "query").encode(pair.model, "cloze")
    read = pair.tokenizer.convert_ids_to_tokens
    for option, terms in zip(options, asking.option_terms(encoded), strict=True):
        pieces = pair.tokenizer.tokenize(f" {option}" if spaced else option)
        assert read([token for *_, token in terms]) == pieces
    tokens = read(encoded.rows[0]["tokens"].tolist())
    before = tokens[: tokens.index("<mask>")]
    assert before == ["<s>", *pair.tokenizer.tokenize(query.split("XXXXX")[0].rstrip())]


def test_rows_have_4096_tokens_at_most(load):
    config = dataclasses.replace(load("llama").model.config, positions=131072)
    assert scoring.reading.longest_row(config, Presentation()) == 4096
    longer = Presentation(context_tokens=8192)
    assert scoring.reading.longest_row(config, longer) == 8192
    own = load("llama").model.config
    for presentation in Presentation(), longer:
        assert scoring.reading.longest_row(own, presentation) == 512


@pytest.mark.parametrize("variant", ["llama", "roberta", "t5-gated"])
def test_a_row_of_fewer_tokens_loses_what_it_would_in_a_smaller_model(load, variant):
    model = load(variant).model
    smaller = dataclasses.replace(model.config, positions=100)
    for one in map(generated, range(4)):
        given = Presentation(context_tokens=100)
        found = scoring.encode(one, model.tokenizer, model.config, given)
        expected = scoring.encode(one, model.tokenizer, smaller, Presentation())
        assert found.dropped == expected.dropped > 0
        assert [r["tokens"].tolist() for r in found.rows] == [
            r["tokens"].tolist() for r in expected.rows
        ]


def test_no_limit_is_as_before_there_was_one():
    """Keys of journals hold the presentation."""
    assert Presentation().identity == {
        "protocol": "cloze", "context": "full", "detokenize": "ptb",
    }  # fmt: skip
    assert Presentation(context_tokens=9).identity["context_tokens"] == 9
    for number in -1, 2**31:
        with pytest.raises(InputError, match=f"`context_tokens={number}`: from 0 to"):
            Presentation(context_tokens=number)


def test_robertas_limit_leaves_two_places_out(load):
    pair = load("roberta")
    assert pair.torch.config.max_position_embeddings == 514
    assert pair.model.config.positions == 512
