"""T5 (Raffel et al. 2020) and 1.1: an encoder, a decoder over rows with branches."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import (
    attention,
    branch_mask,
    merge_heads,
    split_heads,
)
from jaxsparse.models.config import Reader
from jaxsparse.models.family import Biases, Family, Prunable, Start, Tensors
from jaxsparse.models.inputs import Seq2SeqInputs
from jaxsparse.types import Array, InputError
from jaxsparse.weights.rules import (
    Rule,
    Table,
    Tied,
    embedding,
    kernel,
    rms_norm,
)

EMBEDDINGS = (  # one tensor, under the names that files have for it
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class T5Config:
    vocab: int
    positions: int  # of the encoder's text, in tokens; the decoder has no limit
    hidden: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    head_dim: int
    ffn: int
    activation: str
    gated: bool
    buckets: int  # relative positions share this many biases
    max_distance: int  # beyond which they all share one
    norm_epsilon: float
    scaled: bool  # the decoder's output by hidden^-0.5
    tied: bool

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "T5Config":
        """Reads config.json of transformers 4 or 5.

        transformers 5 writes `tie_word_embeddings` true whatever it was given, so the
        tensors decide whether the head is tied; the flag still says whether the output
        is scaled where `scale_decoder_outputs` does not. Only transformers 4 wrote the
        flag false, for models of version 1.1, each with a head of its own: a file that
        has none by now lacks it.
        """
        activation, gated = _feed_forward(reader)
        buckets, max_distance = _distances(reader)
        scaled = reader.given("scale_decoder_outputs")
        flag = reader.given("tie_word_embeddings")
        encoder_layers = reader.positive("num_layers")
        return cls(
            vocab=reader.positive("vocab_size"),
            positions=512
            if reader.given("n_positions") is None
            else reader.positive("n_positions"),
            hidden=reader.positive("d_model"),
            encoder_layers=encoder_layers,
            decoder_layers=encoder_layers
            if reader.given("num_decoder_layers") is None
            else reader.positive("num_decoder_layers"),
            heads=reader.positive("num_heads"),
            head_dim=reader.positive("d_kv"),
            ffn=reader.positive("d_ff"),
            activation=activation,
            gated=gated,
            buckets=buckets,
            max_distance=max_distance,
            norm_epsilon=reader.number("layer_norm_epsilon"),
            scaled=flag is not False
            if scaled is None
            else reader.flag("scale_decoder_outputs"),
            tied=_is_tied(tensors, flag),
        )

    @property
    def reading(self) -> str:
        return "seq2seq"

    def untied(self) -> "T5Config":
        return dataclasses.replace(self, tied=False)


def _distances(reader: Reader) -> tuple[int, int]:
    """Buckets and their largest distance; transformers divides by zero for fewer."""
    buckets, distance = (
        reader.positive(f"relative_attention_{name}")
        for name in ("num_buckets", "max_distance")
    )
    if buckets < 4 or distance <= buckets // 2:
        raise InputError(
            f"config.json: relative_attention_num_buckets {buckets} must be 4 or more, "
            f"and relative_attention_max_distance {distance} more than half of it"
        )
    return buckets, distance


def _is_tied(tensors: Tensors, flag: Any) -> bool:
    """Whether the head is the embedding, under the first of its names in the file."""
    held = [name for name in EMBEDDINGS if name in tensors]
    if HEAD not in tensors or not held:
        return flag is not False
    return not tensors.differ(HEAD, held[0])


def _feed_forward(reader: Reader) -> tuple[str, bool]:
    """The activation and whether it is gated: "relu", "gated-gelu", …"""
    value = reader.get("feed_forward_proj")
    *gate, activation = str(value).split("-")
    if gate not in ([], ["gated"]) or activation not in layers.ACTIVATIONS:
        raise InputError(f"config.json: feed_forward_proj {value!r}: not implemented")
    # transformers' "gated-gelu" is the tanh approximation: it predates the names.
    gelu = "gelu_new" if value == "gated-gelu" else activation
    for key, expected in (("dense_act_fn", gelu), ("is_gated_act", bool(gate))):
        if reader.given(key) not in (None, expected):
            raise InputError(
                f"config.json: {key} {reader.given(key)!r} contradicts "
                f"feed_forward_proj {value!r}"
            )
    return gelu, bool(gate)


def bucket_table(buckets: int, max_distance: int) -> np.ndarray:
    """The bucket of each distance 0 … max_distance in one direction; int32.

    Half of the buckets hold one distance each, the others logarithmic ranges
    (Raffel et al. 2020, section 2.1). Computed in float32, as torch does: at the edges
    of ranges the rounding decides, and this is settled once on the host.
    """
    exact = buckets // 2
    distance = np.arange(max_distance + 1, dtype=np.float32)
    ratio = _log(np.maximum(distance, 1) / np.float32(exact))
    large = exact + (
        ratio / np.float32(math.log(max_distance / exact)) * np.float32(buckets - exact)
    ).astype(np.int32)
    return np.where(distance < exact, distance, np.minimum(large, buckets - 1)).astype(
        np.int32
    )


def _log(x: np.ndarray) -> np.ndarray:
    """Logarithms in float32, with the rounding errors of torch's on CPUs.

    Those of mantissa (1 + r) and exponent are added in float32. With 36 buckets for 98
    distances, log(42/18) / log(98/18) is one half: numpy's logarithms fall short of it.
    """
    exponent = np.floor(np.log2(1.5 * x)).astype(np.float32)
    r = np.ldexp(x, -exponent.astype(np.int32)) - np.float32(1)
    high = np.float32(45426 / 65536)  # of log(2): its product with exponents is exact
    low = np.float32(math.log(2) - float(high))
    wide = np.where(r == 0, 1, r).astype(np.float64)
    rest = ((np.log1p(wide) - wide) / wide**2).astype(np.float32)
    return (r + r * rest * r) + exponent * low + exponent * high


class RelativeBias(nn.Module):
    """What a head adds for the distance between two positions; shared by all layers."""

    config: T5Config
    bidirectional: bool

    @nn.compact
    def __call__(
        self,
        queries: Int[Array, "#b q"],
        keys: Int[Array, "#b k"],
    ) -> Float[Array, "#b h q k"]:
        config = self.config
        relative = keys[:, None, :] - queries[:, :, None]
        buckets = config.buckets // 2 if self.bidirectional else config.buckets
        table = jnp.asarray(bucket_table(buckets, config.max_distance))
        if self.bidirectional:
            distance, ahead = jnp.abs(relative), (relative > 0) * buckets
        else:
            distance, ahead = jnp.maximum(-relative, 0), 0
        bucket = table[jnp.minimum(distance, config.max_distance)] + ahead
        bias = nn.Embed(config.buckets, config.heads, name="relative_bias")
        nn.share_scope(self, bias)
        return jnp.einsum("bqkh->bhqk", bias(bucket).astype(jnp.float32))


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

        dense = functools.partial(nn.Dense, use_bias=False, dtype=hidden.dtype)
        inner = config.heads * config.head_dim
        query = split_heads(dense(inner, name="q")(hidden), config.heads)
        key = split_heads(dense(inner, name="k")(context), config.heads)
        value = split_heads(dense(inner, name="v")(context), config.heads)
        mixed = attention(
            query, key, value, mask, bias=bias, causal=causal, form=self.form
        )
        return dense(config.hidden, name="o")(merge_heads(mixed))


class FeedForward(nn.Module):
    config: T5Config

    @nn.compact
    def __call__(self, hidden: Float[Array, "b q m"]) -> Float[Array, "b q m"]:
        config = self.config

        dense = functools.partial(nn.Dense, use_bias=False, dtype=hidden.dtype)
        activation = layers.ACTIVATIONS[config.activation]
        if config.gated:
            inner = activation(dense(config.ffn, name="wi_0")(hidden))
            inner = inner * dense(config.ffn, name="wi_1")(hidden)
        else:
            inner = activation(dense(config.ffn, name="wi")(hidden))
        return dense(config.hidden, name="wo")(inner)


def _norm(config: T5Config, name: str, dtype: jnp.dtype) -> nn.RMSNorm:
    return nn.RMSNorm(config.norm_epsilon, name=name, dtype=dtype)


class EncoderBlock(nn.Module):
    config: T5Config
    form: Form

    @nn.compact
    def __call__(self, hidden, mask, bias):
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
    def __call__(self, hidden, mask, bias, encoded, encoded_mask):
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
        blocks = layers.scan_layers(EncoderBlock, config.encoder_layers)(
            config, self.form, name="block"
        )
        hidden, _ = blocks(hidden, mask, bias)
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
        blocks = layers.scan_layers(DecoderBlock, config.decoder_layers)(
            config, self.form, name="block"
        )
        hidden, _ = blocks(hidden, mask, bias, encoded, encoded_mask)
        hidden = layers.at_positions(hidden, inputs.scored)
        return _norm(config, "norm", hidden.dtype)(hidden)


class T5(nn.Module):
    config: T5Config
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    form: Form = CPU
    everywhere: bool = False  # it is in any case

    @nn.compact
    def __call__(self, inputs: Seq2SeqInputs) -> Float[Array, "row scored vocab"]:
        """Float32 logits at the scored positions of the decoder only."""
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
            return layers.tied_logits(hidden, shared.embedding.astype(self.dtype))
        return layers.Head(config.vocab, name="lm_head")(hidden)


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


FAMILY = Family(
    name="t5",
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
    start=Start("unigrams", first_factors, NEIGHBOURS),
)
