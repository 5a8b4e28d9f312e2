"""T5's configuration, as config.json and the tensors of a checkpoint say it."""

from dataclasses import dataclass
from typing import Any

from jaxsparse.models import layers
from jaxsparse.models.config import Reader
from jaxsparse.models.family import Config, Tensors
from jaxsparse.types import InputError

EMBEDDINGS = (  # one tensor, under the names that files have for it
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)
HEAD = "lm_head.weight"


@dataclass(frozen=True, kw_only=True)
class T5Config(Config):
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
    found = [name for name in EMBEDDINGS if name in tensors]
    if HEAD not in tensors or not found:
        return flag is not False
    return not tensors.differ(HEAD, found[0])


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
