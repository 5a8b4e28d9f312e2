"""The forward function of a configuration, as the rest of the house calls it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxsparse.device import Form
from jaxsparse.models.family import Family
from jaxsparse.trees import unflatten
from jaxsparse.types import Leaves

Apply = Callable[[Leaves, Any], jax.Array]


def make_apply(
    family: Family, config: Any, dtype: str, form: Form, everywhere: bool = False
) -> Apply:
    """The forward function of a configuration; float32 is float32 on every device.

    Args:
        form: what suits the device, as `device.current` says.
        everywhere: as training wants it: the last layer at every position, too, which
            takes longer, but whose gradient takes less.
    """
    module = family.module(config, jnp.dtype(dtype), form, everywhere)
    precision = "highest" if dtype == "float32" else "default"

    def apply(params: Leaves, inputs: Any) -> jax.Array:
        nested = unflatten(params)  # flax alone takes parameters nested
        with jax.default_matmul_precision(precision):
            return module.apply({"params": nested}, inputs)  # pyright: ignore[reportReturnType]

    return apply


def in_parts(apply: Apply, tokens: int) -> Apply:
    """The same for a few rows after another, of so many tokens together: what a batch
    must hold (a question has up to dozens of rows) is more than a CPU's caches do."""

    def apply_in_parts(params: Leaves, inputs: Any) -> jax.Array:
        rows, length = inputs.tokens.shape
        length += getattr(inputs, "encoder_tokens", inputs.tokens[:, :0]).shape[1]
        few = max(tokens // length, 1)
        if rows <= few:
            return apply(params, inputs)
        count = -(-rows // few)
        part = -(-rows // count)

        def divided(field: jax.Array) -> jax.Array:
            missing = [(0, count * part - rows)] + [(0, 0)] * (field.ndim - 1)
            return jnp.pad(field, missing).reshape(count, part, *field.shape[1:])

        parts = jax.tree.map(divided, inputs)
        outputs = jax.lax.map(lambda some: apply(params, some), parts)
        return outputs.reshape(-1, *outputs.shape[2:])[:rows]

    return apply_in_parts
