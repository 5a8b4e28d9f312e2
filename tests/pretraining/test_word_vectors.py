"""Embeddings to start from: from whom tokens stand near."""

import numpy as np
import pytest

from jaxsparse.pretraining import word_vectors as module
from jaxsparse.pretraining.word_vectors import word_vectors


@pytest.fixture(scope="module")
def tokens():
    """Frames `1 X 2` and `3 Y 4`, X of 5…9 and Y of 10…14; 15…19 never occur."""
    generator = np.random.default_rng(0)
    frames = [
        (1, generator.integers(5, 10), 2)
        if generator.random() < 0.5
        else (3, generator.integers(10, 15), 4)
        for _ in range(5000)
    ]
    return np.array(frames, np.int32).ravel()


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_words_of_one_frame_are_alike_and_of_two_frames_are_not(tokens):
    vectors = word_vectors(tokens, 20, 6)
    within = [cosine(vectors[a], vectors[b]) for a in range(5, 10) for b in range(5, a)]
    across = [cosine(vectors[a], vectors[b]) for a in (5, 9) for b in range(10, 15)]
    assert min(within) > 0.8
    assert max(across) < 0.5


def test_what_never_occurs_is_zero_and_the_rest_has_mean_square_one(tokens):
    vectors = word_vectors(tokens, 20, 6)
    assert not vectors[[0, *range(15, 20)]].any()
    assert np.mean(vectors[1:15] ** 2) == pytest.approx(1, rel=1e-5)


def test_the_same_tokens_give_the_same_vectors(tokens):
    again = word_vectors(tokens.copy(), 20, 6)
    np.testing.assert_array_equal(word_vectors(tokens, 20, 6), again)


def test_information_is_that_of_the_definition(tokens):
    """Against sums over all pairs of positions, one after the other."""
    few = tokens[:60]
    counts = np.zeros((20, 20))
    for here, token in enumerate(few):
        for there, other in enumerate(few):
            distance = abs(here - there)
            if 1 <= distance <= module.WINDOW:
                counts[token, other] += 1 / distance
    smooth = counts.sum(1) ** module.SMOOTHING
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = counts / counts.sum()
        expected = np.outer(counts.sum(1) / counts.sum(), smooth / smooth.sum())
        positive = np.where(counts > 0, np.maximum(np.log(joint / expected), 0), 0)
    found = module._positive_information(module._cooccurrences(few, 20)).toarray()
    np.testing.assert_allclose(found, positive, atol=1e-12)


def test_more_dimensions_than_tokens_that_occur_are_left_out(tokens):
    assert word_vectors(tokens, 20, 50).shape == (20, 14)


def test_a_large_vocabulary_comes_to_the_same(tokens, monkeypatch):
    """ARPACK and LAPACK agree, up to rounding."""
    dense = word_vectors(tokens, 20, 3)
    monkeypatch.setattr(module, "DENSE", 0)
    np.testing.assert_allclose(word_vectors(tokens, 20, 3), dense, atol=1e-4)
