"""ELECTRA (Clark et al. 2020): the generator, a masked language model, and the
discriminator, which tells replaced tokens from original ones."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from jaxsparse.device import CPU, Form
from jaxsparse.models import encoder, layers
from jaxsparse.models import operations as ops
from jaxsparse.models.electra_config import DISCRIMINATOR, ElectraConfig
from jaxsparse.models.family import Family, Prunable, Start, Waves
from jaxsparse.models.inputs import MaskedInputs
from jaxsparse.types import Array
from jaxsparse.weights.rules import Table, Tied, linear, norm


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
        embeddings = encoder.Embeddings(
            config, config.positions, self.dtype, name="embeddings"
        )
        hidden = embeddings(inputs.tokens, encoder.in_order(inputs.tokens))
        if config.embedding != config.hidden:
            project = layers.Linear(config.hidden, name="project", dtype=self.dtype)
            hidden = project(hidden)

        mask = inputs.attention_mask[:, None, :]
        hidden = layers.through_layers(
            self, encoder.Block, "block", hidden, inputs.scored, mask
        )
        if config.role == DISCRIMINATOR:
            assert targets is None, "a discriminator predicts no tokens"
            return DiscriminatorHead(config, name="discriminator")(hidden)
        word = embeddings.variables["params"]["word"]["embedding"]
        head = GeneratorHead(config, self.form, name="generator")
        return head(hidden, word, targets)


def operations(config: ElectraConfig) -> ops.Operations:
    hidden, embedding = config.hidden, config.embedding
    project = ops.dense(embedding, hidden) if embedding != hidden else 0
    if config.role == DISCRIMINATOR:
        head = ops.dense(hidden, hidden) + ops.dense(hidden, 1)
    else:
        head = ops.dense(hidden, embedding) + ops.dense(embedding, config.vocab)
    return encoder.operations(config, project, head)


PRUNABLE = Prunable(
    blocks=encoder.KERNELS,
    linear=("project/kernel", "generator/*/kernel", "discriminator/*/kernel"),
    embeddings=("embeddings/*/embedding",),
)

TABLE = Table(
    rules=(
        *encoder.rules("electra"),
        *linear("electra.embeddings_project", "project"),
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
        encoder.buffers("electra"),
        # In files of models that have no projection, embedding and hidden being equal.
        r"electra\.embeddings_project\.(weight|bias)",
    ),
    renames=encoder.RENAMES,
)

FAMILY = Family(
    name="electra",
    table=TABLE,
    read_config=ElectraConfig.from_hf,
    module=Electra,
    prunable=PRUNABLE,
    head=("generator/lm_head/kernel", "embeddings/word/embedding"),
    operations=operations,
    stacks=encoder.stacks,
    structure=lambda config: encoder.STRUCTURE,
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
