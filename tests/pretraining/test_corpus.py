"""Books as a row of tokens, with other names, and the windows that batches are made
of."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.pretraining.renaming import RENAMED, SCENE, rename
from jaxsparse.training.corpus import Corpus
from jaxsparse.types import InputError
from tests.pretraining import little
from tests.told import Told


def numbered(tokens):
    """A corpus in which a token tells where it stands."""
    return Corpus(np.arange(tokens, dtype=np.int32))


def test_tokens_of_all_texts_follow_one_another():
    made = little.tokenizer("gpt2")
    one, other = (made.encode(text).ids for text in little.TEXTS)
    end = made.token_to_id("<|endoftext|>")
    corpus = Corpus.of(little.TEXTS, made, end)
    np.testing.assert_array_equal(corpus.tokens, [*one, end, *other, end])
    assert corpus.tokens.dtype == np.int32
    corpus = Corpus.of(little.TEXTS, made, None)
    np.testing.assert_array_equal(corpus.tokens, [*one, *other])


def test_every_text_is_told():
    told = Told()
    Corpus.of(little.TEXTS, little.tokenizer("gpt2"), None, told)
    assert told.told == [1] * len(little.TEXTS)


def test_special_tokens_are_not_put_around_a_text():
    made = little.tokenizer("electra")
    corpus = Corpus.of(little.TEXTS, made, None)
    assert corpus.tokens.min() > made.token_to_id("[MASK]")


@given(
    length=st.integers(1, 12),
    more=st.integers(0, 80),
    rows=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_epoch_covers_the_corpus_once_from_a_random_start(length, more, rows, seed):
    corpus = numbered(2 * length - 1 + more)
    count = corpus.count(length)
    batches = [corpus.windows(length, rows, n, seed) for n in range(2 * count)]
    windows = np.concatenate(batches)
    np.testing.assert_array_equal(np.diff(windows, axis=1), 1)  # runs of the corpus
    for epoch in range(2 * rows):
        begins = np.sort(windows[epoch * count : (epoch + 1) * count, 0])
        np.testing.assert_array_equal(np.diff(begins), length)
        assert 0 <= begins[0] < length
    # What an epoch leaves out is less than a window at either end.
    assert len(corpus.tokens) - count * length < 2 * length


def test_epochs_differ_in_order_and_start():
    corpus = numbered(1000)
    count = corpus.count(16)
    epochs = [corpus.windows(16, count, epoch, seed=3)[:, 0] for epoch in range(8)]
    assert len({int(begins.min()) for begins in epochs}) > 4
    orders = {tuple((begins - begins.min()).tolist()) for begins in epochs}
    assert len(orders) == 8
    assert tuple(sorted(epochs[0])) not in {tuple(begins) for begins in epochs}


def test_a_batch_is_a_function_of_its_number_and_seed():
    corpus = numbered(300)
    batches = [corpus.windows(8, 4, number, seed=5) for number in range(30)]
    for number in reversed(range(30)):  # in another order, by another corpus
        again = numbered(300).windows(8, 4, number, seed=5)
        np.testing.assert_array_equal(again, batches[number])
    assert (corpus.windows(8, 4, 0, seed=6) != batches[0]).any()


def test_batches_go_on_across_the_end_of_an_epoch():
    corpus = numbered(100)
    threes = np.concatenate([corpus.windows(9, 3, n, seed=1) for n in range(8)])
    fours = np.concatenate([corpus.windows(9, 4, n, seed=1) for n in range(6)])
    np.testing.assert_array_equal(threes, fours)


@pytest.mark.parametrize(("tokens", "length"), [(18, 10), (0, 1), (1000, 501)])
def test_less_than_two_windows_are_refused(tokens, length):
    corpus = numbered(tokens)
    for call in (corpus.count, lambda length: corpus.windows(length, 1, 0, 0)):
        with pytest.raises(InputError, match=f"{tokens} tokens .* rows of {length}; n"):
            call(length)
    assert numbered(2 * length - 1).windows(length, 1, 0, 0).shape == (1, length)


# Other names: the same throughout a scene, and nothing else

TEXTS = (little.text(0, 1500), little.text(1, 400))
NAMES = set(little.NAMES)


def renamed(texts=TEXTS, seed=0):
    return tuple(rename(texts, np.random.default_rng(seed)))


def scenes(text):
    """The runs of words that share one renaming, each as its words and what is not."""
    words = text.split(" ")
    return [
        re.findall(r"\w+|\W+", " ".join(words[begin : begin + SCENE]))
        for begin in range(0, len(words), SCENE)
    ]


def pairs():
    """Of each scene, what it was and what it became, word for word."""
    for text, new in zip(TEXTS, renamed(), strict=True):
        for before, after in zip(scenes(text), scenes(new), strict=True):
            yield list(zip(before, after, strict=True))


def test_names_become_names_and_all_else_stays():
    changed = {pair for scene in pairs() for pair in scene if pair[0] != pair[1]}
    assert {before for before, _ in changed} == NAMES
    assert {after for _, after in changed} == NAMES


def test_a_scene_gives_each_name_one_other_of_its_own():
    for scene in pairs():
        other = dict(scene)
        assert all(other[before] == after for before, after in scene)
        assert len(set(other.values())) == len(other)


def test_scenes_are_renamed_apart_and_some_stay_as_they_are():
    mappings = [
        {before: after for before, after in scene if before in NAMES}
        for scene in pairs()
    ]
    same = sum(all(a == b for a, b in mapping.items()) for mapping in mappings)
    assert 0 < same < len(mappings) * (1.5 - RENAMED)
    assert len({tuple(sorted(mapping.items())) for mapping in mappings}) > 3


def test_it_is_a_function_of_texts_and_generator():
    assert renamed() == renamed()
    assert renamed(seed=1) != renamed()


def test_books_without_names_stay_as_they_are():
    texts = ("the jug stood by the kettle, and nobody asked why. " * 300,)
    assert renamed(texts) == texts
