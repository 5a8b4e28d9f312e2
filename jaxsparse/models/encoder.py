"""The encoder of Devlin et al. (2019), which BERT, RoBERTa and ELECTRA share: learned
positions, and a norm behind every sum.

A family's configuration says `vocab`, `token_types`, `embedding`, `hidden`, `layers`,
`heads`, `ffn`, `activation` and `norm_epsilon`; the rest of a model is its own.
"""

import functools
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from jaxsparse.device import Form
from jaxsparse.models import layers
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import merge_heads, split_heads
from jaxsparse.models.family import Removable, Size, Stack, Structure, Sublayer, Units
from jaxsparse.types import Array
from jaxsparse.weights.rules import Rename, Rule, embedding, linear, norm


class Embeddings(nn.Module):
    config: Any
    positions: int  # rows of their table
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "row position"],
        positions: Int[Array, "#row position"],
    ) -> Float[Array, "row position embedding"]:
        config, dtype = self.config, self.dtype
        embed = functools.partial(nn.Embed, features=config.embedding, dtype=dtype)
        table = embed(config.vocab, name="word")
        position = embed(self.positions, name="position")
        token_type = embed(config.token_types, name="token_type")
        # One segment: every token is of type 0.
        hidden = table(tokens) + token_type(jnp.zeros_like(tokens))
        # Rows fit; their padding may not, and must stay finite to be ignored.
        hidden += position(jnp.minimum(positions, self.positions - 1))
        return layers.layer_norm(config.norm_epsilon, "norm", dtype)(hidden)


def in_order(tokens: Int[Array, "row position"]) -> Int[Array, "1 position"]:
    """Positions from 0 on."""
    return jnp.arange(tokens.shape[1])[None]


class Block(nn.Module):
    config: Any
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask):
        del layer  # all alike
        config, dtype = self.config, hidden.dtype

        dense = functools.partial(layers.Linear, dtype=dtype)

        key, value = (
            dense(config.hidden, name=name)(hidden) for name in ("key", "value")
        )
        if read is not None:
            hidden = layers.at_positions(hidden, read)
        query = dense(config.hidden, name="query")(hidden)
        query, key, value = (
            split_heads(part, config.heads) for part in (query, key, value)
        )
        scale = query.shape[-1] ** -0.5
        mixed = layers.attend(self, query, key, value, mask, scale, form=self.form)
        mixed = dense(config.hidden, name="attention_output")(merge_heads(mixed))
        hidden = layers.layer_norm(config.norm_epsilon, "attention_norm", dtype)(
            hidden + mixed
        )

        inner = layers.feed_forward(
            dense(config.ffn, name="intermediate", activation=config.activation),
            dense(config.hidden, name="output"),
            hidden,
        )
        return layers.layer_norm(config.norm_epsilon, "output_norm", dtype)(
            hidden + inner
        ), None


def operations(config: Any, entering: int, head: int) -> ops.Operations:
    """Of a model with this encoder.

    Args:
        entering: operations of a token before the first layer.
        head: of a scored position behind the last.
    """
    hidden, before = config.hidden, config.layers - 1
    keys_values = 2 * ops.dense(hidden, hidden)
    rest = 2 * ops.dense(hidden, hidden) + 2 * ops.dense(hidden, config.ffn)
    return ops.Operations(
        token=entering + before * (keys_values + rest) + keys_values,
        pair=before * ops.attention(hidden),
        scored=rest + head,
        scored_pair=ops.attention(hidden),
    )


ATTENTION = ("query", "key", "value", "attention_output")
FEED_FORWARD = ("intermediate", "output")
KERNELS = tuple(f"block/{name}/kernel" for name in ATTENTION + FEED_FORWARD)

SUBLAYERS = (  # each norm comes behind its sum
    Sublayer(tuple(f"{name}/kernel" for name in ATTENTION), "intermediate"),
    Sublayer(tuple(f"{name}/kernel" for name in FEED_FORWARD)),
)

# Without heads: their size is hidden / heads in transformers' format.
STRUCTURE = Structure(
    neurons=Removable(
        Size("ffn", "intermediate_size"),
        (Units(("block/intermediate",), ("block/output",)),),
    ),
    depths={"block": Size("layers", "num_hidden_layers")},
)


def stacks(config: Any) -> tuple[Stack, ...]:
    return (Stack("block", Block, config.layers, SUBLAYERS),)


def rules(model: str) -> tuple[Rule, ...]:
    """Of embeddings and layers, by the name that the model has in its tensors."""
    embeddings, layer = f"{model}.embeddings", f"{model}.encoder.layer.{{i}}"
    return (
        *embedding(f"{embeddings}.word_embeddings", "embeddings/word"),
        *embedding(f"{embeddings}.position_embeddings", "embeddings/position"),
        *embedding(f"{embeddings}.token_type_embeddings", "embeddings/token_type"),
        *norm(f"{embeddings}.LayerNorm", "embeddings/norm"),
        *linear(f"{layer}.attention.self.query", "block/query"),
        *linear(f"{layer}.attention.self.key", "block/key"),
        *linear(f"{layer}.attention.self.value", "block/value"),
        *linear(f"{layer}.attention.output.dense", "block/attention_output"),
        *norm(f"{layer}.attention.output.LayerNorm", "block/attention_norm"),
        *linear(f"{layer}.intermediate.dense", "block/intermediate"),
        *linear(f"{layer}.output.dense", "block/output"),
        *norm(f"{layer}.output.LayerNorm", "block/output_norm"),
    )


def buffers(model: str) -> str:
    return rf"{model}\.embeddings\.(position_ids|token_type_ids)"


RENAMES = (
    Rename(r"(.*LayerNorm\.)gamma$", r"\1weight"),
    Rename(r"(.*LayerNorm\.)beta$", r"\1bias"),
)
