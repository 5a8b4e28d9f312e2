"""GPT-2 (Radford et al. 2019): a causal language model over rows with branches."""

import functools
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import (
    branch_mask,
    merge_heads,
    split_heads,
)
from jaxsparse.models.config import Reader, divides
from jaxsparse.models.family import (
    CausalConfig,
    Family,
    Prunable,
    Removable,
    Size,
    Stack,
    Start,
    Structure,
    Sublayer,
    Tensors,
    Units,
    Waves,
    head_is_tied,
)
from jaxsparse.models.inputs import CausalInputs
from jaxsparse.types import Array
from jaxsparse.weights.rules import (
    Rename,
    Table,
    Tied,
    conv1d,
    embedding,
    kernel,
    norm,
)


@dataclass(frozen=True, kw_only=True)
class GPT2Config(CausalConfig):
    hidden: int
    layers: int
    heads: int
    ffn: int
    activation: str
    norm_epsilon: float
    scale_by_head_dim: bool
    scale_by_inverse_layer: bool

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "GPT2Config":
        """Reads config.json; what changes the maths and is not implemented raises.

        `reorder_and_upcast_attn` asks for float32 attention weights, which every
        dtype gets here.
        """
        hidden, heads = reader.positive("n_embd"), reader.positive("n_head")
        divides(heads, hidden, ("n_head", "n_embd"))
        inner = reader.get("n_inner")
        return cls(
            vocab=reader.positive("vocab_size"),
            positions=reader.positive("n_positions"),
            hidden=hidden,
            layers=reader.positive("n_layer"),
            heads=heads,
            ffn=4 * hidden if inner is None else reader.positive("n_inner"),
            activation=reader.activation("activation_function"),
            norm_epsilon=reader.number("layer_norm_epsilon"),
            scale_by_head_dim=reader.flag("scale_attn_weights"),
            scale_by_inverse_layer=reader.flag("scale_attn_by_inverse_layer_idx"),
            tied=head_is_tied(
                reader, tensors, "lm_head.weight", "transformer.wte.weight"
            ),
        )

    @property
    def first(self) -> str:
        return "<|endoftext|>"


class Attention(nn.Module):
    config: GPT2Config
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "b k m"],
        layer: Int[Array, ""],
        read: Int[Array, "b q"] | None,
        mask: Bool[Array, "b q k"],
    ) -> Float[Array, "b q m"]:
        config = self.config
        dense = functools.partial(layers.Linear, dtype=hidden.dtype)
        fused = dense(3 * config.hidden, name="c_attn")(hidden)
        query, key, value = jnp.split(fused, 3, -1)
        if read is not None:
            query = layers.at_positions(query, read)
        query, key, value = (
            split_heads(part, config.heads) for part in (query, key, value)
        )
        scale = query.shape[-1] ** -0.5 if config.scale_by_head_dim else 1.0
        if config.scale_by_inverse_layer:
            scale = scale / (layer + 1)
        mixed = layers.attend(
            self, query, key, value, mask, scale, causal=read is None, form=self.form
        )
        return dense(config.hidden, name="c_proj")(merge_heads(mixed))


class FeedForward(nn.Module):
    config: GPT2Config

    @nn.compact
    def __call__(self, hidden: Float[Array, "b q m"]) -> Float[Array, "b q m"]:
        config = self.config
        dense = functools.partial(layers.Linear, dtype=hidden.dtype)
        inner = dense(config.ffn, name="c_fc", activation=config.activation)
        return layers.feed_forward(inner, dense(config.hidden, name="c_proj"), hidden)


class Block(nn.Module):
    config: GPT2Config
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask):
        norm_1 = layers.layer_norm(self.config.norm_epsilon, "ln_1", hidden.dtype)
        norm_2 = layers.layer_norm(self.config.norm_epsilon, "ln_2", hidden.dtype)
        normed = norm_1(hidden)
        if read is not None:
            hidden, mask = (layers.at_positions(x, read) for x in (hidden, mask))
        attend = Attention(self.config, self.form, name="attn")
        hidden += attend(normed, layer, read, mask)
        hidden += FeedForward(self.config, name="mlp")(norm_2(hidden))
        return hidden, None


class GPT2(nn.Module):
    config: GPT2Config
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
        wte = nn.Embed(config.vocab, config.hidden, name="wte", dtype=self.dtype)
        wpe = nn.Embed(config.positions, config.hidden, name="wpe", dtype=self.dtype)
        hidden = wte(inputs.tokens) + wpe(inputs.positions)

        mask = branch_mask(inputs.branches)
        hidden = layers.through_layers(self, Block, "h", hidden, inputs.scored, mask)
        hidden = layers.layer_norm(config.norm_epsilon, "ln_f", self.dtype)(hidden)
        return layers.lm_head(hidden, wte, config.tied, targets, form=self.form)


def operations(config: GPT2Config) -> ops.Operations:
    hidden, before = config.hidden, config.layers - 1
    keys_values = 2 * ops.dense(hidden, hidden)
    rest = 2 * ops.dense(hidden, hidden) + 2 * ops.dense(hidden, config.ffn)
    return ops.Operations(
        token=before * (keys_values + rest) + keys_values,
        pair=before * ops.attention(hidden),
        scored=rest + ops.dense(hidden, config.vocab),
        scored_pair=ops.attention(hidden),
    )


PRUNABLE = Prunable(
    blocks=("h/attn/*/kernel", "h/mlp/*/kernel"),
    linear=("lm_head/kernel",),
    embeddings=("wte/embedding", "wpe/embedding"),
)

SUBLAYERS = (Sublayer(("attn/*/kernel",), "ln_2"), Sublayer(("mlp/*/kernel",)))

TABLE = Table(
    rules=(
        *embedding("transformer.wte", "wte"),
        *embedding("transformer.wpe", "wpe"),
        *norm("transformer.h.{i}.ln_1", "h/ln_1"),
        *conv1d("transformer.h.{i}.attn.c_attn", "h/attn/c_attn"),
        *conv1d("transformer.h.{i}.attn.c_proj", "h/attn/c_proj"),
        *norm("transformer.h.{i}.ln_2", "h/ln_2"),
        *conv1d("transformer.h.{i}.mlp.c_fc", "h/mlp/c_fc"),
        *conv1d("transformer.h.{i}.mlp.c_proj", "h/mlp/c_proj"),
        *norm("transformer.ln_f", "ln_f"),
        *kernel("lm_head", "lm_head"),
    ),
    tied=(Tied("lm_head.weight", "transformer.wte.weight"),),
    buffers=(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",),
    # Saved from GPT2Model, as the hub's gpt2 is, names lack their prefix.
    renames=(Rename(r"(wte|wpe|h|ln_f)\.", r"transformer.\1."),),
)


def structure(config: GPT2Config) -> Structure:
    """Without heads: their size is hidden / heads in transformers' format."""
    scaled = config.scale_by_inverse_layer
    return Structure(
        neurons=Removable(
            Size("ffn", "n_inner"), (Units(("h/mlp/c_fc",), ("h/mlp/c_proj",)),)
        ),
        depths={"h": Size("layers", "n_layer")},
        numbered="scale_attn_by_inverse_layer_idx" if scaled else "",
    )


FAMILY = Family(
    name="gpt2",
    table=TABLE,
    read_config=GPT2Config.from_hf,
    module=GPT2,
    prunable=PRUNABLE,
    head=("lm_head/kernel", "wte/embedding"),
    operations=operations,
    stacks=lambda config: (Stack("h", Block, config.layers, SUBLAYERS),),
    structure=structure,
    start=Start(
        tokenizer="byte pairs",
        factors=lambda config: {"h/*/c_proj/kernel": (2 * config.layers) ** -0.5},
        neighbours=Waves("wpe/embedding", ("h/attn/c_attn/kernel",)),
    ),
)
