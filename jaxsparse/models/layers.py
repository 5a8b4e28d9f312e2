"""What the three families share: activations, masks, attention and the gather of scored
positions. Softmax and logits are float32 whatever the dtype of the weights.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.types import Array

PADDING = -1  # the branch id of a padded position
PREFIX = 0  # the branch id of the shared prefix; branches count from 1

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


def branch_mask(
    branches: Int[Array, "row position"],
) -> Bool[Array, "row position position"]:
    """True where a query position (axis 1) may attend to a key position (axis 2).

    prefix   p0 p1 … pC
    branch 1 └▶ a0 a1 a2     sees p0 … pC and what precedes it in its own branch
    branch 2 └▶ b0 b1        never sees branch 1
    """
    order = jnp.arange(branches.shape[1])
    keys, queries = branches[:, None, :], branches[:, :, None]
    causal = order[None, None, :] <= order[None, :, None]
    return causal & ((keys == PREFIX) | (keys == queries)) & (keys != PADDING)


def attention(
    query: Float[Array, "b q h d"],
    key: Float[Array, "b k h d"],
    value: Float[Array, "b k h d"],
    mask: Bool[Array, "b #q k"],
    scale: float | Array = 1.0,
    bias: Float[Array, "#b h q k"] | None = None,
) -> Float[Array, "b q h d"]:
    """Softmax attention with float32 weights; a row that sees nothing is finite."""
    weights = jnp.einsum(
        "bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32
    )
    weights = weights * scale
    if bias is not None:
        weights = weights + bias
    weights = jnp.where(mask[:, None], weights, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(weights, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


def split_heads(hidden: Float[Array, "b q m"], heads: int) -> Float[Array, "b q h d"]:
    return hidden.reshape(*hidden.shape[:-1], heads, -1)


def merge_heads(hidden: Float[Array, "b q h d"]) -> Float[Array, "b q m"]:
    return hidden.reshape(*hidden.shape[:-2], -1)


def at_positions(
    hidden: Float[Array, "row position hidden"], scored: Int[Array, "row scored"]
) -> Float[Array, "row scored hidden"]:
    """The hidden states at the scored positions: only these reach the vocabulary."""
    return jnp.take_along_axis(hidden, scored[:, :, None], axis=1)


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
