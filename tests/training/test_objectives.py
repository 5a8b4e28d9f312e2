"""What is asked of a model: every position checked against the window it came from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from jaxsparse.pretraining import vocabulary
from jaxsparse.training.corpus import Corpus
from jaxsparse.training.objectives import (
    CORRUPTED,
    MASKED,
    OBJECTIVES,
    SPAN_WORDS,
    Vocabulary,
)
from tests.pretraining import little

LENGTH = 60
READINGS = {"gpt2": "causal", "electra": "masked", "t5": "seq2seq"}
CORPORA = {
    family: Corpus.of(little.TEXTS, little.tokenizer(family), None).tokens
    for family in little.MODELS
}
begins = st.lists(st.integers(0, 3000), min_size=1, max_size=4)
seeds = st.integers(0, 2**32 - 1)


def examples(family, begins, seed=0, length=LENGTH):
    """The windows that begin so, and what the family's objective makes of them."""
    windows = np.stack([CORPORA[family][begin : begin + length] for begin in begins])
    return windows, make(family, windows, np.random.default_rng(seed))


def make(family, windows, generator):
    vocabulary = Vocabulary.of(little.tokenizer(family))
    return OBJECTIVES[READINGS[family]].examples(windows, vocabulary, generator)


def strings(family, ids):
    return [little.tokenizer(family).id_to_token(int(one)) for one in ids]


@pytest.mark.parametrize("family", little.MODELS)
def test_examples_are_a_function_of_windows_and_generator(family):
    _, made = examples(family, [0, 99], seed=4)
    _, again = examples(family, [0, 99], seed=4)
    _, other = examples(family, [0, 99], seed=5)
    for name, value in vars(made.inputs).items():
        np.testing.assert_array_equal(value, vars(again.inputs)[name])
    np.testing.assert_array_equal(made.targets, again.targets)
    drawn_anew = (
        made.targets.shape != other.targets.shape
        or (made.targets != other.targets).any()
    )
    assert drawn_anew == (family != "gpt2")


# Next token


@given(begins)
def test_every_token_but_the_first_is_predicted_from_those_before_it(begins):
    windows, made = examples("gpt2", begins)
    inputs = made.inputs
    np.testing.assert_array_equal(inputs.tokens, windows)
    np.testing.assert_array_equal(inputs.positions, [range(LENGTH)] * len(begins))
    assert not inputs.branches.any()
    np.testing.assert_array_equal(inputs.scored, [range(LENGTH - 1)] * len(begins))
    np.testing.assert_array_equal(made.targets, windows[:, 1:])
    assert made.valid.all()


# Masked words


def masked_at(made):
    """Of each row, its masked positions within the window."""
    return [
        (scored[valid] - 1).tolist()
        for scored, valid in zip(made.inputs.scored, made.valid, strict=True)
    ]


@given(begins, seeds)
def test_masked_positions_hold_mask_and_are_asked_for_what_stood_there(begins, seed):
    windows, made = examples("electra", begins, seed)
    tokens = made.inputs.tokens
    assert made.inputs.attention_mask.all()
    assert (tokens[:, 0] == 2).all()  # [CLS]
    assert (tokens[:, -1] == 3).all()  # [SEP]
    for row, positions in enumerate(masked_at(made)):
        expected = windows[row].copy()
        expected[positions] = 4  # [MASK]
        np.testing.assert_array_equal(tokens[row, 1:-1], expected)
        assert sorted(set(positions)) == positions
        targets = made.targets[row, made.valid[row]]
        np.testing.assert_array_equal(targets, windows[row, positions])


@given(begins, seeds)
def test_only_whole_words_are_masked(begins, seed):
    """In the whole text, so that a word that the window cuts is none."""
    _, made = examples("electra", begins, seed)
    texts = strings("electra", CORPORA["electra"])
    for begin, positions in zip(begins, masked_at(made), strict=True):
        masked = {begin + position for position in positions}
        for place in masked:
            assert texts[place].lstrip("#").isalnum()
            if texts[place].startswith("##"):
                assert place - 1 in masked
            if texts[place + 1].startswith("##"):
                assert place + 1 in masked


@given(begins, seeds)
def test_as_many_are_masked_as_whole_words_allow(begins, seed):
    _, made = examples("electra", begins, seed)
    budget = round(MASKED * LENGTH)
    assert made.targets.shape == (len(begins), budget)
    for valid in made.valid:
        assert budget - 4 <= valid.sum() <= budget
        assert not (np.diff(valid.astype(int)) > 0).any()  # what is valid comes first


def test_every_word_is_masked_sooner_or_later():
    """But for those at the window's ends: one is cut, the other may be."""
    texts = strings("electra", CORPORA["electra"])
    begin = next(
        n
        for n in range(len(texts))
        if texts[n].startswith("##") and texts[n + LENGTH - 1].isalpha()
    )
    seen = set()
    for seed in range(200):
        _, made = examples("electra", [begin], seed)
        seen |= set(masked_at(made)[0])
    row = texts[begin : begin + LENGTH]
    cut = next(n for n in range(LENGTH) if not row[n].startswith("##"))
    words = {n for n in range(cut, LENGTH) if row[n].lstrip("#").isalnum()}
    assert seen == words - {LENGTH - 1}


def test_a_window_without_words_asks_nothing():
    comma = little.tokenizer("electra").token_to_id(",")
    windows = np.full((2, 12), comma, np.int32)
    made = make("electra", windows, np.random.default_rng(0))
    assert not made.valid.any()
    np.testing.assert_array_equal(made.inputs.tokens[:, 1:-1], windows)


# Span corruption

SENTINELS = [f"<extra_id_{number}>" for number in range(100)]


def corrupted(begins, seed, length=LENGTH):
    """Of each row that has room for everything: where its window begins, the encoder's
    runs of tokens, and the decoder's spans, which stood between them."""
    _, made = examples("t5", begins, seed, length)
    inputs, found = made.inputs, []
    for row, begin in enumerate(begins):
        encoder = inputs.encoder_tokens[row, inputs.attention_mask[row]]
        runs, sentinels = split(strings("t5", encoder))
        (before, *spans, behind), asked = split(
            strings("t5", made.targets[row, made.valid[row]])
        )
        assert before == []
        assert sentinels == SENTINELS[: len(sentinels)]
        assert asked == SENTINELS[: len(asked)]
        if runs[-1][-1:] == ["</s>"] and len(asked) > len(sentinels):
            assert behind == []
            assert len(asked) == len(sentinels) + 1
            found.append((begin, [*runs[:-1], runs[-1][:-1]], spans))
    return found


def split(tokens):
    """The runs of tokens before, between and behind the sentinels; the sentinels."""
    runs, sentinels = [[]], []
    for token in tokens:
        if token in SENTINELS:
            sentinels.append(token)
            runs.append([])
        else:
            runs[-1].append(token)
    return runs, sentinels


def has_letters(token):
    return any(map(str.isalnum, token))


def test_most_rows_have_room_for_everything():
    begins = list(range(0, 1500, 50))
    assert len(corrupted(begins, seed=0)) > 0.7 * len(begins)


@given(begins, seeds)
def test_spans_put_back_for_their_sentinels_give_the_window(begins, seed):
    """Up to the space that the tokenizer begins with behind a sentinel."""
    for begin, runs, spans in corrupted(begins, seed):
        window = strings("t5", CORPORA["t5"][begin : begin + LENGTH])
        rest = "".join(window).removeprefix("".join(runs[0]))
        for span, run in zip(map("".join, spans), map("".join, runs[1:]), strict=True):
            assert rest.startswith(span)
            rest = rest.removeprefix(span)
            run = run if rest.startswith(run) else run.removeprefix("▁")
            assert rest.startswith(run)
            rest = rest.removeprefix(run)
        assert rest == ""


@given(begins, seeds)
def test_spans_are_whole_words_apart_from_one_another(begins, seed):
    """In the whole text, so that a word that the window cuts is none."""
    texts = strings("t5", CORPORA["t5"])
    for begin, runs, spans in corrupted(begins, seed):
        assert all(runs[1:-1])
        assert sum(map(len, spans)) <= round(CORRUPTED * LENGTH)
        place = begin + len(runs[0])
        for span, run in zip(spans, runs[1:], strict=True):
            assert texts[place : place + len(span)] == span
            assert span[0].startswith("▁")  # as the options of a question do
            assert has_letters(span[0])
            assert has_letters(span[-1])
            place += len(span)
            assert texts[place].startswith("▁") or not has_letters(texts[place])
            put_in = run[:1] == ["▁"] != texts[place : place + 1]
            place += len(run) - put_in


def test_spans_have_about_the_length_and_number_asked_for():
    length, begins = 128, list(range(0, 1500, 50))
    found = [one for seed in range(10) for one in corrupted(begins, seed, length)]
    spans = [span for _, _, spans in found for span in spans]
    words = [sum(token.startswith("▁") for token in span) for span in spans]
    assert 1.1 < np.mean(words) < SPAN_WORDS + 0.1
    assert max(words) > 3
    taken = sum(map(len, spans)) / (len(found) * length)
    assert 0.6 * CORRUPTED < taken <= CORRUPTED


@given(begins, seeds)
def test_the_decoder_reads_its_targets_shifted_behind_pad(begins, seed):
    _, made = examples("t5", begins, seed)
    inputs = made.inputs
    assert (inputs.tokens[:, 0] == 0).all()  # <pad>
    np.testing.assert_array_equal(inputs.tokens[:, 1:], made.targets[:, :-1])
    order = [range(made.targets.shape[1])] * len(begins)
    np.testing.assert_array_equal(inputs.positions, order)
    np.testing.assert_array_equal(inputs.scored, order)
    np.testing.assert_array_equal(inputs.branches, np.where(made.valid, 0, -1))


@given(begins, seeds)
def test_padding_is_never_read_nor_asked_for(begins, seed):
    _, made = examples("t5", begins, seed)
    inputs = made.inputs
    assert (made.targets[made.valid] != 0).all()
    assert (made.targets[~made.valid] == 0).all()
    np.testing.assert_array_equal(inputs.attention_mask, inputs.encoder_tokens != 0)


@pytest.fixture(scope="module")
def auto(tmp_path_factory):
    directory = tmp_path_factory.mktemp("t5")
    vocabulary.save(little.tokenizer("t5"), "unigrams", 512, directory)
    return AutoTokenizer.from_pretrained(directory)


@given(begins, seeds)
@settings(max_examples=40)
def test_the_encoder_reads_what_the_tokenizer_makes_of_the_corrupted_text(
    auto, begins, seed
):
    """As scoring tokenizes a query with its sentinel; from the first sentinel to the
    last, since the window's ends may cut words."""
    for _, runs, spans in corrupted(begins, seed):
        tokens = runs[0]
        for sentinel, run in zip(SENTINELS, runs[1:], strict=False):
            tokens = [*tokens, sentinel, *run]
        text = "".join(tokens).replace("▁", " ").strip()
        text = text.replace("<extra", " <extra").strip()  # a blank has a space before
        theirs = auto.convert_ids_to_tokens(auto(text)["input_ids"])
        last = SENTINELS[len(spans) - 1]
        between = [
            row[row.index(SENTINELS[0]) : row.index(last)] for row in (tokens, theirs)
        ]
        assert between[0] == between[1]
