"""What is read: contexts, the text around the blank, and shortening."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from jaxsparse import scoring
from jaxsparse.scoring.passage import Passage
from jaxsparse.scoring.placing import shorten
from jaxsparse.scoring.tokens import refuse_empty, token_ids, tokenize
from jaxsparse.types import InputError, Presentation, Unusable
from tests import asking, reference
from tests.asking import COMBINATIONS, Asked, question

property_test = settings(deadline=None, max_examples=60)
STORY = ("One day .", "`` Hush ! ''", "Ned ran .")
ASKED = question("Then XXXXX 's hat fell .", tuple("abcdefghij"), STORY)
PASSAGE = Passage(STORY, ASKED.query, ASKED.options)


@pytest.mark.parametrize(
    ("context", "sentences"), [("full", STORY), ("last", STORY[-1:]), ("query", ())]
)
def test_a_context_is_the_story_its_last_sentence_or_nothing(context, sentences):
    passage = Passage.of(ASKED, Presentation("cloze", context, "none"))
    assert passage == Passage(sentences, ASKED.query, ASKED.options)


def test_sentences_are_stripped_and_joined_by_one_space():
    spaced = question(ASKED.query, ASKED.options, [f"  {s}\n" for s in STORY])
    passage = Passage.of(spaced, Presentation(detokenize="none"))
    before, after = passage.around_blank(0)
    assert before == "One day . `` Hush ! '' Ned ran . Then "
    assert after == " 's hat fell ."
    assert passage.text(0) == f"{before}XXXXX{after}"


def test_dropped_sentences_are_the_first():
    assert PASSAGE.around_blank(2)[0] == "Ned ran . Then "
    assert PASSAGE.text(1) == "`` Hush ! '' Ned ran . Then XXXXX 's hat fell ."
    assert PASSAGE.text(3) == ASKED.query


def test_detokenized_text_has_its_blank_spaced_as_a_word():
    before, after = Passage.of(ASKED, Presentation()).around_blank(0)
    assert (before, after) == ('One day. "Hush!" Ned ran. Then ', "'s hat fell.")


# Rows of any lengths: shorter text need not have fewer tokens.
LENGTHS = st.integers(1, 4).flatmap(
    lambda sentences: st.lists(
        st.lists(st.integers(0, 9), min_size=10, max_size=10),
        min_size=sentences + 1,
        max_size=sentences + 1,
    )
)


@given(LENGTHS, st.integers(0, 9), st.integers(0, 9), st.booleans())
@property_test
def test_shortening_stops_where_the_naive_loop_does(lengths, limit, probed, probing):
    passage = Passage(("a",) * (len(lengths) - 1), "XXXXX", ASKED.options)
    fitting = [dropped for dropped, row in enumerate(lengths) if max(row) <= limit]

    def found():
        return shorten(
            passage,
            limit,
            rows=lambda dropped: lengths[dropped],
            longest=max,
            probe=(lambda dropped: [lengths[dropped][probed]]) if probing else None,
        )

    if fitting:
        assert found() == (fitting[0], lengths[fitting[0]])
    else:
        with pytest.raises(Unusable, match=f"of at most {limit}"):
            found()


def test_a_probe_that_is_too_long_saves_the_other_rows():
    looked_at = []

    def rows(dropped):
        looked_at.append(dropped)
        return [9 - dropped]

    shorten(PASSAGE, 7, rows, max, probe=lambda dropped: [9 - dropped])
    assert looked_at == [2]


WORDS = st.text("abx .,'-\u0301é\u00a0\u200b中🦊", max_size=12) | st.sampled_from(
    ["", "<|endoftext|>", "[SEP]", "</s>", "------------", "the mill", "Zoë"]
)


@pytest.mark.parametrize(("variant", "protocol"), COMBINATIONS)
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_any_text_is_shortened_as_the_reference_does(load, variant, protocol, data):
    pair = load(variant)
    draw = data.draw
    context = draw(st.lists(WORDS, min_size=1, max_size=6))
    query = f"{draw(WORDS)}XXXXX{draw(WORDS)}".strip()
    options = [f"o{draw(WORDS)}".strip() for _ in range(10)]
    asked = Asked(question(query, options, context), "full", draw(st.integers(4, 60)))
    arguments = asked.for_reference()
    try:
        expected, rows = reference.shortened(
            pair.torch, pair.tokenizer, protocol, **arguments
        )
    except ValueError:
        with pytest.raises(Unusable):
            asked.encode(pair.model, protocol)
    else:
        encoded = asked.encode(pair.model, protocol)
        assert encoded.dropped == expected
        assert list(encoded.option_tokens) == [row.own for row in rows]


@pytest.mark.parametrize("variant", asking.FAMILIES)
def test_tokens_know_the_characters_they_cover(load, variant):
    text = "Zoë saw the hen"
    [row] = tokenize(load(variant).tokenizer, [text])
    assert len(row) == len(row.ids) == len(row.starts) == len(row.ends)
    covered = "".join(
        text[start:end] for start, end in zip(row.starts, row.ends, strict=True)
    )
    assert covered.replace(" ", "") == text.replace(" ", "")


def test_an_option_without_tokens_is_named():
    refuse_empty([[1], [2]], ["fox", "hen"])
    with pytest.raises(scoring.Unusable, match=r"option '\\u200b' has no tokens"):
        refuse_empty([[1], []], ["fox", "\u200b"])


def test_a_text_that_a_tokenizer_has_no_token_for_is_bad_input():
    """Unigrams need no unknown token; then some texts cannot be read."""
    words = tokenizers.models.Unigram([("a", -1.0)], None)
    backend = tokenizers.Tokenizer(words)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert token_ids(tokenizer, ["aa"]) == [[0, 0]]
    for read in token_ids, tokenize:
        with pytest.raises(InputError, match="the tokenizer cannot read every text"):
            read(tokenizer, ["ab"])
