"""What the three families share: activations, norms, heads, and the loop over layers.
Logits are float32 whatever the dtype of the weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int, Shaped

from jaxsparse.types import Array

Activation = Callable[[Array], jax.Array]


ACTIVATIONS: dict[str, Activation] = {
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "gelu_fast": nn.gelu,
    "gelu_new": nn.gelu,
    "gelu_python": lambda x: nn.gelu(x, approximate=False),
    "gelu_pytorch_tanh": nn.gelu,
    "quick_gelu": lambda x: jax.nn.sigmoid(1.702 * x) * x,
    "relu": nn.relu,
    "relu2": lambda x: jnp.square(nn.relu(x)),
    "silu": nn.silu,
    "swish": nn.silu,
    "tanh": jnp.tanh,
}


def scan_layers(
    block: type[nn.Module], length: int, in_axes: Any = nn.broadcast
) -> Callable[..., nn.Module]:
    """The block `length` times, parameters stacked on axis 0.

    Every scan declares the collection `calibration`, so that an interceptor can sow
    statistics of each layer's inputs; without it sow under scan silently returns
    nothing.
    """
    return nn.scan(
        block,
        variable_axes={"params": 0, "calibration": 0},  # pyright: ignore[reportArgumentType]
        split_rngs={"params": True},
        in_axes=in_axes,
        length=length,
    )


def through_layers(
    parent: nn.Module,
    block: type[nn.Module],
    name: str,
    hidden: Float[Array, "row position hidden"],
    scored: Int[Array, "row scored"],
    *context: Any,
) -> Float[Array, "row scored hidden"]:
    """All layers but the last at every position, the last one only where it is read.

    A position that is not scored gives the last layer its key and value, no more. Where
    the rest is wanted too (parameters are made, statistics gathered, gradients taken)
    every layer is at every position; what comes out is the same.

    Args:
        parent: holds the stacked parameters of the blocks by `name`; its config says
            how many they are, its `form` how they are computed, its `everywhere`
            whether gradients will be taken.
        block: of one layer; called with hidden states, the layer's number, the
            positions to go on with (None for all) and `context`.
    """
    config, form = parent.config, parent.form  # pyright: ignore[reportAttributeAccessIssue]
    everywhere = parent.everywhere or parent.is_mutable_collection("calibration")  # pyright: ignore[reportAttributeAccessIssue]
    if everywhere or parent.is_initializing():
        axes = (0, *[nn.broadcast] * (1 + len(context)))
        blocks = scan_layers(block, config.layers, in_axes=axes)(
            config, form, name=name
        )
        hidden, _ = blocks(hidden, jnp.arange(config.layers), None, *context)
        return at_positions(hidden, scored)

    stacked = parent.variables["params"][name]
    single = block(config, form, parent=None)

    def layer(hidden, number, read):
        # Indexed here, since a slice of all layers but the last would be a copy.
        params = jax.tree.map(lambda leaf: leaf[number], stacked)
        return single.apply({"params": params}, hidden, number, read, *context)

    hidden, _ = jax.lax.scan(
        lambda hidden, number: layer(hidden, number, None),
        hidden,
        jnp.arange(config.layers - 1),
    )
    hidden, _ = layer(hidden, jnp.int32(config.layers - 1), scored)
    return hidden


def at_positions(
    values: Shaped[Array, "row position feature"], scored: Int[Array, "row scored"]
) -> Shaped[Array, "row scored feature"]:
    """Hidden states, or their masks, at the scored positions."""
    return jnp.take_along_axis(values, scored[:, :, None], axis=1)


class Head(nn.Module):
    """An LM head of its own, kernel (hidden, vocab): float32 logits from any dtype."""

    vocab: int
    use_bias: bool = False

    @nn.compact
    def __call__(self, hidden: Float[Array, "b q m"]) -> Float[Array, "b q v"]:
        def dot_general(x, kernel, dimensions, **_):
            return jax.lax.dot_general(
                x, kernel, dimensions, preferred_element_type=jnp.float32
            )

        head = nn.Dense(
            self.vocab,
            use_bias=self.use_bias,
            dtype=hidden.dtype,
            dot_general=dot_general,
        )
        nn.share_scope(self, head)
        return head(hidden)


def tied_logits(
    hidden: Float[Array, "b q m"], embedding: Float[Array, "v m"]
) -> Float[Array, "b q v"]:
    """Float32 logits against the token embedding itself."""
    return jnp.einsum(
        "bqm,vm->bqv", hidden, embedding, preferred_element_type=jnp.float32
    )


def layer_norm(epsilon: float, name: str, dtype: jnp.dtype) -> nn.LayerNorm:
    """Variance as torch takes it, around the mean: the fast form loses digits."""
    return nn.LayerNorm(epsilon, name=name, dtype=dtype, use_fast_variance=False)


class Bias(nn.Module):
    """The bias of a head whose kernel is the token embedding."""

    features: int

    @nn.compact
    def __call__(self) -> Float[Array, " features"]:
        return self.param("bias", nn.initializers.zeros_init(), (self.features,))
