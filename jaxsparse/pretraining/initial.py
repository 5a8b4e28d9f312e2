"""Parameters to start from: flax's own, but for what each family's depth and scale ask
for, what its corpus says of words, and an eye on the neighbours.

A masked position knows nothing but where it is. With random attention it has to find
out first that its neighbours tell something; until then all that is learned is how
frequent words are, and with ten million tokens training ends there. So heads start with
an eye on one neighbour, as trained models turn out to have them (Voita et al. 2019,
positional heads): T5's by the biases that its layers share, the others' in their first
layer.
"""

import fnmatch
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxsparse import trees
from jaxsparse.models.family import Biases, Family, Waves
from jaxsparse.models.inputs import smallest
from jaxsparse.pretraining.word_vectors import word_vectors
from jaxsparse.types import Leaves

OFFSETS = (-1, 1, -2, 2)  # of the heads, in turn
PEAK = 6.0  # T5: by how much a neighbour's score exceeds the others', in nats


def initial_params(
    family: Family, config: Any, seed: int, tokens: Int[np.ndarray, " token"]
) -> Leaves:
    """Float32 parameters; the same for the same seed and tokens.

    Words start as `word_vectors` of the corpus' `tokens`, and heads look at their
    neighbours. Other kernels are LeCun normal, embeddings of deviation hidden^-0.5, but
    for the family's factors: residual projections, for one, shrink with depth (Radford
    et al. 2019, section 2.3).
    """
    start = family.start
    assert start is not None, family.name
    module = family.module(config, jnp.dtype(jnp.float32))
    variables = module.init(jax.random.key(seed), smallest(config.reading))
    leaves = trees.flatten(variables["params"])
    for pattern, factor in start.factors(config).items():
        paths = fnmatch.filter(leaves, pattern)
        assert paths, pattern
        for path in paths:
            leaves[path] = leaves[path] * np.float32(factor)
    words = family.head[1]
    _know_words(leaves, words, start.neighbours, config, tokens)
    if isinstance(start.neighbours, Biases):
        _look_by_biases(leaves, start.neighbours, config)
    elif isinstance(start.neighbours, Waves):
        _look_by_waves(leaves, words, start.neighbours, config)
    return leaves


def _know_words(
    leaves: dict[str, Any],
    path: str,
    neighbours: Waves | Biases | None,
    config: Any,
    tokens: Int[np.ndarray, " token"],
) -> None:
    """Words get their vectors, of the deviation that their rows had. Of what never
    occurs, sentinels stay as drawn, since they must differ from one another, and
    ELECTRA's [MASK] starts as nothing but a position."""
    table = np.array(leaves[path])
    vocabulary, size = table.shape
    if isinstance(neighbours, Waves):
        size -= wave_dimensions(size, config)
    vectors = word_vectors(tokens, vocabulary, size)
    as_drawn = config.reading == "seq2seq"
    known = vectors.any(1) if as_drawn else np.full(vocabulary, True)
    table[known, : vectors.shape[1]] = vectors[known] * table[known].std()
    leaves[path] = jnp.asarray(table)


def _offsets(heads: int, causal: bool) -> Iterator[tuple[int, int]]:
    """Each head with its offset; one that looks at what is still to come stays as it
    is."""
    for head, offset in zip(range(heads), itertools.cycle(OFFSETS)):
        if offset < 0 or not causal:
            yield head, offset


def _look_by_biases(leaves: dict[str, Any], paths: Biases, config: Any) -> None:
    """By the relative biases, of which the first eight buckets are distances
    themselves. And a sentinel in the decoder finds the encoder's, since cross-attention
    keys begin equal to queries."""
    for path, causal in (paths.encoder, False), (paths.decoder, True):
        table = np.zeros((config.buckets, config.heads), np.float32)
        for head, offset in _offsets(config.heads, causal):
            ahead = config.buckets // 2 if offset > 0 else 0
            table[abs(offset) + ahead, head] = PEAK
        leaves[path] = jnp.asarray(table)
    # Queries are small in place of 1/sqrt(head_dim), so keys are that much larger; and
    # twice, since the layers in between make the two sentinels differ.
    query = leaves[paths.cross_query]
    leaves[paths.cross_key] = 2 * config.head_dim**0.5 * query


def wave_dimensions(size: int, config: Any) -> int:
    """How many of an embedding's dimensions tell positions: two for each wave."""
    return min(config.hidden // config.heads, size // 3) // 2 * 2


def _look_by_waves(
    leaves: dict[str, Any], words_path: str, paths: Waves, config: Any
) -> None:
    """In the first layer, by sinusoids (Vaswani et al. 2017, section
    3.5) in dimensions that words leave free at first. A rotation of them is a shift,
    and queries are rotated against keys.

    The amplitudes are for embeddings that are words and positions alone. ELECTRA's
    token types come on top, so its heads start less sharp: at 0.4 on the neighbour.
    """
    word = np.array(leaves[words_path])
    size, hidden = word.shape[1], config.hidden
    head_dim = hidden // config.heads
    dimensions = wave_dimensions(size, config)
    waves, words = dimensions // 2, size - dimensions
    rates = np.pi / 2 * 64.0 ** (-np.arange(waves) / waves)
    word[:, words:] = 0
    leaves[words_path] = jnp.asarray(word)
    angles = np.arange(config.positions)[:, None] * rates
    table = np.zeros((config.positions, size), np.float32)
    table[:, words:] = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    table *= (size / waves / 3) ** 0.5 * size**-0.5  # a third of the whole's variance
    leaves[paths.positions] = jnp.asarray(table)
    places = np.eye(hidden)[:, words:size]
    if paths.project in leaves:
        generator = np.random.default_rng(0)
        basis = np.linalg.qr(generator.standard_normal((hidden, size)))[0].T
        leaves[paths.project] = jnp.asarray(basis, jnp.float32)
        places = basis[words:].T
    # Normalised, a wave has amplitude (size / waves / 3)^0.5.
    gain = (2.5 * PEAK * head_dim**0.5 / (size / 3)) ** 0.5
    joined = np.concatenate([leaves[path][0] for path in paths.attention], -1)
    query, key = joined[:, :hidden], joined[:, hidden : 2 * hidden]  # views
    for head, offset in _offsets(config.heads, config.reading == "causal"):
        columns = slice(head * head_dim, head * head_dim + dimensions)
        shift = np.diag(np.cos(rates * offset)), np.diag(np.sin(rates * offset))
        turn = np.block([[shift[0], -shift[1]], [shift[1], shift[0]]])
        query[:, columns] = gain * places @ turn
        key[:, columns] = gain * places
        query[:, columns.stop : (head + 1) * head_dim] = 0
    parts = np.split(joined, len(paths.attention), -1)
    for path, part in zip(paths.attention, parts, strict=True):
        leaves[path] = jnp.asarray(leaves[path]).at[0].set(part)
