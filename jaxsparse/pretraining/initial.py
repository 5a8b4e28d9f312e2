"""Parameters to start from: flax's own, but for what each family's depth and scale ask
for."""

import fnmatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse import trees
from jaxsparse.models import Family
from jaxsparse.types import Params


def initial_params(family: Family, config: Any, seed: int) -> Params:
    """Random float32 parameters; the same for the same seed.

    Kernels are LeCun normal, embeddings of deviation hidden^-0.5. GPT-2's residual
    projections shrink with depth (Radford et al. 2019, section 2.3). T5 has no 1/sqrt
    of head_dim in its attention, and its tied head is scaled by hidden^-0.5: the former
    goes into the queries, the latter out of the embedding (as in its reference code).
    """
    module = family.module(config, jnp.dtype(jnp.float32))
    variables = module.init(jax.random.key(seed), family.example_inputs(config))
    leaves = trees.flatten(variables["params"])
    for pattern, factor in _factors(family.name, config).items():
        for path in fnmatch.filter(leaves, pattern):
            leaves[path] = leaves[path] * np.float32(factor)
    return trees.unflatten(leaves)


def _factors(family: str, config: Any) -> dict[str, float]:
    if family == "gpt2":
        return {"h/*/c_proj/kernel": (2 * config.layers) ** -0.5}
    if family == "t5":
        return {
            "*/attention/q/kernel": config.head_dim**-0.5,
            "*/cross_attention/q/kernel": config.head_dim**-0.5,
            "shared/embedding": config.hidden**0.5 if config.scaled else 1.0,
        }
    return {}
