"""ELECTRA's configuration: which of the two models it is, and its sizes."""

from dataclasses import dataclass

from jaxsparse.models.config import Reader, absolute_positions, divides
from jaxsparse.models.family import Config, Tensors, head_is_tied
from jaxsparse.types import InputError

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(Config):
    role: str  # generator or discriminator
    token_types: int
    embedding: int
    hidden: int
    layers: int
    heads: int
    ffn: int
    activation: str
    norm_epsilon: float

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "ElectraConfig":
        """Reads config.json; which of the two models it is, the tensors say."""
        hidden, heads = (
            reader.positive("hidden_size"),
            reader.positive("num_attention_heads"),
        )
        divides(heads, hidden, ("num_attention_heads", "hidden_size"))
        absolute_positions(reader)
        role = _role(tensors)
        return cls(
            role=role,
            vocab=reader.positive("vocab_size"),
            positions=reader.positive("max_position_embeddings"),
            token_types=reader.positive("type_vocab_size"),
            embedding=reader.positive("embedding_size"),
            hidden=hidden,
            layers=reader.positive("num_hidden_layers"),
            heads=heads,
            ffn=reader.positive("intermediate_size"),
            activation=reader.activation("hidden_act"),
            norm_epsilon=reader.number("layer_norm_eps"),
            tied=role == GENERATOR
            and head_is_tied(
                reader,
                tensors,
                "generator_lm_head.weight",
                "electra.embeddings.word_embeddings.weight",
            ),
        )

    @property
    def reading(self) -> str:
        return "replaced" if self.role == DISCRIMINATOR else "masked"


def _role(tensors: Tensors) -> str:
    generator = "generator_predictions.dense.weight" in tensors
    discriminator = "discriminator_predictions.dense.weight" in tensors
    if generator == discriminator:
        raise InputError(
            "an ELECTRA checkpoint holds generator_predictions or "
            "discriminator_predictions; this one holds "
            f"{'both' if generator else 'none'}"
        )
    return GENERATOR if generator else DISCRIMINATOR
