"""Parameters to start from: words that are known, heads that see their neighbours."""

import functools

import numpy as np
import pytest

from jaxsparse import trees
from jaxsparse.models import FAMILIES
from jaxsparse.models.relative_bias import bucket_table
from jaxsparse.pretraining import RECIPES
from jaxsparse.pretraining.initial import OFFSETS, initial_params, wave_dimensions
from jaxsparse.pretraining.word_vectors import word_vectors
from tests.pretraining import little

WORDS = {family: FAMILIES[family].head[1] for family in little.MODELS}
WAVES = {family: FAMILIES[family].start.neighbours for family in ("gpt2", "electra")}
LENGTH = 64  # of the rows whose attention is looked at


@functools.cache
def made(family, seed=0, corpus=0):
    """A bundled model's first parameters, on a corpus of its first hundred tokens."""
    _, config = RECIPES[little.MODELS[family]].model
    tokens = np.random.default_rng(corpus).integers(8, 100, 5000).astype(np.int32)
    params = initial_params(FAMILIES[family], config, seed, tokens)
    return config, tokens, {k: np.asarray(v) for k, v in trees.flatten(params).items()}


@pytest.mark.parametrize("family", little.MODELS)
def test_they_are_a_function_of_the_seed_and_the_corpus(family):
    (_, _, one), (_, _, other), (_, _, read) = (
        made(family),
        made(family, seed=1),
        made(family, corpus=1),
    )
    made.cache_clear()
    again = made(family)[2]
    for path, leaf in one.items():
        assert leaf.dtype == np.float32
        np.testing.assert_array_equal(leaf, again[path], err_msg=path)
    differs = {path for path in one if (one[path] != read[path]).any()}
    assert differs == {WORDS[family]}
    assert sum((one[path] != other[path]).any() for path in one) > 3


@pytest.mark.parametrize("family", little.MODELS)
def test_words_that_occur_are_their_vectors(family):
    config, tokens, leaves = made(family)
    table = leaves[WORDS[family]]
    size = table.shape[1]
    if family in WAVES:
        size -= wave_dimensions(size, config)
    vectors = word_vectors(tokens, config.vocab, size)
    assert vectors.shape[1] > 50
    ratios = table[8:100, : vectors.shape[1]] / vectors[8:100]
    np.testing.assert_allclose(ratios, ratios[0, 0], rtol=1e-5)
    plain = 1.0 if family == "t5" else size**-0.5  # the deviation of flax's own
    assert 0.8 < ratios[0, 0] / plain < 1.2


def test_sentinels_stay_apart_and_a_mask_is_nothing_but_its_place():
    _, _, leaves = made("t5")
    rows = leaves[WORDS["t5"]][-100:]
    cosines = rows @ rows.T / np.linalg.norm(rows, axis=1) ** 2
    assert np.abs(cosines - np.diag(np.diag(cosines))).max() < 0.5
    _, _, leaves = made("electra")
    assert not leaves[WORDS["electra"]][100:].any()
    assert leaves[WAVES["electra"].positions].any(1).all()


def normalised(rows):
    centred = rows - rows.mean(-1, keepdims=True)
    return centred / centred.std(-1, keepdims=True)


@pytest.mark.parametrize("family", WAVES)
def test_a_head_of_the_first_layer_looks_at_one_neighbour(family):
    config, _, leaves = made(family)
    paths, causal = WAVES[family], family == "gpt2"
    words = np.random.default_rng(0).integers(8, 100, LENGTH)
    hidden = leaves[WORDS[family]][words] + leaves[paths.positions][:LENGTH]
    if family == "electra":
        hidden = normalised(hidden + leaves["embeddings/token_type/embedding"][0])
        hidden = hidden @ leaves[paths.project]
    else:
        hidden = normalised(hidden)
    joined = np.concatenate([leaves[path][0] for path in paths.attention], -1)
    query, key = (
        hidden @ joined[:, at : at + config.hidden] for at in (0, config.hidden)
    )
    head_dim = config.hidden // config.heads
    seen = []
    for head in range(config.heads):
        columns = slice(head * head_dim, (head + 1) * head_dim)
        scores = query[:, columns] @ key[:, columns].T / head_dim**0.5
        if causal:
            scores[np.triu_indices(LENGTH, 1)] = -np.inf
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        inner = np.arange(2, LENGTH - 2)
        offset = OFFSETS[head]
        seen.append(weights[inner, inner + offset].mean() > 0.4)  # by chance: 0.02
    assert seen == [not causal or offset < 0 for offset in OFFSETS]


def test_t5_has_a_bias_for_each_head_that_is_of_one_distance():
    config, _, leaves = made("t5")
    for stack, buckets in ("encoder", config.buckets // 2), ("decoder", config.buckets):
        table = leaves[f"{stack}/relative_bias/embedding"]
        of = bucket_table(buckets, config.max_distance)
        for head, offset in enumerate(OFFSETS):
            bucket = of[abs(offset)] + (buckets if offset > 0 else 0)
            expected = [] if stack == "decoder" and offset > 0 else [bucket]
            assert np.flatnonzero(table[:, head]).tolist() == expected


def test_a_sentinel_finds_itself_among_many():
    config, _, leaves = made("t5")
    rows = leaves[WORDS["t5"]][-100:]
    rows = rows / np.sqrt((rows**2).mean(-1, keepdims=True))
    kernels = [
        leaves[f"decoder/block/cross_attention/{name}/kernel"][0] for name in "qk"
    ]
    query, key = ((rows @ kernel).reshape(100, config.heads, -1) for kernel in kernels)
    scores = np.einsum("qhd,khd->hqk", query, key)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    assert np.einsum("hqq->hq", weights).mean() > 0.8
