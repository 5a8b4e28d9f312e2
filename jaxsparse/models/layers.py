"""What families share: activations, norms, heads, and the loop over layers.
Logits are float32 whatever the dtype of the weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int, Shaped

from jaxsparse import sparse
from jaxsparse.device import CPU, Form
from jaxsparse.models.attention import KEPT, attention
from jaxsparse.models.cross_entropy import summed_nats
from jaxsparse.types import Array

# What a gradient keeps of a layer: the rest, activations and norms, takes longer to be
# written and read than to be computed again.
PRODUCTS = jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_saveable,
    jax.checkpoint_policies.save_only_these_names(KEPT),
)
Activation = Callable[[Array], jax.Array]
# What is to be predicted at the scored positions, and where a row has as many.
Targets = tuple[Int[Array, "row scored"], Bool[Array, "row scored"]]


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


class Linear(nn.Module):
    """A linear layer, and an activation of what comes out. Its kernel may be one of
    sparse execution."""

    features: int
    use_bias: bool = True
    dtype: Any = None
    activation: str | None = None  # one of `ACTIVATIONS`
    dot_general: Callable[..., Any] | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "*rows in"]) -> Float[Array, "*rows out"]:
        kernel, bias = sparse_parameters(self)
        if kernel is None:
            dense = nn.Dense(
                self.features,
                use_bias=self.use_bias,
                dtype=self.dtype,
                dot_general=self.dot_general,
            )
            nn.share_scope(self, dense)
            return _activated(dense(inputs), self.activation)
        if not kernel.dense.shape[0]:
            return _sparse(inputs, kernel, bias, self.activation)
        place = kernel.place[kernel.layer]

        def dense(inputs: Array) -> jax.Array:
            outputs = inputs @ kernel.dense[jnp.maximum(place, 0)]
            return _activated(
                outputs if bias is None else outputs + bias, self.activation
            )

        return jax.lax.cond(
            place < 0,
            lambda inputs: _sparse(inputs, kernel, bias, self.activation),
            dense,
            inputs,
        )


def feed_forward(
    first: Linear,
    second: Linear,
    hidden: Float[Array, "*rows hidden"],
) -> Float[Array, "*rows hidden"]:
    """One linear layer after the other: of sparse execution in one step."""
    (kernel, bias), (last, last_bias) = map(sparse_parameters, (first, second))
    known = first.activation in sparse.ACTIVATIONS
    if kernel is None or last is None or not known:
        return second(first(hidden))
    if kernel.dense.shape[0] or last.dense.shape[0]:
        return second(first(hidden))
    return sparse.feed_forward(hidden, kernel, bias, first.activation, last, last_bias)


def sparse_parameters(
    module: nn.Module,
) -> tuple[sparse.SparseKernel | None, Float[Array, " out"] | None]:
    """Kernel and bias of a linear layer, if its kernel is sparse."""
    if not module.has_variable("params", "kernel"):
        return None, None
    kernel = module.get_variable("params", "kernel")
    if not isinstance(kernel, sparse.SparseKernel):
        return None, None
    return kernel, module.get_variable("params", "bias")


def attend(
    module: nn.Module,
    query: Float[Array, "b q h d"],
    key: Float[Array, "b k h d"],
    value: Float[Array, "b k h d"],
    mask: Bool[Array, "b #q k"],
    scale: float | Array = 1.0,
    bias: Float[Array, "#b h q k"] | None = None,
    causal: bool = False,
    *,
    form: Form,
) -> Float[Array, "b q h d"]:
    """`attention`, of a module whose linear layers are sparse by their kernel."""
    if _holds_sparse(module.variables.get("params")):
        return sparse.attention(query, key, value, mask, scale, bias)
    return attention(query, key, value, mask, scale, bias, causal, form=form)


def _sparse(
    inputs: Array,
    kernel: sparse.SparseKernel,
    bias: Array | None,
    activation: str | None,
) -> Array:
    """An activation that the kernel does not know comes after it."""
    inside = activation if activation in sparse.ACTIVATIONS else None
    outputs = sparse.linear(inputs, kernel, bias, inside)
    return outputs if inside == activation else _activated(outputs, activation)


def _activated(outputs: Array, activation: str | None) -> jax.Array:
    return ACTIVATIONS[activation](outputs) if activation else outputs  # pyright: ignore[reportReturnType]


def all_layers(
    parent: Any,
    block: type[nn.Module],
    name: str,
    depth: int,
    hidden: Float[Array, "row position hidden"],
    *context: Any,
) -> Float[Array, "row position hidden"]:
    """A stack of layers at every position: a scan, parameters stacked on axis 0.

    What enters is sown as `into_NAME` into the collection `entering`. Where `leaving`
    holds what comes out, that is taken: then somebody else runs the layers, see
    `statistics`. What leaves each layer is sown as `after_NAME` into the collection
    `hidden`, if somebody wants that.

    Args:
        block: of one layer; called with hidden states, the layer's number, the
            positions to go on with (None for all) and `context`.
    """
    into = f"into_{name}"
    parent.sow("entering", into, (hidden, context), reduce_fn=lambda _, new: new)
    if parent.has_variable("leaving", name):
        return parent.get_variable("leaving", name)
    if _holds_sparse(parent.variables.get("params", {}).get(name)):
        # flax would cut what a sparse kernel holds of all layers along axis 0.
        return _scan(_layer_of(parent, block, name, context), hidden, depth)
    wanted = parent.is_mutable_collection("hidden") and not parent.is_initializing()

    def layer(block: Any, hidden: Array, number: Array, *context: Any) -> Any:
        hidden, _ = block(hidden, number, None, *context)
        return hidden, hidden if wanted else None

    scanned = nn.scan(
        layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(0, *[nn.broadcast] * len(context)),  # pyright: ignore[reportArgumentType]
        length=depth,
    )
    policy = None if parent.form.remat else PRODUCTS
    kind: Any = nn.remat(block, prevent_cse=False, policy=policy)
    stack = kind(parent.config, parent.form, name=name)
    hidden, states = scanned(stack, hidden, jnp.arange(depth), *context)
    if wanted:
        parent.sow("hidden", f"after_{name}", states, reduce_fn=lambda _, new: new)
    return hidden


def through_layers(
    parent: Any,
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
        block: as `all_layers` has it.
    """
    config = parent.config
    if parent.everywhere or parent.is_initializing():
        hidden = all_layers(parent, block, name, config.layers, hidden, *context)
        return at_positions(hidden, scored)

    layer = _layer_of(parent, block, name, context)
    hidden = _scan(layer, hidden, config.layers - 1)
    hidden, _ = layer(hidden, jnp.int32(config.layers - 1), scored)
    return hidden


def _layer_of(
    parent: Any, block: type[nn.Module], name: str, context: tuple[Any, ...]
) -> Callable[..., Any]:
    """A block as a function of hidden states, the layer's number, and the positions to
    go on with."""
    stacked = parent.variables["params"][name]
    single: Any = block(parent.config, parent.form, parent=None)

    def layer(hidden, number, read):
        # Indexed here, since a slice of all layers but the last would be a copy.
        params = jax.tree.map(lambda leaf: leaf[number], stacked, is_leaf=_is_sparse)
        return single.apply({"params": params}, hidden, number, read, *context)

    return jax.checkpoint(layer) if parent.form.remat else layer


def _scan(
    layer: Callable[..., Any], hidden: Float[Array, "row position hidden"], depth: int
) -> Float[Array, "row position hidden"]:
    """The first so many layers, at every position."""
    hidden, _ = jax.lax.scan(
        lambda hidden, number: layer(hidden, number, None), hidden, jnp.arange(depth)
    )
    return hidden


def _holds_sparse(params: Any) -> bool:
    return any(map(_is_sparse, jax.tree.leaves(params, is_leaf=_is_sparse)))


def _is_sparse(leaf: Any) -> bool:
    return isinstance(leaf, sparse.SparseKernel)


def at_positions(
    values: Shaped[Array, "row position feature"], scored: Int[Array, "row scored"]
) -> Shaped[Array, "row scored feature"]:
    """Hidden states, or their masks, at the scored positions."""
    return jnp.take_along_axis(values, scored[:, :, None], axis=1)


class Head(nn.Module):
    """An LM head of its own, kernel (hidden, vocab): float32 logits from any dtype."""

    vocab: int
    use_bias: bool = False
    form: Form = CPU

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "b q m"], targets: Targets | None = None
    ) -> Float[Array, "b q v"] | Float[Array, ""]:
        """Logits; of targets, where there are any, the summed cross entropy."""
        if targets is not None:
            params = self.variables["params"]
            kernel = params["kernel"].astype(hidden.dtype)
            bias = params.get("bias")
            return summed_nats(hidden, kernel.T, bias, *targets, self.form)

        def dot_general(x, kernel, dimensions, **_):
            return jax.lax.dot_general(
                x, kernel, dimensions, preferred_element_type=jnp.float32
            )

        head = Linear(
            self.vocab,
            use_bias=self.use_bias,
            dtype=hidden.dtype,
            dot_general=dot_general,
        )
        nn.share_scope(self, head)
        return head(hidden)


def tied_head(
    hidden: Float[Array, "b q m"],
    embedding: Float[Array, "v m"],
    bias: Float[Array, " v"] | None = None,
    targets: Targets | None = None,
    *,
    form: Form,
) -> Float[Array, "b q v"] | Float[Array, ""]:
    """Float32 logits against the token embedding itself; of targets, where there are
    any, the summed cross entropy."""
    embedding = embedding.astype(hidden.dtype)
    if targets is not None:
        return summed_nats(hidden, embedding, bias, *targets, form)
    logits = jnp.einsum(
        "bqm,vm->bqv", hidden, embedding, preferred_element_type=jnp.float32
    )
    return logits if bias is None else logits + bias


def lm_head(
    hidden: Float[Array, "b q m"],
    embed: nn.Embed,
    tied: bool,
    targets: Targets | None = None,
    *,
    form: Form,
) -> Float[Array, "b q v"] | Float[Array, ""]:
    """The same by the token embedding, or by a kernel of the head's own, `lm_head`."""
    if tied:
        return tied_head(hidden, embed.embedding, None, targets, form=form)
    return Head(embed.num_embeddings, form=form, name="lm_head")(hidden, targets)


def layer_norm(
    epsilon: float, name: str, dtype: jnp.dtype, affine: bool = True
) -> nn.LayerNorm:
    """Variance as torch takes it, around the mean: the fast form loses digits."""
    return nn.LayerNorm(
        epsilon,
        name=name,
        dtype=dtype,
        use_bias=affine,
        use_scale=affine,
        use_fast_variance=False,
    )


class Bias(nn.Module):
    """The bias of a head whose kernel is the token embedding."""

    features: int

    @nn.compact
    def __call__(self) -> Float[Array, " features"]:
        return self.param("bias", nn.initializers.zeros_init(), (self.features,))
