"""T5 (Raffel et al. 2020) and 1.1: an encoder, a decoder over rows with branches."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import (
    branch_mask,
    merge_heads,
    split_heads,
)
from jaxsparse.models.family import (
    Biases,
    Family,
    Prunable,
    Removable,
    Size,
    Stack,
    Start,
    Structure,
    Sublayer,
    Units,
)
from jaxsparse.models.inputs import Seq2SeqInputs
from jaxsparse.models.relative_bias import RelativeBias
from jaxsparse.models.t5_config import EMBEDDINGS, HEAD, T5Config
from jaxsparse.types import Array
from jaxsparse.weights.rules import (
    Rule,
    Table,
    Tied,
    embedding,
    kernel,
    rms_norm,
)


class Attention(nn.Module):
    """T5's attention: no biases, no 1/sqrt(head_dim)."""

    config: T5Config
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "b q m"],
        context: Float[Array, "b k m"],
        mask: Bool[Array, "b #q k"],
        bias: Float[Array, "#b h q k"] | None,
        causal: bool = False,
    ) -> Float[Array, "b q m"]:
        config = self.config

        dense = functools.partial(layers.Linear, use_bias=False, dtype=hidden.dtype)
        inner = config.heads * config.head_dim
        query = split_heads(dense(inner, name="q")(hidden), config.heads)
        key = split_heads(dense(inner, name="k")(context), config.heads)
        value = split_heads(dense(inner, name="v")(context), config.heads)
        mixed = layers.attend(
            self, query, key, value, mask, bias=bias, causal=causal, form=self.form
        )
        return dense(config.hidden, name="o")(merge_heads(mixed))


class FeedForward(nn.Module):
    config: T5Config

    @nn.compact
    def __call__(self, hidden: Float[Array, "b q m"]) -> Float[Array, "b q m"]:
        config = self.config

        dense = functools.partial(layers.Linear, use_bias=False, dtype=hidden.dtype)
        name = "wi_0" if config.gated else "wi"
        inner = dense(config.ffn, name=name, activation=config.activation)
        out = dense(config.hidden, name="wo")
        if config.gated:
            return out(inner(hidden) * dense(config.ffn, name="wi_1")(hidden))
        return layers.feed_forward(inner, out, hidden)


def _norm(config: T5Config, name: str, dtype: jnp.dtype) -> nn.RMSNorm:
    return nn.RMSNorm(config.norm_epsilon, name=name, dtype=dtype)


class EncoderBlock(nn.Module):
    config: T5Config
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask, bias):
        del layer, read  # all alike, and at every position
        config, dtype = self.config, hidden.dtype
        normed = _norm(config, "attention_norm", dtype)(hidden)
        attend = Attention(config, self.form, name="attention")
        hidden += attend(normed, normed, mask, bias)
        normed = _norm(config, "mlp_norm", dtype)(hidden)
        return hidden + FeedForward(config, name="mlp")(normed), None


class DecoderBlock(nn.Module):
    config: T5Config
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask, bias, encoded, encoded_mask):
        del layer, read
        config, dtype = self.config, hidden.dtype
        normed = _norm(config, "attention_norm", dtype)(hidden)
        attend = Attention(config, self.form, name="attention")
        hidden += attend(normed, normed, mask, bias, causal=True)
        normed = _norm(config, "cross_attention_norm", dtype)(hidden)
        attend = Attention(config, self.form, name="cross_attention")
        hidden += attend(normed, encoded, encoded_mask, None)
        normed = _norm(config, "mlp_norm", dtype)(hidden)
        return hidden + FeedForward(config, name="mlp")(normed), None


class Encoder(nn.Module):
    config: T5Config
    form: Form

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "b k m"], mask: Bool[Array, "b 1 k"]
    ) -> Float[Array, "b k m"]:
        config = self.config
        positions = jnp.arange(hidden.shape[1])[None]
        bias = RelativeBias(config, bidirectional=True, name="relative_bias")(
            positions, positions
        )
        depth = config.encoder_layers
        hidden = layers.all_layers(
            self, EncoderBlock, "block", depth, hidden, mask, bias
        )
        return _norm(config, "norm", hidden.dtype)(hidden)


class Decoder(nn.Module):
    config: T5Config
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "b q m"],
        inputs: Seq2SeqInputs,
        encoded: Float[Array, "b k m"],
        encoded_mask: Bool[Array, "b 1 k"],
    ) -> Float[Array, "b s m"]:
        config = self.config
        bias = RelativeBias(config, bidirectional=False, name="relative_bias")(
            inputs.positions, inputs.positions
        )
        mask = branch_mask(inputs.branches)
        depth, context = config.decoder_layers, (mask, bias, encoded, encoded_mask)
        hidden = layers.all_layers(self, DecoderBlock, "block", depth, hidden, *context)
        hidden = layers.at_positions(hidden, inputs.scored)
        return _norm(config, "norm", hidden.dtype)(hidden)


class T5(nn.Module):
    config: T5Config
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    form: Form = CPU
    everywhere: bool = False  # it is in any case

    @nn.compact
    def __call__(
        self, inputs: Seq2SeqInputs, targets: layers.Targets | None = None
    ) -> Float[Array, "row scored vocab"] | Float[Array, ""]:
        """Float32 logits at the scored positions of the decoder only; of targets, where
        there are any, the summed cross entropy in nats."""
        config = self.config
        shared = nn.Embed(config.vocab, config.hidden, name="shared", dtype=self.dtype)
        mask = inputs.attention_mask[:, None, :]
        encoder = Encoder(config, self.form, name="encoder")
        encoded = encoder(shared(inputs.encoder_tokens), mask)
        decoder = Decoder(config, self.form, name="decoder")
        hidden = decoder(shared(inputs.tokens), inputs, encoded, mask)
        if config.scaled:
            hidden = hidden * jnp.asarray(config.hidden**-0.5, hidden.dtype)
        if config.tied:
            embedding = shared.embedding
            return layers.tied_head(hidden, embedding, None, targets, form=self.form)
        head = layers.Head(config.vocab, form=self.form, name="lm_head")
        return head(hidden, targets)


def operations(config: T5Config) -> ops.Operations:
    inner = config.heads * config.head_dim
    matrix = ops.dense(config.hidden, inner)  # q, k, v or o
    mlp = (3 if config.gated else 2) * ops.dense(config.hidden, config.ffn)
    encoder, decoder = config.encoder_layers, config.decoder_layers
    return ops.Operations(
        token=decoder * (4 * matrix + 2 * matrix + mlp),
        pair=decoder * ops.attention(inner),
        scored=ops.dense(config.hidden, config.vocab),
        encoder_token=encoder * (4 * matrix + mlp) + decoder * 2 * matrix,
        encoder_pair=encoder * ops.attention(inner),
        cross_pair=decoder * ops.attention(inner),
    )


PRUNABLE = Prunable(
    blocks=("encoder/block/*/*/kernel", "decoder/block/*/*/kernel"),
    linear=("lm_head/kernel",),
    embeddings=("shared/embedding", "*/relative_bias/embedding"),
)


def _attention(hf_name: str, path: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for name in "qkvo"
        for rule in kernel(f"{hf_name}.{name}", f"{path}/{name}")
    )


def _feed_forward_rules(hf_name: str, path: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for name in ("wi", "wi_0", "wi_1", "wo")
        for rule in kernel(f"{hf_name}.DenseReluDense.{name}", f"{path}/{name}")
    )


_ENCODER, _DECODER = "encoder.block.{i}.layer", "decoder.block.{i}.layer"
_BIAS = "block.0.layer.0.SelfAttention.relative_attention_bias"

TABLE = Table(
    rules=(
        *embedding("shared", "shared"),
        *embedding(f"encoder.{_BIAS}", "encoder/relative_bias"),
        *_attention(f"{_ENCODER}.0.SelfAttention", "encoder/block/attention"),
        *rms_norm(f"{_ENCODER}.0.layer_norm", "encoder/block/attention_norm"),
        *_feed_forward_rules(f"{_ENCODER}.1", "encoder/block/mlp"),
        *rms_norm(f"{_ENCODER}.1.layer_norm", "encoder/block/mlp_norm"),
        *rms_norm("encoder.final_layer_norm", "encoder/norm"),
        *embedding(f"decoder.{_BIAS}", "decoder/relative_bias"),
        *_attention(f"{_DECODER}.0.SelfAttention", "decoder/block/attention"),
        *rms_norm(f"{_DECODER}.0.layer_norm", "decoder/block/attention_norm"),
        *_attention(f"{_DECODER}.1.EncDecAttention", "decoder/block/cross_attention"),
        *rms_norm(f"{_DECODER}.1.layer_norm", "decoder/block/cross_attention_norm"),
        *_feed_forward_rules(f"{_DECODER}.2", "decoder/block/mlp"),
        *rms_norm(f"{_DECODER}.2.layer_norm", "decoder/block/mlp_norm"),
        *rms_norm("decoder.final_layer_norm", "decoder/norm"),
        *kernel("lm_head", "lm_head"),
    ),
    tied=tuple(Tied(name, EMBEDDINGS[0]) for name in (*EMBEDDINGS[1:], HEAD)),
    # In the original files, though the model has no such bias.
    buffers=(
        r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
    ),
)

ENCODER = (
    Sublayer(("attention/*/kernel",), "mlp_norm"),
    Sublayer(("mlp/*/kernel",)),
)
DECODER = (
    Sublayer(("attention/*/kernel",), "cross_attention_norm"),
    Sublayer(("cross_attention/*/kernel",), "mlp_norm"),
    Sublayer(("mlp/*/kernel",)),
)

CROSSING = ("cross_attention/k", "cross_attention/v")  # read what the encoder says

NEIGHBOURS = Biases(
    encoder="encoder/relative_bias/embedding",
    decoder="decoder/relative_bias/embedding",
    cross_query="decoder/block/cross_attention/q/kernel",
    cross_key="decoder/block/cross_attention/k/kernel",
)


def first_factors(config: T5Config) -> dict[str, float]:
    """Attention has no 1/sqrt(head_dim), and a tied head is scaled by hidden^-0.5: the
    former goes into the queries, the latter out of the embedding (as in its reference
    code)."""
    return {
        "encoder/block/*/o/kernel": (2 * config.encoder_layers) ** -0.5,
        "encoder/block/*/wo/kernel": (2 * config.encoder_layers) ** -0.5,
        "decoder/block/*/o/kernel": (3 * config.decoder_layers) ** -0.5,
        "decoder/block/*/wo/kernel": (3 * config.decoder_layers) ** -0.5,
        "*/attention/q/kernel": config.head_dim**-0.5,
        "*/cross_attention/q/kernel": config.head_dim**-0.5,
        "shared/embedding": config.hidden**0.5 if config.scaled else 1.0,
    }


def structure(config: T5Config) -> Structure:
    """The same number of units in every layer of both stacks, and of heads in every
    attention: a configuration has one width, and one number of heads.

    All layers of a stack lose the same heads of their self-attention, since one table
    of biases for distances serves them all. Cross-attention has no such table: there
    each layer loses the heads that it can best spare.
    """
    stacks = ("encoder/block", "decoder/block")
    gates = ("wi_0", "wi_1") if config.gated else ("wi",)
    neurons = tuple(
        Units(tuple(f"{stack}/mlp/{gate}" for gate in gates), (f"{stack}/mlp/wo",))
        for stack in stacks
    )
    return Structure(
        neurons=Removable(Size("ffn", "d_ff"), neurons),
        depths={
            "encoder/block": Size("encoder_layers", "num_layers"),
            "decoder/block": Size("decoder_layers", "num_decoder_layers"),
        },
        heads=Removable(
            Size("heads", "num_heads"),
            (
                _heads("encoder/block/attention", "encoder/relative_bias/embedding"),
                _heads("decoder/block/attention", "decoder/relative_bias/embedding"),
                _heads("decoder/block/cross_attention"),
            ),
            config.head_dim,
        ),
    )


def _heads(attention: str, biases: str = "") -> Units:
    read = tuple(f"{attention}/{name}" for name in "qkv")
    return Units(read, (f"{attention}/o",), biases)


FAMILY = Family(
    name="t5",
    relative_steps=True,
    table=TABLE,
    read_config=T5Config.from_hf,
    module=T5,
    prunable=PRUNABLE,
    head=("lm_head/kernel", "shared/embedding"),
    untied_config=lambda config: {
        "tie_word_embeddings": False,
        "scale_decoder_outputs": config.scaled,
    },
    operations=operations,
    stacks=lambda config: (
        Stack("encoder/block", EncoderBlock, config.encoder_layers, ENCODER, ("*",)),
        Stack("decoder/block", DecoderBlock, config.decoder_layers, DECODER, CROSSING),
    ),
    structure=structure,
    start=Start("unigrams", first_factors, NEIGHBOURS),
)
