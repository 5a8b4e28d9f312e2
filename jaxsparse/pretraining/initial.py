"""Parameters to start from: flax's own, but for what each family's depth and scale ask
for."""

import fnmatch
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxsparse import trees
from jaxsparse.models import Family
from jaxsparse.pretraining.word_vectors import word_vectors
from jaxsparse.types import Params


def initial_params(
    family: Family, config: Any, seed: int, tokens: Int[np.ndarray, " token"]
) -> Params:
    """Float32 parameters; the same for the same seed and tokens.

    Embeddings of words are those of `word_vectors`, from the corpus' `tokens`.

    Kernels are LeCun normal, embeddings of deviation hidden^-0.5. Residual projections
    shrink with depth (Radford et al. 2019, section 2.3). T5 has no 1/sqrt of head_dim
    in its attention, and its tied head is scaled by hidden^-0.5: the former goes into
    the queries, the latter out of the embedding (as in its reference code).
    """
    module = family.module(config, jnp.dtype(jnp.float32))
    variables = module.init(jax.random.key(seed), family.example_inputs(config))
    leaves = trees.flatten(variables["params"])
    for pattern, factor in _factors(family.name, config).items():
        for path in fnmatch.filter(leaves, pattern):
            leaves[path] = leaves[path] * np.float32(factor)
    _know_words(leaves, family.name, config, tokens)
    if family.name == "t5":
        _eye_neighbours_t5(leaves, config)
    else:
        _eye_neighbours_by_waves(leaves, family.name, config)
    return trees.unflatten(leaves)


def _factors(family: str, config: Any) -> dict[str, float]:
    if family == "gpt2":
        return {"h/*/c_proj/kernel": (2 * config.layers) ** -0.5}
    if family == "t5":
        return {
            "encoder/block/*/o/kernel": (2 * config.encoder_layers) ** -0.5,
            "encoder/block/*/wo/kernel": (2 * config.encoder_layers) ** -0.5,
            "decoder/block/*/o/kernel": (3 * config.decoder_layers) ** -0.5,
            "decoder/block/*/wo/kernel": (3 * config.decoder_layers) ** -0.5,
            "*/attention/q/kernel": config.head_dim**-0.5,
            "*/cross_attention/q/kernel": config.head_dim**-0.5,
            "shared/embedding": config.hidden**0.5 if config.scaled else 1.0,
        }
    depth = (2 * config.layers) ** -0.5
    return {f"block/{name}/kernel": depth for name in ("attention_output", "output")}


_WORDS = {
    "gpt2": "wte/embedding",
    "electra": "embeddings/word/embedding",
    "t5": "shared/embedding",
}
_POSITIONS = {
    "gpt2": "wpe/embedding",
    "electra": "embeddings/position/embedding",
}
_ATTENTION = {  # queries, then keys, then whatever
    "gpt2": ("h/attn/c_attn/kernel",),
    "electra": ("block/query/kernel", "block/key/kernel"),
}


def _know_words(
    leaves: dict[str, Any], family: str, config: Any, tokens: Int[np.ndarray, " token"]
) -> None:
    """Words get their vectors, of the deviation that their rows had. Of what never
    occurs, T5's sentinels stay as drawn, since they must differ from one another, and
    ELECTRA's [MASK] starts as nothing but a position."""
    path = _WORDS[family]
    table = np.array(leaves[path])
    vocabulary, size = table.shape
    if family in _POSITIONS:
        size -= 2 * _waves(size, config)
    vectors = word_vectors(tokens, vocabulary, size)
    known = vectors.any(1) if family == "t5" else np.full(vocabulary, True)
    table[known, : vectors.shape[1]] = vectors[known] * table[known].std()
    leaves[path] = jnp.asarray(table)


# A masked position knows nothing but where it is. With random attention it has to find
# out first that its neighbours tell something; until then all that is learned is how
# frequent words are, and with ten million tokens training ends there. So each head
# starts with an eye on one neighbour, as trained models turn out to have them (Voita et
# al. 2019, positional heads).
OFFSETS = (-1, 1, -2, 2)
PEAK = 6.0  # how much more attention that neighbour gets, in nats


def _eye_neighbours_t5(leaves: dict[str, Any], config: Any) -> None:
    """By the relative biases; and a sentinel in the decoder finds the encoder's, since
    cross-attention keys begin equal to queries."""
    for stack, sides in ("encoder", 2), ("decoder", 1):
        table = np.zeros((config.buckets, config.heads), np.float32)
        for head, offset in zip(range(config.heads), itertools.cycle(OFFSETS)):
            if sides == 2:
                table[abs(offset) + config.buckets // 2 * (offset > 0), head] = PEAK
            elif offset < 0:
                table[-offset, head] = PEAK
        leaves[f"{stack}/relative_bias/embedding"] = jnp.asarray(table)
    # What makes queries small stands for 1/sqrt(head_dim); keys are as large as ever.
    # Twice the product, since layers in between make the two sentinels differ.
    path = "decoder/block/cross_attention/{}/kernel"
    query = leaves[path.format("q")]
    leaves[path.format("k")] = 2 * config.head_dim**0.5 * query


def _waves(size: int, config: Any) -> int:
    """How many waves, of two of an embedding's dimensions each, tell positions."""
    return min(config.hidden // config.heads, size // 3) // 2


def _eye_neighbours_by_waves(leaves: dict[str, Any], family: str, config: Any) -> None:
    """By sinusoids (Vaswani et al. 2017, section 3.5) that only positions use at first:
    a rotation of them is a shift."""
    words_path, positions_path = _WORDS[family], _POSITIONS[family]
    word = np.array(leaves[words_path])
    size, hidden = word.shape[1], config.hidden
    head_dim = hidden // config.heads
    waves = _waves(size, config)
    rates = np.pi / 2 * 64.0 ** (-np.arange(waves) / waves)
    words = size - 2 * waves
    word[:, words:] = 0
    leaves[words_path] = jnp.asarray(word)
    angles = np.arange(config.positions)[:, None] * rates
    table = np.zeros((config.positions, size), np.float32)
    table[:, words:] = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    table *= (size / waves / 3) ** 0.5 * size**-0.5  # a third of the whole's variance
    leaves[positions_path] = jnp.asarray(table)
    places = np.eye(hidden)[:, words:size]
    if (into := "project/kernel") in leaves:
        generator = np.random.default_rng(0)
        basis = np.linalg.qr(generator.standard_normal((hidden, size)))[0].T
        leaves[into] = jnp.asarray(basis, jnp.float32)
        places = basis[words:].T
    # Normalised, a wave has amplitude (size / waves / 3)^0.5.
    gain = (2.5 * PEAK * head_dim**0.5 / (size / 3)) ** 0.5
    joined = np.concatenate([leaves[path][0] for path in _ATTENTION[family]], -1)
    query, key = joined[:, :hidden], joined[:, hidden : 2 * hidden]  # views
    for head, offset in zip(range(config.heads), itertools.cycle(OFFSETS)):
        if family == "gpt2" and offset > 0:
            continue  # out of its sight
        columns = slice(head * head_dim, head * head_dim + 2 * waves)
        shift = np.diag(np.cos(rates * offset)), np.diag(np.sin(rates * offset))
        turn = np.block([[shift[0], -shift[1]], [shift[1], shift[0]]])
        query[:, columns] = gain * places @ turn
        key[:, columns] = gain * places
        query[:, columns.stop : (head + 1) * head_dim] = 0
    parts = np.split(joined, len(_ATTENTION[family]), -1)
    for path, part in zip(_ATTENTION[family], parts, strict=True):
        leaves[path] = jnp.asarray(leaves[path]).at[0].set(part)
