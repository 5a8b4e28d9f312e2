"""The configurations of Llama and of what is built like it: Mistral, Qwen2, Qwen3."""

from dataclasses import dataclass

from jaxsparse.models import rotary
from jaxsparse.models.config import Reader, divides, windowed
from jaxsparse.models.family import CausalConfig, Tensors, head_is_tied
from jaxsparse.types import InputError

LAYER_TYPES = ("full_attention", "sliding_attention")
WINDOW = 4096  # transformers' where the file does not have the key


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(CausalConfig):
    hidden: int
    layers: int
    heads: int
    key_value_heads: int  # each serves as many heads as any other
    head_dim: int
    ffn: int
    activation: str
    norm_epsilon: float
    rotary: rotary.Rotary
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    head_norms: bool  # of each head's query and key
    numbered: str  # the key of config.json by which a layer's number counts, or ""

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "LlamaConfig":
        """Reads config.json; what changes the maths and is not implemented raises."""
        kind = reader.model_type
        hidden, heads = (
            reader.positive("hidden_size"),
            reader.positive("num_attention_heads"),
        )
        key_value_heads = _key_value_heads(reader, heads)
        divides(key_value_heads, heads, ("num_key_value_heads", "num_attention_heads"))
        head_dim = _head_dim(reader, hidden, heads)
        positions = reader.positive("max_position_embeddings")
        layers = reader.positive("num_hidden_layers")
        window, numbered = _window(reader, layers)
        biased = kind in ("llama", "qwen3") and reader.flag("attention_bias")
        # By which Llama 2's reference code cut its products into parts, no more.
        reader.given("pretraining_tp")
        return cls(
            vocab=reader.positive("vocab_size"),
            positions=windowed(positions, window),
            hidden=hidden,
            layers=layers,
            heads=heads,
            key_value_heads=key_value_heads,
            head_dim=head_dim,
            ffn=reader.positive("intermediate_size"),
            activation=reader.activation("hidden_act"),
            norm_epsilon=reader.number("rms_norm_eps"),
            rotary=rotary.read(reader, head_dim, positions),
            qkv_bias=biased or kind == "qwen2",
            output_bias=biased,
            mlp_bias=kind == "llama" and reader.flag("mlp_bias"),
            head_norms=kind == "qwen3",
            numbered=numbered,
            tied=head_is_tied(
                reader, tensors, "lm_head.weight", "model.embed_tokens.weight"
            ),
        )


def _head_dim(reader: Reader, hidden: int, heads: int) -> int:
    """As transformers derives it where the file does not say; Qwen3 has a default."""
    given = reader.given("head_dim") is not None
    if reader.model_type == "llama" or not (given or reader.model_type == "qwen3"):
        divides(heads, hidden, ("num_attention_heads", "hidden_size"))
    if given or reader.model_type == "qwen3":
        return reader.positive("head_dim")
    return hidden // heads


def _key_value_heads(reader: Reader, heads: int) -> int:
    """As many as heads where the file does not say; Mistral and Qwen have a default,
    and null means the same as for Llama."""
    key = "num_key_value_heads"
    value = reader.given(key) if reader.model_type == "llama" else reader.get(key)
    return heads if value is None else reader.positive(key)


def _window(reader: Reader, layers: int) -> tuple[int | None, str]:
    """How many tokens a token sees, itself among them, in layers with sliding windows;
    None where there is no such layer. And the key that says which by their number."""
    if reader.model_type == "llama":
        return None, ""
    size = WINDOW
    if "sliding_window" in reader:
        given = reader.given("sliding_window")
        size = None if given is None else reader.positive("sliding_window")
    if reader.model_type == "mistral":
        return size, ""
    if not reader.flag("use_sliding_window"):
        size = None
    kinds = reader.given("layer_types")
    reader.given("max_window_layers")  # counts where nothing else tells
    if kinds is None:
        slides = size is not None and layers > reader.natural("max_window_layers")
        return (size, "max_window_layers") if slides else (None, "")
    known = isinstance(kinds, list) and all(kind in LAYER_TYPES for kind in kinds)
    if not known or len(kinds) != layers:
        raise InputError(
            f"config.json: layer_types must say {' or '.join(LAYER_TYPES)} for each of "
            f"{layers} layers: {kinds!r}"
        )
    if LAYER_TYPES[1] not in kinds:
        return None, ""
    if size is None:
        raise InputError(
            f"config.json: layer_types has {LAYER_TYPES[1]}, but no window is in use"
        )
    return size, ""
