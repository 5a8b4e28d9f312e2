"""Parameters to start from: flax's own, but for what each family's depth and scale ask
for, what its corpus says of words, and an eye on the neighbours."""

import fnmatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxsparse import trees
from jaxsparse.models import Family
from jaxsparse.models.inputs import smallest
from jaxsparse.pretraining import neighbours
from jaxsparse.pretraining.word_vectors import word_vectors
from jaxsparse.types import Leaves

WORDS = {
    "gpt2": "wte/embedding",
    "electra": "embeddings/word/embedding",
    "t5": "shared/embedding",
}
WAVES = {
    "gpt2": neighbours.Waves(
        positions="wpe/embedding",
        attention=("h/attn/c_attn/kernel",),
        causal=True,
    ),
    "electra": neighbours.Waves(
        positions="embeddings/position/embedding",
        attention=("block/query/kernel", "block/key/kernel"),
        project="project/kernel",
    ),
}


def initial_params(
    family: Family, config: Any, seed: int, tokens: Int[np.ndarray, " token"]
) -> Leaves:
    """Float32 parameters; the same for the same seed and tokens.

    Words start as `word_vectors` of the corpus' `tokens`, and heads as `neighbours`
    says. Other kernels are LeCun normal, embeddings of deviation hidden^-0.5. Residual
    projections shrink with depth (Radford et al. 2019, section 2.3). T5 has no 1/sqrt
    of head_dim in its attention, and its tied head is scaled by hidden^-0.5: the former
    goes into the queries, the latter out of the embedding (as in its reference code).
    """
    module = family.module(config, jnp.dtype(jnp.float32))
    variables = module.init(jax.random.key(seed), smallest(config.reading))
    leaves = trees.flatten(variables["params"])
    for pattern, factor in _factors(family.name, config).items():
        paths = fnmatch.filter(leaves, pattern)
        assert paths, pattern
        for path in paths:
            leaves[path] = leaves[path] * np.float32(factor)
    _know_words(leaves, family.name, config, tokens)
    if family.name == "t5":
        neighbours.by_biases(leaves, config)
    else:
        words = WORDS[family.name]
        neighbours.by_waves(leaves, words, WAVES[family.name], config)
    return leaves


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


def _know_words(
    leaves: dict[str, Any], family: str, config: Any, tokens: Int[np.ndarray, " token"]
) -> None:
    """Words get their vectors, of the deviation that their rows had. Of what never
    occurs, T5's sentinels stay as drawn, since they must differ from one another, and
    ELECTRA's [MASK] starts as nothing but a position."""
    path = WORDS[family]
    table = np.array(leaves[path])
    vocabulary, size = table.shape
    if family in WAVES:
        size -= neighbours.wave_dimensions(size, config)
    vectors = word_vectors(tokens, vocabulary, size)
    known = vectors.any(1) if family == "t5" else np.full(vocabulary, True)
    table[known, : vectors.shape[1]] = vectors[known] * table[known].std()
    leaves[path] = jnp.asarray(table)
