"""BERT (Devlin et al. 2019), the masked language model; RoBERTa is built from it."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import encoder, layers
from jaxsparse.models import operations as ops
from jaxsparse.models.config import Reader, absolute_positions, divides
from jaxsparse.models.family import Config, Family, Prunable, Tensors, head_is_tied
from jaxsparse.models.inputs import MaskedInputs
from jaxsparse.types import Array, InputError
from jaxsparse.weights.rules import Rule, Table, Tied, linear, norm


@dataclass(frozen=True, kw_only=True)
class BertConfig(Config):
    token_types: int
    hidden: int
    layers: int
    heads: int
    ffn: int
    activation: str
    head_activation: str
    norm_epsilon: float
    padding: int | None  # RoBERTa's padding token, behind which positions begin

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "BertConfig":
        """Reads config.json; what changes the maths and is not implemented raises."""
        return cls.read(
            reader,
            tensors,
            (
                "cls.predictions.decoder.weight",
                "bert.embeddings.word_embeddings.weight",
            ),
            head_activation=reader.activation("hidden_act"),
            padding=None,
        )

    @classmethod
    def read(
        cls,
        reader: Reader,
        tensors: Tensors,
        head: tuple[str, str],
        head_activation: str,
        padding: int | None,
    ) -> "BertConfig":
        """What both families read alike.

        Args:
            head: the tensor of the head, and that of the embedding.
        """
        hidden, heads = (
            reader.positive("hidden_size"),
            reader.positive("num_attention_heads"),
        )
        divides(heads, hidden, ("num_attention_heads", "hidden_size"))
        absolute_positions(reader)
        return cls(
            vocab=reader.positive("vocab_size"),
            positions=_longest(reader.positive("max_position_embeddings"), padding),
            token_types=reader.positive("type_vocab_size"),
            hidden=hidden,
            layers=reader.positive("num_hidden_layers"),
            heads=heads,
            ffn=reader.positive("intermediate_size"),
            activation=reader.activation("hidden_act"),
            head_activation=head_activation,
            norm_epsilon=reader.number("layer_norm_eps"),
            padding=padding,
            tied=head_is_tied(reader, tensors, *head),
        )

    @property
    def reading(self) -> str:
        return "masked"

    @property
    def mask_takes_space(self) -> bool:
        """RoBERTa's tokens begin with their spaces."""
        return self.padding is not None

    @property
    def embedding(self) -> int:
        return self.hidden

    @property
    def places(self) -> int:
        """Rows of the table of positions."""
        return self.positions + _skipped(self.padding)


def _skipped(padding: int | None) -> int:
    """Rows of the table of positions that no token has, but padding the last."""
    return 0 if padding is None else padding + 1


def _longest(places: int, padding: int | None) -> int:
    if (longest := places - _skipped(padding)) < 1:
        raise InputError(
            f"config.json: max_position_embeddings {places} must be more than "
            f"{_skipped(padding)}, pad_token_id and one"
        )
    return longest


class MaskedHead(nn.Module):
    """Predicts tokens from hidden states, by the embedding unless it is untied."""

    config: BertConfig
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "row scored hidden"],
        embedding: Float[Array, "vocab hidden"],
        targets: layers.Targets | None,
    ) -> Float[Array, "row scored vocab"] | Float[Array, ""]:
        config, dtype = self.config, hidden.dtype
        dense = layers.Linear(
            config.hidden, name="dense", dtype=dtype, activation=config.head_activation
        )
        hidden = layers.layer_norm(config.norm_epsilon, "norm", dtype)(dense(hidden))
        # Untied, transformers keeps this bias beside that of the decoder, unused.
        bias = layers.Bias(config.vocab, name="tied")()
        if config.tied:
            return layers.tied_head(hidden, embedding, bias, targets, form=self.form)
        head = layers.Head(config.vocab, True, self.form, name="decoder")
        return head(hidden, targets)


class Bert(nn.Module):
    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    form: Form = CPU
    everywhere: bool = False  # see `layers.through_layers`

    @nn.compact
    def __call__(
        self, inputs: MaskedInputs, targets: layers.Targets | None = None
    ) -> Float[Array, "row scored vocab"] | Float[Array, ""]:
        """Float32 logits at the scored positions only; of targets, where there are any,
        the summed cross entropy in nats."""
        config = self.config
        embeddings = encoder.Embeddings(
            config, config.places, self.dtype, name="embeddings"
        )
        positions = _positions(inputs.tokens, config.padding)
        hidden = embeddings(inputs.tokens, positions)
        mask = inputs.attention_mask[:, None, :]
        hidden = layers.through_layers(
            self, encoder.Block, "block", hidden, inputs.scored, mask
        )
        word = embeddings.variables["params"]["word"]["embedding"]
        return MaskedHead(config, self.form, name="head")(hidden, word, targets)


def _positions(
    tokens: Int[Array, "row position"], padding: int | None
) -> Int[Array, "#row position"]:
    """From 0 on; RoBERTa's behind that of the padding token, which is not counted
    wherever it stands."""
    if padding is None:
        return encoder.in_order(tokens)
    counted = tokens != padding
    return jnp.cumsum(counted, axis=1) * counted + padding


def operations(config: BertConfig) -> ops.Operations:
    head = ops.dense(config.hidden, config.hidden)
    head += ops.dense(config.hidden, config.vocab)
    return encoder.operations(config, 0, head)


PRUNABLE = Prunable(
    blocks=encoder.KERNELS,
    linear=("head/*/kernel",),
    embeddings=("embeddings/*/embedding",),
)

HEAD = ("head/decoder/kernel", "embeddings/word/embedding")
BIAS = ("head/decoder/bias", "head/tied/bias")  # the first from the second if untied


def masked_head(name: str, dense: str, layer_norm: str) -> tuple[Rule, ...]:
    """Of a head whose tensors begin with `name`."""
    return (
        *linear(f"{name}.{dense}", "head/dense"),
        *norm(f"{name}.{layer_norm}", "head/norm"),
        Rule(f"{name}.bias", "head/tied/bias"),
        *linear(f"{name}.decoder", "head/decoder"),
    )


def repeats(name: str, model: str) -> tuple[Tied, ...]:
    """Of the head's decoder, where it is tied."""
    return (
        Tied(f"{name}.decoder.weight", f"{model}.embeddings.word_embeddings.weight"),
        Tied(f"{name}.decoder.bias", f"{name}.bias"),
    )


TABLE = Table(
    rules=(
        *encoder.rules("bert"),
        *masked_head("cls.predictions", "transform.dense", "transform.LayerNorm"),
    ),
    tied=repeats("cls.predictions", "bert"),
    buffers=(
        encoder.buffers("bert"),
        # For whole texts, which a masked language model does not classify.
        r"bert\.pooler\.dense\.(weight|bias)",
        r"cls\.seq_relationship\.(weight|bias)",
    ),
    renames=encoder.RENAMES,
)

FAMILY = Family(
    name="bert",
    table=TABLE,
    read_config=BertConfig.from_hf,
    module=Bert,
    prunable=PRUNABLE,
    head=HEAD,
    head_bias=BIAS,
    operations=operations,
    stacks=encoder.stacks,
    structure=lambda config: encoder.STRUCTURE,
)
