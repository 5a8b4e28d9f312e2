"""The forward function of a configuration, as the rest of the house calls it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxsparse.models.family import Family
from jaxsparse.trees import unflatten
from jaxsparse.types import Leaves

Apply = Callable[[Leaves, Any], jax.Array]


def make_apply(
    family: Family, config: Any, dtype: str, everywhere: bool = False
) -> Apply:
    """The forward function of a configuration; float32 is float32 on every device.

    Args:
        everywhere: as training wants it: the last layer at every position, too, which
            takes longer, but whose gradient takes less.
    """
    module = family.module(config, jnp.dtype(dtype), everywhere)
    precision = "highest" if dtype == "float32" else "default"

    def apply(params: Leaves, inputs: Any) -> jax.Array:
        nested = unflatten(params)  # flax alone takes parameters nested
        with jax.default_matmul_precision(precision):
            return module.apply({"params": nested}, inputs)  # pyright: ignore[reportReturnType]

    return apply
