"""Text becomes windows, and windows rows: all of it against hand-made expectations."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from jaxsparse.assets import DIRECTORY
from jaxsparse.models.inputs import MaskedInputs
from jaxsparse.running_text import (
    Examples,
    consecutive,
    evenly_spaced,
    examples,
    longest_window,
    loss_sums,
    tokenized,
    window_length,
)
from jaxsparse.types import InputError
from jaxsparse.weights.hub import BUNDLED
from jaxsparse.weights.tokenizer import load_tokenizer
from tests import tiny

TEXT = "The old king gave the girl a lantern, and she went home. " * 40
READINGS = {"gpt2": "causal", "electra": "masked", "t5": "seq2seq"}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    found = {}
    for family in READINGS:
        directory = tmp_path_factory.mktemp(family)
        tiny.tokenizer(family, directory)
        found[family] = load_tokenizer(directory)
    return found


def config(reading, positions=512, vocab=4096):
    return SimpleNamespace(
        reading=reading, positions=positions, vocab=vocab, first=None
    )


def windows_of(tokenizer, length, rows):
    return consecutive(tokenized(TEXT, tokenizer), length)[0][:rows]


# Tokens


def test_a_text_is_what_its_tokenizer_gives_and_nothing_around_it(tokenizers):
    for family, tokenizer in tokenizers.items():
        tokens = tokenized(TEXT, tokenizer)
        assert tokens.dtype == np.int32
        whole = tokenizer(TEXT)["input_ids"]
        front, behind = {"gpt2": (0, 0), "electra": (1, 1), "t5": (0, 1)}[family]
        assert tokens.tolist() == whole[front : len(whole) - behind]


def test_a_token_that_begins_every_text_stands_there_once(tmp_path):
    tiny.tokenizer("gpt2", tmp_path)
    file = tmp_path / "tokenizer.json"
    values = json.loads(file.read_text())
    begin = {"id": "<|endoftext|>", "type_id": 0}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    special = {"id": begin["id"], "ids": [511], "tokens": [begin["id"]]}
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": begin}, text],
        "pair": [
            {"SpecialToken": begin},
            text,
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {begin["id"]: special},
    }
    file.write_text(json.dumps(values))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer("a")["input_ids"][0] == 511
    bare = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert tokenized(TEXT, tokenizer).tolist() == [511, *bare]
    assert tokenized(f"<|endoftext|>{TEXT}", tokenizer).tolist() == [511, *bare]


def test_no_text_has_no_tokens(tokenizers):
    assert all(len(tokenized("", one)) == 0 for one in tokenizers.values())


# Windows


def test_the_longest_window_leaves_room_for_what_frames_it():
    assert longest_window(config("causal", 1024)) == 1024
    assert longest_window(config("masked", 512)) == 510
    assert longest_window(config("replaced", 512)) == 510
    assert longest_window(config("seq2seq", 512)) == 512


def test_windows_are_as_long_as_asked_or_as_the_model_takes():
    assert window_length(config("causal", 2048), 0, 1024) == 1024
    assert window_length(config("masked", 512), 0, 1024) == 510
    assert window_length(config("masked", 512), 100, 64) == 100
    for tokens in 3, 511:
        with pytest.raises(InputError, match=f"of {tokens} tokens.* 4 to 510"):
            window_length(config("masked", 512), tokens, 1024)


def test_consecutive_windows_leave_out_the_last_partial_one():
    windows, left_out = consecutive(np.arange(11, dtype=np.int32), 4)
    assert windows.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert left_out == 3
    with pytest.raises(InputError, match=r"11 tokens is shorter .* of 12"):
        consecutive(np.arange(11, dtype=np.int32), 12)


@given(
    st.integers(1, 300), st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**63)
)
def test_spaced_windows_are_equally_far_apart_and_overlap_only_if_they_must(
    tokens, rows, length, seed
):
    text = np.arange(tokens, dtype=np.int32)
    if tokens < length:
        with pytest.raises(InputError, match="shorter than one window"):
            evenly_spaced(text, rows, length, seed)
        return
    windows, overlapping = evenly_spaced(text, rows, length, seed)
    assert (np.diff(windows, axis=1) == 1).all()
    assert len(set(np.diff(windows[:, 0]).tolist())) <= 1
    assert windows.shape == (rows, length)
    assert overlapping == (rows * length > tokens)
    if not overlapping:
        assert len(np.unique(windows)) == windows.size
    # Windows reach over the whole text: no more is left than another one would take.
    step = windows[1, 0] - windows[0, 0] if rows > 1 else tokens
    assert windows[0, 0] <= step + rows
    assert tokens - windows[-1, -1] - 1 <= max(step, length) + rows


def test_the_seed_draws_the_offset():
    text = np.arange(5000, dtype=np.int32)
    begins = [evenly_spaced(text, 8, 100, seed)[0][0, 0] for seed in range(40)]
    assert begins[0] == evenly_spaced(text, 8, 100, 0)[0][0, 0]
    assert len(set(begins)) > 30
    assert min(begins) < 120
    assert max(begins) > 500  # 8 distances of 612 leave 4900 - 7 * 612 = 616


# Rows


def test_every_token_but_the_first_is_predicted(tokenizers):
    windows = np.array([[5, 6, 7, 8], [9, 10, 11, 12]], np.int32)
    made = examples(windows, config("causal"), tokenizers["gpt2"], 0)
    assert made.inputs.tokens.tolist() == windows.tolist()
    assert made.inputs.positions.tolist() == [[0, 1, 2, 3]] * 2
    assert made.inputs.branches.tolist() == [[0, 0, 0, 0]] * 2
    assert made.inputs.scored.tolist() == [[0, 1, 2]] * 2
    assert made.targets.tolist() == [[6, 7, 8], [10, 11, 12]]
    assert made.valid.all()


@pytest.mark.parametrize("length", [4, 30, 97])
def test_fifteen_percent_are_masked_and_asked_for(tokenizers, length):
    tokenizer = tokenizers["electra"]
    windows = windows_of(tokenizer, length, 4)
    made = examples(windows, config("masked"), tokenizer, 3)
    inputs, number = made.inputs, round(0.15 * length)
    assert made.targets.shape == (len(windows), number)
    assert made.valid.all()
    assert inputs.attention_mask.all()
    assert (inputs.tokens[:, 0] == 2).all()  # [CLS]
    assert (inputs.tokens[:, -1] == 3).all()  # [SEP]
    masked = inputs.tokens == 4
    assert masked.sum(axis=1).tolist() == [number] * len(windows)
    for row, window in enumerate(windows):
        assert np.flatnonzero(masked[row]).tolist() == inputs.scored[row].tolist()
        filled = inputs.tokens[row].copy()
        filled[inputs.scored[row]] = made.targets[row]
        assert filled[1:-1].tolist() == window.tolist()


def test_every_token_is_masked_equally_often(tokenizers):
    windows = np.full((4000, 20), 50, np.int32)
    made = examples(windows, config("masked"), tokenizers["electra"], 0)
    often = np.bincount(made.inputs.scored.ravel(), minlength=22)[1:-1]
    assert abs(often - 600).max() < 5 * np.sqrt(600 * 0.85)


def test_who_tells_tokens_apart_reads_them_as_they_are(tokenizers):
    windows = np.array([[5, 6, 7, 8]], np.int32)
    made = examples(windows, config("replaced"), tokenizers["electra"], 0)
    assert made.inputs.tokens.tolist() == [[2, 5, 6, 7, 8, 3]]
    assert made.inputs.scored.tolist() == [[1, 2, 3, 4]]
    assert not made.valid.any()


def spans(ids, sentinels):
    """The runs of tokens behind each sentinel, by its number; what stands first is
    behind -1."""
    found, at = {-1: []}, -1
    for token in ids:
        if token in sentinels:
            at = sentinels.index(token)
            assert at not in found
            found[at] = []
        else:
            found[at].append(token)
    return found


@pytest.mark.parametrize("length", [4, 20, 61, 400])
def test_spans_glued_back_in_are_the_window(tokenizers, length):
    tokenizer = tokenizers["t5"]
    windows = windows_of(tokenizer, length, 3)
    made = examples(windows, config("seq2seq"), tokenizer, 7)
    inputs = made.inputs
    lost = round(0.15 * length)
    number = max(round(lost / 3), 1)
    assert inputs.encoder_tokens.shape[1] == length - lost + number + 1
    assert made.targets.shape[1] == lost + number + 1
    assert inputs.attention_mask.all()
    assert made.valid.all()
    assert (inputs.encoder_tokens[:, -1] == 1).all()  # </s>
    assert (made.targets[:, -1] == 1).all()
    assert (inputs.tokens[:, 0] == 0).all()  # <pad>
    np.testing.assert_array_equal(inputs.tokens[:, 1:], made.targets[:, :-1])
    np.testing.assert_array_equal(inputs.positions[0], np.arange(lost + number + 1))
    np.testing.assert_array_equal(inputs.scored, inputs.positions)
    assert not inputs.branches.any()
    names = [f"<extra_id_{at}>" for at in range(number)]
    sentinels = tokenizer.convert_tokens_to_ids(names)
    for row, window in enumerate(windows):
        kept = spans(inputs.encoder_tokens[row, :-1].tolist(), sentinels)
        gone = spans(made.targets[row, :-1].tolist(), sentinels)
        assert not gone.pop(-1)
        assert list(gone) == list(range(number))
        glued = kept.pop(-1)
        assert glued  # the first span is never the window's beginning
        for at, tokens in gone.items():
            assert tokens
            glued += tokens + kept[at]
        assert glued == window.tolist()


def test_all_ways_to_cut_are_equally_likely(tokenizers):
    """Of 40 tokens 34 are kept, in two segments: the first has 1 to 33."""
    windows = np.tile(np.arange(100, 140, dtype=np.int32), (3000, 1))
    made = examples(windows, config("seq2seq"), tokenizers["t5"], 0)
    first = made.targets[:, 1] - 100
    often = np.bincount(first, minlength=34)[1:]
    assert len(often) == 33
    assert abs(often - 3000 / 33).max() < 5 * np.sqrt(3000 / 33)


@pytest.mark.parametrize("family", ["electra", "t5"])
def test_a_row_is_drawn_by_its_seed_and_number_alone(tokenizers, family):
    tokenizer, reading = tokenizers[family], config(READINGS[family])
    windows = windows_of(tokenizer, 50, 5)
    five = examples(windows, reading, tokenizer, 1)
    two = examples(windows[:2], reading, tokenizer, 1)
    for name, value in vars(two.inputs).items():
        np.testing.assert_array_equal(value, vars(five.inputs)[name][:2])
    alike = np.repeat(windows[:1], 5, axis=0)
    rows = examples(alike, reading, tokenizer, 1).targets
    assert len({row.tobytes() for row in rows}) == 5
    other = examples(windows, reading, tokenizer, 2)
    assert (other.targets != five.targets).any()


def test_draws_stay_what_they_are(tokenizers):
    """The journal knows their losses by the seed."""
    windows = np.arange(100, 140, dtype=np.int32)[None]
    made = examples(windows, config("masked"), tokenizers["electra"], 0)
    assert made.inputs.scored.tolist() == [[2, 6, 11, 28, 31, 37]]
    made = examples(windows, config("seq2seq"), tokenizers["t5"], 0)
    lost = [token for token in made.targets[0].tolist() if 100 <= token < 140]
    assert lost == [131, 132, 133, 134, 138, 139]


def test_what_a_model_lacks_is_named(tokenizers):
    windows = np.array([[5, 6, 7, 300]], np.int32)
    with pytest.raises(InputError, match=r"up to 300, the model's .* 256"):
        examples(windows, config("causal", vocab=256), tokenizers["gpt2"], 0)
    with pytest.raises(InputError, match=r"no \[CLS\] for the model's 512 tokens"):
        examples(windows, config("masked", vocab=512), tokenizers["gpt2"], 0)
    many = np.full((1, 2100), 5, np.int32)
    with pytest.raises(InputError, match="no <extra_id_100>"):
        examples(many, config("seq2seq"), tokenizers["t5"], 0)


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundled_tokenizers_are_read_likewise(name):
    directory = DIRECTORY / "models" / name
    theirs = AutoTokenizer.from_pretrained(directory)
    expected = theirs(TEXT, add_special_tokens=False)["input_ids"]
    assert tokenized(TEXT, load_tokenizer(directory)).tolist() == expected


# Loss


def test_the_loss_is_summed_over_valid_targets_alone():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 7)).astype(np.float32)
    targets = rng.integers(0, 7, (3, 4)).astype(np.int32)
    valid = rng.random((3, 4)) < 0.6
    expected = 0.0
    for row, column in zip(*np.nonzero(valid), strict=True):
        exponents = np.exp(logits[row, column].astype(np.float64))
        expected -= np.log(exponents[targets[row, column]] / exponents.sum())
    inputs = MaskedInputs(targets, valid, targets)
    made = Examples(inputs, targets, valid)
    total, count = loss_sums(
        lambda params, _: jnp.asarray(params["l"]), {"l": logits}, made
    )
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert count == valid.sum()
