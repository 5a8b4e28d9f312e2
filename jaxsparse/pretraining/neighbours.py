"""Attention heads that start with an eye on a neighbour.

A masked position knows nothing but where it is. With random attention it has to find
out first that its neighbours tell something; until then all that is learned is how
frequent words are, and with ten million tokens training ends there. So heads start with
an eye on one neighbour, as trained models turn out to have them (Voita et al. 2019,
positional heads): T5's by the biases that its layers share, the others' in their first
layer. Both functions change `leaves` in place.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

OFFSETS = (-1, 1, -2, 2)  # of the heads, in turn
PEAK = 6.0  # T5: by how much a neighbour's score exceeds the others', in nats


def _offsets(heads: int, causal: bool) -> Iterator[tuple[int, int]]:
    """Each head with its offset; one that looks at what is still to come stays as it
    is."""
    for head, offset in zip(range(heads), itertools.cycle(OFFSETS)):
        if offset < 0 or not causal:
            yield head, offset


def by_biases(leaves: dict[str, Any], config: Any) -> None:
    """T5: by the relative biases, of which the first eight buckets are distances
    themselves. And a sentinel in the decoder finds the encoder's, since
    cross-attention keys begin equal to queries."""
    for stack, causal in ("encoder", False), ("decoder", True):
        table = np.zeros((config.buckets, config.heads), np.float32)
        for head, offset in _offsets(config.heads, causal):
            ahead = config.buckets // 2 if offset > 0 else 0
            table[abs(offset) + ahead, head] = PEAK
        leaves[f"{stack}/relative_bias/embedding"] = jnp.asarray(table)
    # Queries are small in place of 1/sqrt(head_dim), so keys are that much larger; and
    # twice, since the layers in between make the two sentinels differ.
    path = "decoder/block/cross_attention/{}/kernel"
    query = leaves[path.format("q")]
    leaves[path.format("k")] = 2 * config.head_dim**0.5 * query


@dataclass(frozen=True)
class Waves:
    """Where a family that learns its positions has what `by_waves` sets, but for its
    words."""

    positions: str
    attention: tuple[
        str, ...
    ]  # layers' queries, then keys, then whatever, in one or two
    project: str = ""  # from embeddings to the hidden size
    causal: bool = False


def wave_dimensions(size: int, config: Any) -> int:
    """How many of an embedding's dimensions tell positions: two for each wave."""
    return min(config.hidden // config.heads, size // 3) // 2 * 2


def by_waves(
    leaves: dict[str, Any], words_path: str, paths: Waves, config: Any
) -> None:
    """GPT-2 and ELECTRA, their first layer: by sinusoids (Vaswani et al. 2017, section
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
    for head, offset in _offsets(config.heads, paths.causal):
        columns = slice(head * head_dim, head * head_dim + dimensions)
        shift = np.diag(np.cos(rates * offset)), np.diag(np.sin(rates * offset))
        turn = np.block([[shift[0], -shift[1]], [shift[1], shift[0]]])
        query[:, columns] = gain * places @ turn
        key[:, columns] = gain * places
        query[:, columns.stop : (head + 1) * head_dim] = 0
    parts = np.split(joined, len(paths.attention), -1)
    for path, part in zip(paths.attention, parts, strict=True):
        leaves[path] = jnp.asarray(leaves[path]).at[0].set(part)
