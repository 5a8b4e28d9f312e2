"""Stories read word by word have the tokens of the whole text, or are read whole."""

import copy
import dataclasses
import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from jaxsparse import cbt, scoring
from jaxsparse.assets import MODELS
from jaxsparse.scoring.splitting import is_plain, splits_at_spaces
from jaxsparse.types import InputError, Presentation
from jaxsparse.weights.tokenizer import load_tokenizer
from tests import asking
from tests.asking import (
    ALL_COMBINATIONS,
    COMBINATIONS,
    LATER,
    option_terms,
    question,
)

FAMILIES = ("gpt2", "electra", "t5")
every_combination = pytest.mark.parametrize(("variant", "protocol"), COMBINATIONS)


def assert_same(encoded, expected):
    assert encoded.sizes == expected.sizes
    assert encoded.dropped == expected.dropped
    assert encoded.option_tokens == expected.option_tokens
    assert option_terms(encoded) == option_terms(expected)
    for row, of_whole in zip(encoded.rows, expected.rows, strict=True):
        assert row.keys() == of_whole.keys()
        for name, values in row.items():
            assert values.dtype == of_whole[name].dtype
            assert values.tolist() == of_whole[name].tolist()


def check(questions, tokenizer, config, put):
    """How many were read word by word, all of them as `encode` reads them."""
    encoded = list(scoring.encode_all(questions, tokenizer, config, put))
    for one, asked in zip(encoded, questions, strict=True):
        assert_same(one, scoring.encode(asked, tokenizer, config, put))
    return sum(one.tokens.by_words for one in encoded)


def real_questions():
    bundled = cbt.read("bundled", "test", None).questions[::97]
    path = asking.DATA / "cbt_sample"
    if not path.exists():
        return bundled
    return (*bundled, *cbt.read(str(path), None, None).questions)


@pytest.mark.parametrize("style", ["ptb", "none"])
@every_combination
def test_bundled_tokenizers_read_word_by_word(load, variant, protocol, style):
    model = load(variant).model
    tokenizer = load_tokenizer(MODELS / f"tiny-{model.family}")
    config = dataclasses.replace(model.config, vocab=10**6, positions=450)
    some = real_questions()[:8]
    put = Presentation(protocol, "full", style)
    assert check(some, tokenizer, config, put) == len(some)


@every_combination
def test_published_tokenizers_read_word_by_word(load_real, variant, protocol):
    pair = load_real(variant)
    config = dataclasses.replace(pair.model.config, positions=380)
    some = real_questions()[-8:]
    put = Presentation(protocol)
    assert check(some, pair.tokenizer, config, put) == len(some)


PIECES = st.sampled_from([
    *("the", "fox", "Ned", "3,000", "1.5", "don't", "``", "''", "'s", "-LRB-", "..."),
    *("--", "é", "Zoë", "中文", "🦊", "ﬁsh", "½", "\u0301", "\u200b", "a\u00a0b"),
    *("\u2003", "¨", "[MASK]", "</s>", "<unk>", "[UNK]", "<|endoftext|>", "  ", "-"),
    *("<extra_id_0>", "ſ", "İ", "x\u0301", "“fox", "fox”", "\ufdfa", ",", ".", "?"),
    *("n't", "\\/", "a\tb", "", "|", "1234567", "<mask>", "<s>", "I'LL", "a\nb"),
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=7).map(" ".join)


def read(reading):
    """What is read, and why it cannot be."""
    try:
        return reading(), ""
    except scoring.Unusable as error:
        return None, str(error)


@pytest.mark.parametrize(("variant", "protocol"), ALL_COMBINATIONS)
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_any_text_has_the_tokens_of_the_whole(load, variant, protocol, data):
    model, draw = load(variant).model, data.draw
    glue = st.sampled_from(["", " ", "“", "-", "\u0301", "’s", " the ", " , "])
    query = f"{draw(TEXTS)}{draw(glue)}XXXXX{draw(glue)}{draw(TEXTS)}".strip()
    options = [f"o{draw(TEXTS)}".strip() for _ in range(3)]
    story = draw(st.lists(TEXTS, max_size=4))
    asked = question(query, options, story)
    config = dataclasses.replace(model.config, positions=draw(st.integers(12, 90)))
    put = Presentation(protocol, "full", draw(st.sampled_from(["none", "ptb"])))
    arguments = model.tokenizer, config, put
    expected, refused = read(lambda: scoring.encode(asked, *arguments))
    found, as_well = read(lambda: next(scoring.encode_all([asked], *arguments)))
    assert as_well == refused
    if not refused:
        assert_same(found, expected)


@pytest.mark.parametrize("variant", LATER)
def test_tokenizers_of_later_families_read_word_by_word(load, variant):
    """But that of Llama 2, which splits a text nowhere."""
    model = load(variant).model
    by_words = variant != "mistral"
    assert splits_at_spaces(model.tokenizer) is by_words
    some = real_questions()[:4]
    config = dataclasses.replace(model.config, positions=500)
    for protocol in scoring.PROTOCOLS:
        read = check(some, model.tokenizer, config, Presentation(protocol))
        assert read == by_words * len(some)


def changed(family, **parts):
    """A bundled tokenizer with other parts."""
    tokenizer = copy.deepcopy(load_tokenizer(MODELS / f"tiny-{family}"))
    for name, part in parts.items():
        setattr(tokenizer.backend_tokenizer, name, part)
    return tokenizer


def without_split():
    """A byte-level BPE whose vocabulary has tokens that join words."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = ["the old man said to the old woman that it was so"] * 20
    backend.train_from_iterator(text, trainer)
    assert any("Ġ" in token[1:] for token in backend.get_vocab())
    return PreTrainedTokenizerFast(tokenizer_object=backend)


P, N = pre_tokenizers, normalizers
ODD = {  # family, tokenizer, whether it reads word by word
    "digits apart": ("gpt2", lambda: changed("gpt2", pre_tokenizer=P.Sequence(
        [P.Digits(True), P.ByteLevel(add_prefix_space=False)])), True),
    "prefix spaces": ("gpt2", lambda: changed(
        "gpt2", pre_tokenizer=P.ByteLevel(add_prefix_space=True)), True),
    "BPE over spaces": ("gpt2", without_split, False),
    "Unigram over spaces": ("t5", lambda: changed(
        "t5", pre_tokenizer=P.Metaspace(split=False)), False),
    "no splitter": ("t5", lambda: changed("t5", pre_tokenizer=None), False),
    "a mark in front": ("t5", lambda: changed("t5", normalizer=N.Prepend("x")), False),
    "stripped in front": ("t5", lambda: changed("t5", normalizer=N.Strip()), False),
    "spaces behind": ("gpt2", lambda: changed("gpt2", pre_tokenizer=P.Sequence(
        [P.Split(" ", "merged_with_previous"), P.ByteLevel(use_regex=False)])), False),
    "scripts apart": ("t5", lambda: changed("t5", pre_tokenizer=P.Sequence(
        [P.UnicodeScripts(), P.Metaspace()])), False),
    "spaces made letters": ("t5", lambda: changed("t5", pre_tokenizer=P.Sequence(
        [P.ByteLevel(False, use_regex=False), P.Whitespace()])), False),
    "a space put and taken off": ("gpt2", lambda: changed(
        "gpt2", post_processor=processors.ByteLevel(add_prefix_space=True)), False),
    "Chinese apart": ("gpt2", lambda: changed(
        "gpt2", normalizer=N.BertNormalizer()), False),
    "a letter left out": ("gpt2", lambda: changed(
        "gpt2", normalizer=N.Replace("q", "")), False),
    "NFKC": ("gpt2", lambda: changed("gpt2", normalizer=N.NFKC()), True),
    "cased": ("electra", lambda: changed("electra", normalizer=N.BertNormalizer(
        lowercase=False)), True),
}  # fmt: skip


@pytest.mark.parametrize("protocol", scoring.PROTOCOLS)
@pytest.mark.parametrize("name", ODD)
def test_odd_tokenizers_are_recognised_or_read_as_a_whole(load, name, protocol):
    family, make, by_words = ODD[name]
    variant = "electra-generator" if family == "electra" else family
    tokenizer = make()
    assert splits_at_spaces(tokenizer) is by_words
    config = dataclasses.replace(load(variant).model.config, vocab=10**6)
    config = dataclasses.replace(config, positions=900)
    some = real_questions()[:4]
    read = check(some, tokenizer, config, Presentation(protocol))
    assert read == (len(some) if by_words else 0)


def test_an_added_word_is_found_in_whole_texts(load):
    """Where it stands in a question, that question is read as a whole."""
    tokenizer = changed("gpt2")
    tokenizer.add_tokens(["fox", "Ned"])
    config = dataclasses.replace(load("gpt2").model.config, vocab=10**6)
    asked = [
        question("The hen saw XXXXX .", ["a", "b"], ["It ran ."]),
        question("The fox saw XXXXX .", ["a", "b"], ["It ran ."]),
        question("The hen saw XXXXX .", ["foxes", "b"], ["It ran ."]),
        question("The hen saw XXXXX .", ["a", "b"], ["Unned foxes ran ."]),
    ]
    assert check(asked, tokenizer, config, Presentation("cloze", "full", "none")) == 1


def test_added_words_with_spaces_join_words():
    tokenizer = changed("gpt2")
    tokenizer.add_tokens(["Prince Prigio"])
    assert not splits_at_spaces(tokenizer)


@every_combination
def test_two_spaces_beside_the_blank_are_found_in_the_whole_text(
    load, variant, protocol
):
    """A tokenizer may make one mark of them, which stays at the word behind."""
    model = load(variant).model
    mark = N.Replace(tokenizers.Regex(" {2,}"), "▁")
    parts = {"normalizer": mark, "pre_tokenizer": P.WhitespaceSplit()}
    tokenizer = changed(model.family, **parts)
    assert splits_at_spaces(tokenizer)
    queries = (
        "He  XXXXX .",
        'He  "XXXXX .',
        "He XXXXX  .",
        "He XXXXX,  so",
        "He XXXXX .",
    )
    asked = [question(query, ["b", "no"]) for query in queries]
    config = dataclasses.replace(model.config, vocab=10**6)
    assert check(asked, tokenizer, config, Presentation(protocol, "full", "none")) == 1


def test_what_a_tokenizer_cannot_read_is_found_in_its_question(load):
    """Where a vocabulary has no token for what it does not know."""
    tokenizer = changed("electra")
    vocabulary = tokenizer.get_vocab()
    tokenizer.backend_tokenizer.model = models.WordPiece(vocabulary, unk_token="[NONE]")
    config = dataclasses.replace(load("electra-generator").model.config, vocab=10**6)
    asked = [question("He saw XXXXX .", ["a", "b"]), question("☃ XXXXX .", ["a", "b"])]
    read = scoring.encode_all(asked, tokenizer, config, Presentation("cloze"))
    assert next(read).options == 2
    with pytest.raises(InputError, match="the tokenizer cannot read every text"):
        next(read)


def test_plain_characters_stay_beside_a_space():
    assert all(map(is_plain, "a9,.\"'`-)“”—…éß中ﬁ"))
    assert not any(map(is_plain, " \t\u00a0\u200b\u0301¨\ufeff🦊\x00\u2028"))


@every_combination
def test_what_is_kept_of_a_question_comes_back(load, variant, protocol):
    model = load(variant).model
    some = real_questions()[:2]
    config = dataclasses.replace(model.config, vocab=10**6, positions=400)
    tokenizer = load_tokenizer(MODELS / f"tiny-{model.family}")
    reader = scoring.Reader(tokenizer, config, Presentation(protocol))
    for asked, one in zip(some, reader.all(some), strict=True):
        assert_same(reader.recall(asked, one.to_bytes()), one)
    assert json.loads(json.dumps(reader.conditions)) == reader.conditions
