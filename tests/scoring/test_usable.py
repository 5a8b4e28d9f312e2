"""Questions that a model cannot answer are found before anything is scored."""

import copy
import dataclasses
import functools

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse import scoring
from jaxsparse.types import InputError, Presentation
from jaxsparse.weights.tokenizer import load_tokenizer
from tests import asking, tiny
from tests.asking import COMBINATIONS, generated, question

every_combination = pytest.mark.parametrize(("variant", "protocol"), COMBINATIONS)
WORDS = st.sampled_from(
    [
        "the",
        "Zumbleton",
        "ran",
        "n't",
        "''",
        ",",
        "é",
        "㏘",
        "\ufdfa",
        "🦊",
        "\u200b",
        "a",
    ]
)
QUERIES = st.lists(WORDS, max_size=30).map(" ".join)
OPTIONS = st.sampled_from(
    ["fox", "weathercock", "é", "...", "\u200b", "🦊", "\x00", "㏘"]
)
LASTS = st.sampled_from(["Ned ran .", "he said ``", "he said `` `", "é"])


def refusal(check):
    try:
        check()
    except scoring.Unusable as error:
        return str(error)
    return None


def refusals(model, asked, limit, protocol, detokenize):
    """What check_usable says, and what encode says with no context."""
    arguments = (
        asked,
        model.tokenizer,
        dataclasses.replace(model.config, positions=limit),
    )
    put = Presentation(protocol, "full", detokenize)
    checked = refusal(lambda: scoring.check_usable(*arguments, put))
    put = Presentation(protocol, "query", detokenize)
    return checked, refusal(lambda: scoring.encode(*arguments, put))


@st.composite
def questions(draw):
    query = f"{draw(QUERIES)} XXXXX {draw(QUERIES)}".strip()
    options = ["fox"] * 9 + [draw(OPTIONS)]
    return query, options, ["Ned ran ."] * 19 + [draw(LASTS)]


@every_combination
@given(
    asked=questions(),
    limit=st.integers(3, 150),
    style=st.sampled_from(["none", "ptb"]),
)
@settings(max_examples=40)
def test_it_is_refused_where_encode_refuses(
    load, variant, protocol, asked, limit, style
):
    checked, encoded = refusals(
        load(variant).model, question(*asked), limit, protocol, style
    )
    assert checked == encoded


@every_combination
def test_the_limit_itself_is_usable(load, variant, protocol):
    model, asked = load(variant).model, generated(1)
    refused = [
        refusals(model, asked, limit, protocol, "none") for limit in range(4, 90)
    ]
    assert all(checked == encoded for checked, encoded in refused)
    first = [checked for checked, _ in refused].index(None)
    assert 0 < first < 80
    assert not any(checked for checked, _ in refused[first:])
    assert f"at most {3 + first}" in refused[first - 1][0]


@every_combination
@pytest.mark.parametrize("text", ["~^" * 12, "qz" * 12, "q z " * 6, "``"])
def test_text_with_a_token_for_every_character(load, variant, protocol, text):
    model = load(variant).model
    asked = question(f"XXXXX {text}", ["fox"] * 9 + ["q~z^" * 3])
    for limit in range(20, 70):
        checked, encoded = refusals(model, asked, limit, protocol, "none")
        assert checked == encoded


@every_combination
def test_ordinary_questions_are_usable_without_a_look(load, variant, protocol):
    asked = question("Ned saw the XXXXX .", ["fox"] * 9 + ["will-o'-the-wisp"])
    scoring.check_usable(
        asked, None, load(variant).model.config, Presentation(protocol)
    )


@pytest.mark.parametrize("style", ["none", "ptb"])
@pytest.mark.parametrize("option", ["\u200b", "\x00"])
@pytest.mark.parametrize(
    ("variant", "protocol"), [case for case in COMBINATIONS if "electra" in case[0]]
)
def test_an_option_without_tokens_is_refused(load, variant, protocol, option, style):
    model = load(variant).model
    asked = question("Ned saw the XXXXX .", ["fox"] * 9 + [option])
    checked, encoded = refusals(model, asked, 512, protocol, style)
    assert checked == encoded == f"option {option!r} has no tokens"


@pytest.mark.parametrize("style", ["none", "ptb"])
def test_text_that_grows_is_measured(load_real, style):
    """T5's tokenizer reads one ㏘ as p.m., four tokens from three bytes."""
    model = load_real("t5").model
    asked = question("㏘" * 120 + " XXXXX", ["fox"] * 10)
    checked, encoded = refusals(model, asked, 450, "cloze", style)
    assert checked == encoded
    assert "at most 450" in encoded


def test_tokens_that_the_model_does_not_have_are_named(load):
    pair = load("gpt2")
    config = dataclasses.replace(pair.model.config, vocab=400)
    with pytest.raises(InputError, match="vocabulary has 400"):
        scoring.encode(generated(1), pair.tokenizer, config, Presentation())


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """family -> its tokenizer with a word that the model has no embedding of."""

    @functools.cache
    def make(family):
        directory = tmp_path_factory.mktemp(family)
        tiny.tokenizer(family, directory)
        path = directory / "tokenizer.json"
        made = tokenizers.Tokenizer.from_file(str(path))
        rows = tiny.vocab_size(family)  # T5's has some that no token uses
        unused = [f"<unused{n}>" for n in range(made.get_vocab_size(), rows)]
        made.add_tokens([*unused, "dragonfly"])
        made.save(str(path))
        return load_tokenizer(directory)

    return make


@every_combination
@pytest.mark.parametrize("place", ["story", "query", "option"])
def test_a_word_that_was_added_is_found_wherever_it_stands(
    load, taught, variant, protocol, place
):
    config = load(variant).model.config
    tokenizer = taught(tiny.VARIANTS[variant].family)
    scoring.check_tokenizer(tokenizer, config)
    fine = generated(1)
    changed = {
        "story": {"context": ("A dragonfly sat on a reed .", *fine.context[1:])},
        "query": {"query": f"{fine.query} The dragonfly left ."},
        "option": {"options": (*fine.options[:-1], "dragonfly")},
    }[place]
    asked = [fine, dataclasses.replace(fine, id="CN-test-7", **changed)]
    put = [Presentation(protocol)]
    scoring.check_tokens(asked[:1], tokenizer, config, put)
    with pytest.raises(InputError, match="CN-test-7 holds 'dragonfly'"):
        scoring.check_tokens(asked, tokenizer, config, put)
    scoring.check_tokens(asked, load(variant).tokenizer, config, put)
    if place == "story":  # which is not read
        scoring.check_tokens(
            asked, tokenizer, config, [Presentation(protocol, "query")]
        )


@pytest.mark.parametrize("variant", asking.FAMILIES[1:])
def test_a_tokenizer_must_put_special_tokens_around_a_text(load, variant):
    model = load(variant).model
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.backend_tokenizer.post_processor = (
        tokenizers.processors.TemplateProcessing(single="$A", special_tokens=[])
    )
    with pytest.raises(InputError, match=r"does not put .* around a text"):
        scoring.check_tokenizer(tokenizer, model.config)


@pytest.mark.parametrize("variant", asking.FAMILIES)
def test_a_tokenizer_must_have_the_special_tokens(load, variant):
    config = load(variant).model.config
    scoring.check_tokenizer(load(variant).tokenizer, config)
    other = load("t5" if variant == "gpt2" else "gpt2").tokenizer
    with pytest.raises(InputError, match="the tokenizer has no"):
        scoring.check_tokenizer(other, config)
