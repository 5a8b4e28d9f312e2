"""Llama (Touvron et al. 2023) and what is built like it: Mistral, Qwen2 and Qwen3.

A causal language model over rows with branches: RMS norms, rotary positions, queries
that share keys and values in groups, a gated feed-forward layer.
"""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers, rotary
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import branch_mask, merge_heads, split_heads
from jaxsparse.models.family import (
    Family,
    Prunable,
    Removable,
    Size,
    Stack,
    Structure,
    Sublayer,
    Units,
)
from jaxsparse.models.inputs import CausalInputs
from jaxsparse.models.llama_config import LlamaConfig
from jaxsparse.types import Array
from jaxsparse.weights.rules import (
    Rename,
    Table,
    Tied,
    embedding,
    kernel,
    linear,
    rms_norm,
)


class Attention(nn.Module):
    config: LlamaConfig
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "b k m"],
        read: Int[Array, "b q"] | None,
        mask: Bool[Array, "b q k"],
        turn: rotary.Turn,
    ) -> Float[Array, "b q m"]:
        config, dtype = self.config, hidden.dtype

        def heads(name: str, number: int, hidden: Array) -> Float[Array, "b p h d"]:
            inner = number * config.head_dim
            project = layers.Linear(
                inner, config.qkv_bias, name=f"{name}_proj", dtype=dtype
            )
            return split_heads(project(hidden), number)

        key = heads("k", config.key_value_heads, hidden)
        value = heads("v", config.key_value_heads, hidden)
        if read is not None:
            hidden = layers.at_positions(hidden, read)
        query = heads("q", config.heads, hidden)
        if config.head_norms:
            norm = functools.partial(nn.RMSNorm, config.norm_epsilon, dtype=dtype)
            query, key = norm(name="q_norm")(query), norm(name="k_norm")(key)
        key = rotary.turned(key, turn)
        if read is not None:
            cosine, sine = (layers.at_positions(part, read) for part in turn)
            turn = cosine, sine
        query = rotary.turned(query, turn)
        key, value = (
            jnp.repeat(part, config.heads // config.key_value_heads, axis=2)
            for part in (key, value)
        )
        scale = config.head_dim**-0.5
        mixed = layers.attend(
            self, query, key, value, mask, scale, causal=read is None, form=self.form
        )
        out = layers.Linear(
            config.hidden, config.output_bias, name="o_proj", dtype=dtype
        )
        return out(merge_heads(mixed))


class FeedForward(nn.Module):
    config: LlamaConfig

    @nn.compact
    def __call__(self, hidden: Float[Array, "b q m"]) -> Float[Array, "b q m"]:
        config = self.config
        dense = functools.partial(
            layers.Linear, use_bias=config.mlp_bias, dtype=hidden.dtype
        )
        gate = dense(config.ffn, name="gate_proj", activation=config.activation)
        up = dense(config.ffn, name="up_proj")
        return dense(config.hidden, name="down_proj")(gate(hidden) * up(hidden))


class Block(nn.Module):
    config: LlamaConfig
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask, turn):
        del layer  # all alike
        norm = functools.partial(
            nn.RMSNorm, self.config.norm_epsilon, dtype=hidden.dtype
        )
        normed = norm(name="input_layernorm")(hidden)
        if read is not None:
            hidden, mask = (layers.at_positions(x, read) for x in (hidden, mask))
        attend = Attention(self.config, self.form, name="self_attn")
        hidden += attend(normed, read, mask, turn)
        normed = norm(name="post_attention_layernorm")(hidden)
        return hidden + FeedForward(self.config, name="mlp")(normed), None


class Llama(nn.Module):
    config: LlamaConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    form: Form = CPU
    everywhere: bool = False  # see `layers.through_layers`

    @nn.compact
    def __call__(
        self, inputs: CausalInputs, targets: layers.Targets | None = None
    ) -> Float[Array, "row scored vocab"] | Float[Array, ""]:
        """Float32 logits at the scored positions only; of targets, where there are any,
        the summed cross entropy in nats."""
        config = self.config
        embed = nn.Embed(
            config.vocab, config.hidden, name="embed_tokens", dtype=self.dtype
        )
        hidden = embed(inputs.tokens)
        mask = branch_mask(inputs.branches)
        turn = config.rotary.turn(inputs.positions, self.dtype)
        hidden = layers.through_layers(
            self, Block, "layers", hidden, inputs.scored, mask, turn
        )
        norm = nn.RMSNorm(config.norm_epsilon, name="norm", dtype=self.dtype)
        hidden = norm(hidden)
        return layers.lm_head(hidden, embed, config.tied, targets, form=self.form)


def operations(config: LlamaConfig) -> ops.Operations:
    inner = config.heads * config.head_dim
    shared = config.key_value_heads * config.head_dim
    before, matrix = config.layers - 1, ops.dense(config.hidden, inner)
    keys_values = 2 * ops.dense(config.hidden, shared)
    rest = 2 * matrix + 3 * ops.dense(config.hidden, config.ffn)
    return ops.Operations(
        token=before * (keys_values + rest) + keys_values,
        pair=before * ops.attention(inner),
        scored=rest + ops.dense(config.hidden, config.vocab),
        scored_pair=ops.attention(inner),
    )


PRUNABLE = Prunable(
    blocks=("layers/self_attn/*/kernel", "layers/mlp/*/kernel"),
    linear=("lm_head/kernel",),
    embeddings=("embed_tokens/embedding",),
)

SUBLAYERS = (
    Sublayer(("self_attn/*/kernel",), "post_attention_layernorm"),
    Sublayer(("mlp/*/kernel",)),
)

_LAYER = "model.layers.{i}"

TABLE = Table(
    rules=(
        *embedding("model.embed_tokens", "embed_tokens"),
        *rms_norm(f"{_LAYER}.input_layernorm", "layers/input_layernorm"),
        *(
            rule
            for name in ("q_proj", "k_proj", "v_proj", "o_proj")
            for rule in linear(f"{_LAYER}.self_attn.{name}", f"layers/self_attn/{name}")
        ),
        *rms_norm(f"{_LAYER}.self_attn.q_norm", "layers/self_attn/q_norm"),
        *rms_norm(f"{_LAYER}.self_attn.k_norm", "layers/self_attn/k_norm"),
        *rms_norm(
            f"{_LAYER}.post_attention_layernorm", "layers/post_attention_layernorm"
        ),
        *(
            rule
            for name in ("gate_proj", "up_proj", "down_proj")
            for rule in linear(f"{_LAYER}.mlp.{name}", f"layers/mlp/{name}")
        ),
        *rms_norm("model.norm", "norm"),
        *kernel("lm_head", "lm_head"),
    ),
    tied=(Tied("lm_head.weight", "model.embed_tokens.weight"),),
    # In older files; it follows from the configuration.
    buffers=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
    # Saved from LlamaModel, names lack their prefix.
    renames=(Rename(r"(embed_tokens|layers|norm)\.", r"model.\1."),),
)


def structure(config: LlamaConfig) -> Structure:
    """Without heads: those that share a key would have to go together."""
    gates = ("layers/mlp/gate_proj", "layers/mlp/up_proj")
    return Structure(
        neurons=Removable(
            Size("ffn", "intermediate_size"), (Units(gates, ("layers/mlp/down_proj",)),)
        ),
        depths={"layers": Size("layers", "num_hidden_layers")},
        numbered=config.numbered,
        listed={"layers": "layer_types"},
    )


FAMILY = Family(
    name="llama",
    table=TABLE,
    read_config=LlamaConfig.from_hf,
    module=Llama,
    prunable=PRUNABLE,
    head=("lm_head/kernel", "embed_tokens/embedding"),
    operations=operations,
    stacks=lambda config: (Stack("layers", Block, config.layers, SUBLAYERS),),
    structure=structure,
    model_types=("llama", "mistral", "qwen2", "qwen3"),
)
