"""Parameters to start from: flax's own, but for what each family's depth and scale ask
for."""

import fnmatch
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse import trees
from jaxsparse.models import Family
from jaxsparse.types import Params


def initial_params(family: Family, config: Any, seed: int) -> Params:
    """Random float32 parameters; the same for the same seed.

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
    if family.name == "t5":
        _eye_neighbours_t5(leaves, config)
    if family.name == "electra":
        _eye_neighbours_electra(leaves, config)
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
    query = leaves["decoder/block/cross_attention/q/kernel"]
    # What makes queries small stands for 1/sqrt(head_dim); keys are as large as ever.
    leaves["decoder/block/cross_attention/k/kernel"] = query * config.head_dim**0.5


def _eye_neighbours_electra(leaves: dict[str, Any], config: Any) -> None:
    """By sinusoids (Vaswani et al. 2017, section 3.5) that only positions use at first:
    a rotation of them is a shift."""
    size, hidden, head_dim = (
        config.embedding, config.hidden, config.hidden // config.heads,
    )  # fmt: skip
    waves = min(head_dim, size // 3) // 2
    rates = np.pi / 2 * 64.0 ** (-np.arange(waves) / waves)
    words = size - 2 * waves
    angles = np.arange(config.positions)[:, None] * rates
    table = np.zeros((config.positions, size), np.float32)
    table[:, words:] = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    table *= (size / waves / 3) ** 0.5 * size**-0.5  # a third of the whole's variance
    leaves["embeddings/position/embedding"] = jnp.asarray(table)
    word = np.array(leaves["embeddings/word/embedding"])
    word[:, words:] = 0
    leaves["embeddings/word/embedding"] = jnp.asarray(word)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((hidden, size)))[0].T
    into = "project/kernel"
    if into in leaves:
        leaves[into] = jnp.asarray(basis, jnp.float32)
    places = basis[words:].T if into in leaves else np.eye(hidden)[:, words:size]
    # Normalised, a wave has amplitude (size / waves / 3)^0.5.
    gain = (2.5 * PEAK * head_dim**0.5 / (size / 3)) ** 0.5
    query, key = (np.array(leaves[f"block/{name}/kernel"]) for name in ("query", "key"))
    for head, offset in zip(range(config.heads), itertools.cycle(OFFSETS)):
        columns = slice(head * head_dim, head * head_dim + 2 * waves)
        shift = np.diag(np.cos(rates * offset)), np.diag(np.sin(rates * offset))
        turn = np.block([[shift[0], -shift[1]], [shift[1], shift[0]]])
        query[0, :, columns] = gain * places @ turn
        key[0, :, columns] = gain * places
        query[0, :, columns.stop : (head + 1) * head_dim] = 0
    leaves["block/query/kernel"] = jnp.asarray(query)
    leaves["block/key/kernel"] = jnp.asarray(key)
