"""OPT (Zhang et al. 2022): a causal language model over rows with branches. The 350 M
one norms behind its sums and has a smaller embedding."""

import functools
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.device import CPU, Form
from jaxsparse.models import layers
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
from jaxsparse.types import Array
from jaxsparse.weights.rules import (
    Rename,
    Table,
    Tied,
    embedding,
    kernel,
    linear,
    norm,
)

OFFSET = 2  # of positions in their table: it was written for one with a padding token
EPSILON = 1e-5  # of norms: no key of config.json has it


@dataclass(frozen=True, kw_only=True)
class OPTConfig(CausalConfig):
    embedding: int
    hidden: int
    layers: int
    heads: int
    ffn: int
    activation: str
    norm_first: bool  # before a sublayer, and at the end; or behind each sum
    final_norm: bool
    norm_affine: bool  # with scale and bias
    biased: bool

    @classmethod
    def from_hf(cls, reader: Reader, tensors: Tensors) -> "OPTConfig":
        """Reads config.json; what changes the maths and is not implemented raises."""
        hidden, heads = (
            reader.positive("hidden_size"),
            reader.positive("num_attention_heads"),
        )
        divides(heads, hidden, ("num_attention_heads", "hidden_size"))
        given = reader.given("word_embed_proj_dim")
        norm_first = reader.flag("do_layer_norm_before")
        removed = reader.flag("_remove_final_layer_norm")
        return cls(
            vocab=reader.positive("vocab_size"),
            positions=reader.positive("max_position_embeddings"),
            embedding=hidden
            if given is None
            else reader.positive("word_embed_proj_dim"),
            hidden=hidden,
            layers=reader.positive("num_hidden_layers"),
            heads=heads,
            ffn=reader.positive("ffn_dim"),
            activation=reader.activation("activation_function"),
            norm_first=norm_first,
            final_norm=norm_first and not removed,
            norm_affine=reader.flag("layer_norm_elementwise_affine"),
            biased=reader.flag("enable_bias"),
            tied=head_is_tied(
                reader, tensors, "lm_head.weight", "model.decoder.embed_tokens.weight"
            ),
        )


def _norm(config: OPTConfig, name: str, dtype: jnp.dtype) -> nn.LayerNorm:
    return layers.layer_norm(EPSILON, name, dtype, config.norm_affine)


class Attention(nn.Module):
    config: OPTConfig
    form: Form

    @nn.compact
    def __call__(
        self,
        hidden: Float[Array, "b k m"],
        read: Int[Array, "b q"] | None,
        mask: Bool[Array, "b q k"],
    ) -> Float[Array, "b q m"]:
        config = self.config
        dense = functools.partial(
            layers.Linear, config.hidden, config.biased, hidden.dtype
        )
        key, value = dense(name="k_proj")(hidden), dense(name="v_proj")(hidden)
        if read is not None:
            hidden = layers.at_positions(hidden, read)
        query = dense(name="q_proj")(hidden)
        query, key, value = (
            split_heads(part, config.heads) for part in (query, key, value)
        )
        scale = query.shape[-1] ** -0.5
        mixed = layers.attend(
            self, query, key, value, mask, scale, causal=read is None, form=self.form
        )
        return dense(name="out_proj")(merge_heads(mixed))


class Block(nn.Module):
    config: OPTConfig
    form: Form

    @nn.compact
    def __call__(self, hidden, layer, read, mask):
        del layer  # all alike
        config, dtype = self.config, hidden.dtype
        norm_1 = _norm(config, "self_attn_layer_norm", dtype)
        norm_2 = _norm(config, "final_layer_norm", dtype)
        dense = functools.partial(layers.Linear, use_bias=config.biased, dtype=dtype)
        given = norm_1(hidden) if config.norm_first else hidden
        if read is not None:
            hidden, mask = (layers.at_positions(x, read) for x in (hidden, mask))
        hidden += Attention(config, self.form, name="self_attn")(given, read, mask)
        if not config.norm_first:
            hidden = norm_1(hidden)
        given = norm_2(hidden) if config.norm_first else hidden
        hidden += layers.feed_forward(
            dense(config.ffn, name="fc1", activation=config.activation),
            dense(config.hidden, name="fc2"),
            given,
        )
        return hidden if config.norm_first else norm_2(hidden), None


class OPT(nn.Module):
    config: OPTConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    form: Form = CPU
    everywhere: bool = False  # see `layers.through_layers`

    @nn.compact
    def __call__(
        self, inputs: CausalInputs, targets: layers.Targets | None = None
    ) -> Float[Array, "row scored vocab"] | Float[Array, ""]:
        """Float32 logits at the scored positions only; of targets, where there are any,
        the summed cross entropy in nats."""
        config, dtype = self.config, self.dtype
        project = functools.partial(layers.Linear, use_bias=False, dtype=dtype)
        smaller = config.embedding != config.hidden
        embed = nn.Embed(
            config.vocab, config.embedding, name="embed_tokens", dtype=dtype
        )
        places = nn.Embed(
            config.positions + OFFSET,
            config.hidden,
            name="embed_positions",
            dtype=dtype,
        )
        hidden = embed(inputs.tokens)
        if smaller:
            hidden = project(config.hidden, name="project_in")(hidden)
        hidden += places(inputs.positions + OFFSET)
        mask = branch_mask(inputs.branches)
        hidden = layers.through_layers(
            self, Block, "layers", hidden, inputs.scored, mask
        )
        if config.final_norm:
            hidden = _norm(config, "final_layer_norm", dtype)(hidden)
        if smaller:
            hidden = project(config.embedding, name="project_out")(hidden)
        return layers.lm_head(hidden, embed, config.tied, targets, form=self.form)


def operations(config: OPTConfig) -> ops.Operations:
    hidden, embedding, before = config.hidden, config.embedding, config.layers - 1
    project = ops.dense(embedding, hidden) if embedding != hidden else 0
    keys_values = 2 * ops.dense(hidden, hidden)
    rest = 2 * ops.dense(hidden, hidden) + 2 * ops.dense(hidden, config.ffn)
    return ops.Operations(
        token=project + before * (keys_values + rest) + keys_values,
        pair=before * ops.attention(hidden),
        scored=rest + project + ops.dense(embedding, config.vocab),
        scored_pair=ops.attention(hidden),
    )


PRUNABLE = Prunable(
    blocks=("layers/self_attn/*/kernel", "layers/fc?/kernel"),
    linear=("lm_head/kernel", "project_*/kernel"),
    embeddings=("embed_*/embedding",),
)

_DECODER, _LAYER = "model.decoder", "model.decoder.layers.{i}"

TABLE = Table(
    rules=(
        *embedding(f"{_DECODER}.embed_tokens", "embed_tokens"),
        *embedding(f"{_DECODER}.embed_positions", "embed_positions"),
        *kernel(f"{_DECODER}.project_in", "project_in"),
        *(
            rule
            for name in ("q_proj", "k_proj", "v_proj", "out_proj")
            for rule in linear(f"{_LAYER}.self_attn.{name}", f"layers/self_attn/{name}")
        ),
        *norm(f"{_LAYER}.self_attn_layer_norm", "layers/self_attn_layer_norm"),
        *linear(f"{_LAYER}.fc1", "layers/fc1"),
        *linear(f"{_LAYER}.fc2", "layers/fc2"),
        *norm(f"{_LAYER}.final_layer_norm", "layers/final_layer_norm"),
        *norm(f"{_DECODER}.final_layer_norm", "final_layer_norm"),
        *kernel(f"{_DECODER}.project_out", "project_out"),
        *kernel("lm_head", "lm_head"),
    ),
    tied=(Tied("lm_head.weight", "model.decoder.embed_tokens.weight"),),
    # Saved from OPTModel, names lack their prefix.
    renames=(Rename(r"decoder\.", "model.decoder."),),
)

# Without heads: their size is hidden / heads in transformers' format.
STRUCTURE = Structure(
    neurons=Removable(
        Size("ffn", "ffn_dim"), (Units(("layers/fc1",), ("layers/fc2",)),)
    ),
    depths={"layers": Size("layers", "num_hidden_layers")},
)


def stacks(config: OPTConfig) -> tuple[Stack, ...]:
    between = "final_layer_norm" if config.norm_first else "fc1"
    sublayers = (Sublayer(("self_attn/*/kernel",), between), Sublayer(("fc?/kernel",)))
    return (Stack("layers", Block, config.layers, sublayers),)


FAMILY = Family(
    name="opt",
    table=TABLE,
    read_config=OPTConfig.from_hf,
    module=OPT,
    prunable=PRUNABLE,
    head=("lm_head/kernel", "embed_tokens/embedding"),
    operations=operations,
    stacks=stacks,
    structure=lambda config: STRUCTURE,
)
