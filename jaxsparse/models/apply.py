"""The forward function of a configuration, as the rest of the house calls it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32

from jaxsparse.device import Form
from jaxsparse.models.family import Family
from jaxsparse.trees import flatten, unflatten
from jaxsparse.types import Array, InputError, Leaves

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

    def apply(params: Leaves, inputs: Any) -> jax.Array:
        nested = unflatten(params)  # flax alone takes parameters nested
        with _precision(dtype):
            return module.apply({"params": nested}, inputs)  # pyright: ignore[reportReturnType]

    return apply


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerStates:
    """What leaves every layer of one stack."""

    states: Float32[Array, "layer row position hidden"]  # before any norm at the end
    attended: Bool[Array, "row position"]  # True at real tokens


TextLoss = Callable[[Leaves, Any, Array, Array], jax.Array]


def make_text_loss(family: Family, config: Any, dtype: str, form: Form) -> TextLoss:
    """What running text costs, as training wants it: `(params, inputs, targets, valid)
    -> the summed cross entropy` of the valid targets in nats, float32.

    The same as of the logits that `make_apply(everywhere=True)` gives, but these are
    never there all at once, and what a gradient needs is computed with the loss.

    Raises:
        InputError: the model predicts no tokens.
    """
    if config.reading == "replaced":
        raise InputError(
            "a discriminator predicts no tokens of a text; train it on questions"
        )
    module = family.module(config, jnp.dtype(dtype), form, everywhere=True)

    def text_loss(
        params: Leaves, inputs: Any, targets: Array, valid: Array
    ) -> jax.Array:
        with _precision(dtype):
            return module.apply(  # pyright: ignore[reportReturnType]
                {"params": unflatten(params)}, inputs, (targets, valid)
            )

    return text_loss


ApplyWithStates = Callable[[Leaves, Any], tuple[jax.Array, dict[str, LayerStates]]]


def make_apply_with_states(
    family: Family, config: Any, dtype: str, form: Form
) -> ApplyWithStates:
    """`make_apply` that gives the hidden states behind every layer too.

    What comes out is `(outputs, states)`: outputs as of `make_apply(everywhere=True)`,
    states by path of the stack, which is `h` for GPT-2, `block` for ELECTRA, and
    `encoder/block` and `decoder/block` for T5. Gradients go through both.
    """
    module = family.module(config, jnp.dtype(dtype), form, everywhere=True)
    stacks = family.stacks(config)

    def apply(params: Leaves, inputs: Any) -> tuple[jax.Array, dict[str, LayerStates]]:
        variables = {"params": unflatten(params)}
        with _precision(dtype):
            outputs, sown = module.apply(variables, inputs, mutable=["hidden"])
        states = flatten(sown["hidden"])
        return outputs, {  # pyright: ignore[reportReturnType]
            stack.path: LayerStates(
                states[_after(stack.path)].astype(jnp.float32), stack.attended(inputs)
            )
            for stack in stacks
        }

    return apply


def _after(path: str) -> str:
    """Where `layers.all_layers` sows what leaves the layers of a stack."""
    *parents, name = path.split("/")
    return "/".join((*parents, f"after_{name}"))


def _precision(dtype: str) -> Any:
    return jax.default_matmul_precision("highest" if dtype == "float32" else "default")


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
