"""GPT-NeoX (Black et al. 2022), as Pythia is built: a causal language model over rows
with branches, whose attention and feed-forward layer may run side by side."""

import functools
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers, rotary
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import branch_mask, merge_heads, split_heads
from jaxsparse.models.config import Reader, divides
from jaxsparse.models.family import (
    CausalConfig,
    Family,
    Prunable,
    Removable,
    Size,
    Stack,
    Structure,
    Sublayer,
    Tensors,
    Units,
    head_is_tied,
)
from jaxsparse.models.inputs import CausalInputs
from jaxsparse.types import Array, InputError
from jaxsparse.weights.rules import (
    Rename,
    Table,
    Tied,
    embedding,
    kernel,
    linear,
    norm,
)


@dataclass(frozen=True, kw_only=True)
class GPTNeoXConfig(CausalConfig):
    hidden: int
    layers: int
    heads: int
    ffn: int
    activation: str
    norm_epsilon: float
    rotary: rotary.Rotary
    parallel: bool  # attention and feed-forward are given the same, side by side
    attention_bias: bool

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "GPTNeoXConfig":
        """Reads config.json; what changes the maths and is not implemented raises."""
        hidden, heads = (
            reader.positive("hidden_size"),
            reader.positive("num_attention_heads"),
        )
        divides(heads, hidden, ("num_attention_heads", "hidden_size"))
        # No key of the class, but transformers takes rotary positions from it.
        if reader.given("head_dim") not in (None, hidden // heads):
            raise InputError(
                f"config.json: head_dim {reader.given('head_dim')!r} is not "
                f"implemented of gpt_neox; known: {hidden // heads}"
            )
        positions = reader.positive("max_position_embeddings")
        reader.given("is_decoder")  # it is one, whatever the file says
        return cls(
            vocab=reader.positive("vocab_size"),
            positions=positions,
            hidden=hidden,
            layers=reader.positive("num_hidden_layers"),
            heads=heads,
            ffn=reader.positive("intermediate_size"),
            activation=reader.activation("hidden_act"),
            norm_epsilon=reader.number("layer_norm_eps"),
            rotary=rotary.read(
                reader, hidden // heads, positions, "rotary_emb_base", "rotary_pct"
            ),
            parallel=reader.flag("use_parallel_residual"),
            attention_bias=reader.flag("attention_bias"),
            tied=head_is_tied(
                reader, tensors, "embed_out.weight", "gpt_neox.embed_in.weight"
            ),
        )


class Attention(nn.Module):
    config: GPTNeoXConfig
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "b k m"],
        read: Int[Array, "b q"] | None,
        mask: Bool[Array, "b q k"],
        turn: rotary.Turn,
    ) -> Float[Array, "b q m"]:
        config = self.config
        dense = functools.partial(
            layers.Linear, use_bias=config.attention_bias, dtype=hidden.dtype
        )
        fused = dense(3 * config.hidden, name="query_key_value")(hidden)
        # Head by head, and of each its query, key and value.
        query, key, value = jnp.split(split_heads(fused, config.heads), 3, axis=-1)
        query, key = rotary.turned(query, turn), rotary.turned(key, turn)
        if read is not None:
            query = jnp.take_along_axis(query, read[:, :, None, None], axis=1)
        mixed = layers.attend(
            self,
            query,
            key,
            value,
            mask,
            query.shape[-1] ** -0.5,
            causal=read is None,
            form=self.form,
        )
        return dense(config.hidden, name="dense")(merge_heads(mixed))


class FeedForward(nn.Module):
    config: GPTNeoXConfig

    @nn.compact
    def __call__(self, hidden: Float[Array, "b q m"]) -> Float[Array, "b q m"]:
        config = self.config
        dense = functools.partial(layers.Linear, dtype=hidden.dtype)
        return layers.feed_forward(
            dense(config.ffn, name="dense_h_to_4h", activation=config.activation),
            dense(config.hidden, name="dense_4h_to_h"),
            hidden,
        )


class Block(nn.Module):
    config: GPTNeoXConfig
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask, turn):
        del layer  # all alike
        epsilon, dtype = self.config.norm_epsilon, hidden.dtype
        normed = layers.layer_norm(epsilon, "input_layernorm", dtype)(hidden)
        if read is not None:
            hidden, mask = (layers.at_positions(x, read) for x in (hidden, mask))
        mixed = Attention(self.config, self.form, name="attention")(
            normed, read, mask, turn
        )
        given = hidden if self.config.parallel else hidden + mixed
        normed = layers.layer_norm(epsilon, "post_attention_layernorm", dtype)(given)
        inner = FeedForward(self.config, name="mlp")(normed)
        return hidden + mixed + inner, None


class GPTNeoX(nn.Module):
    config: GPTNeoXConfig
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
        embed = nn.Embed(config.vocab, config.hidden, name="embed_in", dtype=self.dtype)
        hidden = embed(inputs.tokens)
        mask = branch_mask(inputs.branches)
        turn = config.rotary.turn(inputs.positions, self.dtype)
        hidden = layers.through_layers(
            self, Block, "layers", hidden, inputs.scored, mask, turn
        )
        norm = layers.layer_norm(config.norm_epsilon, "final_layer_norm", self.dtype)
        hidden = norm(hidden)
        return layers.lm_head(hidden, embed, config.tied, targets, form=self.form)


def operations(config: GPTNeoXConfig) -> ops.Operations:
    """Queries come with keys and values, in one product, at every position."""
    hidden, before = config.hidden, config.layers - 1
    fused = 3 * ops.dense(hidden, hidden)
    rest = ops.dense(hidden, hidden) + 2 * ops.dense(hidden, config.ffn)
    return ops.Operations(
        token=before * (fused + rest) + fused,
        pair=before * ops.attention(hidden),
        scored=rest + ops.dense(hidden, config.vocab),
        scored_pair=ops.attention(hidden),
    )


PRUNABLE = Prunable(
    blocks=("layers/attention/*/kernel", "layers/mlp/*/kernel"),
    linear=("lm_head/kernel",),
    embeddings=("embed_in/embedding",),
)

ATTENTION, FEED_FORWARD = "attention/*/kernel", "mlp/*/kernel"

_LAYER = "gpt_neox.layers.{i}"

TABLE = Table(
    rules=(
        *embedding("gpt_neox.embed_in", "embed_in"),
        *norm(f"{_LAYER}.input_layernorm", "layers/input_layernorm"),
        *linear(
            f"{_LAYER}.attention.query_key_value", "layers/attention/query_key_value"
        ),
        *linear(f"{_LAYER}.attention.dense", "layers/attention/dense"),
        *norm(f"{_LAYER}.post_attention_layernorm", "layers/post_attention_layernorm"),
        *linear(f"{_LAYER}.mlp.dense_h_to_4h", "layers/mlp/dense_h_to_4h"),
        *linear(f"{_LAYER}.mlp.dense_4h_to_h", "layers/mlp/dense_4h_to_h"),
        *norm("gpt_neox.final_layer_norm", "final_layer_norm"),
        *kernel("embed_out", "lm_head"),
    ),
    tied=(Tied("embed_out.weight", "gpt_neox.embed_in.weight"),),
    buffers=(
        r"gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",
    ),
    renames=(Rename(r"lm_head\.", "embed_out."),),  # as the class has it, not its files
)


def structure(config: GPTNeoXConfig) -> Structure:
    """Without heads: their size is hidden / heads in transformers' format."""
    return Structure(
        neurons=Removable(
            Size("ffn", "intermediate_size"),
            (Units(("layers/mlp/dense_h_to_4h",), ("layers/mlp/dense_4h_to_h",)),),
        ),
        depths={"layers": Size("layers", "num_hidden_layers")},
    )


def stacks(config: GPTNeoXConfig) -> tuple[Stack, ...]:
    """Side by side, attention and feed-forward are one sublayer: one sum takes both."""
    sublayers = (
        (Sublayer((ATTENTION, FEED_FORWARD)),)
        if config.parallel
        else (
            Sublayer((ATTENTION,), "post_attention_layernorm"),
            Sublayer((FEED_FORWARD,)),
        )
    )
    return (Stack("layers", Block, config.layers, sublayers),)


FAMILY = Family(
    name="gpt_neox",
    table=TABLE,
    read_config=GPTNeoXConfig.from_hf,
    module=GPTNeoX,
    prunable=PRUNABLE,
    head=("lm_head/kernel", "embed_in/embedding"),
    operations=operations,
    stacks=stacks,
    structure=structure,
)
