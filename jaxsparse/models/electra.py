"""ELECTRA (Clark et al. 2020): the generator, a masked language model, and the
discriminator, which tells replaced tokens from original ones."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers
from jaxsparse.models import operations as ops
from jaxsparse.models.attention import merge_heads, split_heads
from jaxsparse.models.electra_config import DISCRIMINATOR, ElectraConfig
from jaxsparse.models.family import (
    Family,
    Prunable,
    Removable,
    Size,
    Stack,
    Start,
    Structure,
    Sublayer,
    Units,
    Waves,
)
from jaxsparse.models.inputs import MaskedInputs
from jaxsparse.types import Array
from jaxsparse.weights.rules import (
    Rename,
    Table,
    Tied,
    embedding,
    linear,
    norm,
)


class Embeddings(nn.Module):
    config: ElectraConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, tokens: Int[Array, "row position"]
    ) -> Float[Array, "row position embedding"]:
        config, dtype = self.config, self.dtype
        table = nn.Embed(config.vocab, config.embedding, name="word", dtype=dtype)
        position = nn.Embed(
            config.positions, config.embedding, name="position", dtype=dtype
        )
        token_type = nn.Embed(
            config.token_types, config.embedding, name="token_type", dtype=dtype
        )
        # One segment: every token is of type 0.
        hidden = table(tokens) + token_type(jnp.zeros_like(tokens))
        # Rows fit; their padding may not, and must stay finite to be ignored.
        places = jnp.minimum(jnp.arange(tokens.shape[1]), config.positions - 1)
        hidden += position(places)[None]
        return layers.layer_norm(config.norm_epsilon, "norm", dtype)(hidden)


class Block(nn.Module):
    config: ElectraConfig
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


class GeneratorHead(nn.Module):
    """The masked-LM head: back to the embedding's size, then the vocabulary."""

    config: ElectraConfig
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "row scored hidden"],
        embedding: Float[Array, "vocab embedding"],
        targets: layers.Targets | None,
    ) -> Float[Array, "row scored vocab"] | Float[Array, ""]:
        config, dtype = self.config, hidden.dtype
        # transformers has this activation fixed, whatever hidden_act says.
        dense = layers.Linear(
            config.embedding, name="dense", dtype=dtype, activation="gelu"
        )
        hidden = layers.layer_norm(config.norm_epsilon, "norm", dtype)(dense(hidden))
        if not config.tied:
            head = layers.Head(config.vocab, True, self.form, name="lm_head")
            return head(hidden, targets)
        bias = layers.Bias(config.vocab, name="lm_head")()
        return layers.tied_head(hidden, embedding, bias, targets, form=self.form)


class DiscriminatorHead(nn.Module):
    config: ElectraConfig

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "row scored hidden"]
    ) -> Float[Array, "row scored"]:
        config, dtype = self.config, hidden.dtype
        dense = layers.Linear(
            config.hidden, name="dense", dtype=dtype, activation=config.activation
        )
        hidden = dense(hidden)
        return layers.Head(1, use_bias=True, name="prediction")(hidden)[..., 0]


class Electra(nn.Module):
    config: ElectraConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    form: Form = CPU
    everywhere: bool = False  # see `layers.through_layers`

    @nn.compact
    def __call__(
        self, inputs: MaskedInputs, targets: layers.Targets | None = None
    ) -> (
        Float[Array, "row scored vocab"] | Float[Array, "row scored"] | Float[Array, ""]
    ):
        """At the scored positions only, float32: the generator's logits over the
        vocabulary, or the discriminator's logit of the token being a replacement; of
        targets, where there are any, the generator's summed cross entropy in nats."""
        config = self.config
        embeddings = Embeddings(config, self.dtype, name="embeddings")
        hidden = embeddings(inputs.tokens)
        if config.embedding != config.hidden:
            project = layers.Linear(config.hidden, name="project", dtype=self.dtype)
            hidden = project(hidden)

        mask = inputs.attention_mask[:, None, :]
        hidden = layers.through_layers(
            self, Block, "block", hidden, inputs.scored, mask
        )
        if config.role == DISCRIMINATOR:
            assert targets is None, "a discriminator predicts no tokens"
            return DiscriminatorHead(config, name="discriminator")(hidden)
        word = embeddings.variables["params"]["word"]["embedding"]
        head = GeneratorHead(config, self.form, name="generator")
        return head(hidden, word, targets)


def operations(config: ElectraConfig) -> ops.Operations:
    hidden, embedding, before = config.hidden, config.embedding, config.layers - 1
    project = ops.dense(embedding, hidden) if embedding != hidden else 0
    keys_values = 2 * ops.dense(hidden, hidden)
    rest = 2 * ops.dense(hidden, hidden) + 2 * ops.dense(hidden, config.ffn)
    if config.role == DISCRIMINATOR:
        head = ops.dense(hidden, hidden) + ops.dense(hidden, 1)
    else:
        head = ops.dense(hidden, embedding) + ops.dense(embedding, config.vocab)
    return ops.Operations(
        token=project + before * (keys_values + rest) + keys_values,
        pair=before * ops.attention(hidden),
        scored=rest + head,
        scored_pair=ops.attention(hidden),
    )


ATTENTION = ("query", "key", "value", "attention_output")
FEED_FORWARD = ("intermediate", "output")

PRUNABLE = Prunable(
    blocks=tuple(f"block/{name}/kernel" for name in ATTENTION + FEED_FORWARD),
    linear=("project/kernel", "generator/*/kernel", "discriminator/*/kernel"),
    embeddings=("embeddings/*/embedding",),
)

SUBLAYERS = (  # each norm comes behind its sum
    Sublayer(tuple(f"{name}/kernel" for name in ATTENTION), "intermediate"),
    Sublayer(tuple(f"{name}/kernel" for name in FEED_FORWARD)),
)

_LAYER = "electra.encoder.layer.{i}"

TABLE = Table(
    rules=(
        *embedding("electra.embeddings.word_embeddings", "embeddings/word"),
        *embedding("electra.embeddings.position_embeddings", "embeddings/position"),
        *embedding("electra.embeddings.token_type_embeddings", "embeddings/token_type"),
        *norm("electra.embeddings.LayerNorm", "embeddings/norm"),
        *linear("electra.embeddings_project", "project"),
        *linear(f"{_LAYER}.attention.self.query", "block/query"),
        *linear(f"{_LAYER}.attention.self.key", "block/key"),
        *linear(f"{_LAYER}.attention.self.value", "block/value"),
        *linear(f"{_LAYER}.attention.output.dense", "block/attention_output"),
        *norm(f"{_LAYER}.attention.output.LayerNorm", "block/attention_norm"),
        *linear(f"{_LAYER}.intermediate.dense", "block/intermediate"),
        *linear(f"{_LAYER}.output.dense", "block/output"),
        *norm(f"{_LAYER}.output.LayerNorm", "block/output_norm"),
        *linear("generator_predictions.dense", "generator/dense"),
        *norm("generator_predictions.LayerNorm", "generator/norm"),
        *linear("generator_lm_head", "generator/lm_head"),
        *linear("discriminator_predictions.dense", "discriminator/dense"),
        *linear(
            "discriminator_predictions.dense_prediction", "discriminator/prediction"
        ),
    ),
    tied=(
        Tied("generator_lm_head.weight", "electra.embeddings.word_embeddings.weight"),
    ),
    buffers=(
        r"electra\.embeddings\.(position_ids|token_type_ids)",
        # In files of models that have no projection, embedding and hidden being equal.
        r"electra\.embeddings_project\.(weight|bias)",
    ),
    renames=(
        Rename(r"(.*LayerNorm\.)gamma$", r"\1weight"),
        Rename(r"(.*LayerNorm\.)beta$", r"\1bias"),
    ),
)

# Without heads: their size is hidden / heads in transformers' format.
STRUCTURE = Structure(
    neurons=Removable(
        Size("ffn", "intermediate_size"),
        (Units(("block/intermediate",), ("block/output",)),),
    ),
    depths={"block": Size("layers", "num_hidden_layers")},
)

FAMILY = Family(
    name="electra",
    table=TABLE,
    read_config=ElectraConfig.from_hf,
    module=Electra,
    prunable=PRUNABLE,
    head=("generator/lm_head/kernel", "embeddings/word/embedding"),
    untied_config=lambda config: {"tie_word_embeddings": False},
    operations=operations,
    stacks=lambda config: (Stack("block", Block, config.layers, SUBLAYERS),),
    structure=lambda config: STRUCTURE,
    start=Start(
        tokenizer="word pieces",
        factors=lambda config: {
            f"block/{name}/kernel": (2 * config.layers) ** -0.5
            for name in ("attention_output", "output")
        },
        neighbours=Waves(
            "embeddings/position/embedding",
            ("block/query/kernel", "block/key/kernel"),
            "project/kernel",
        ),
    ),
)
