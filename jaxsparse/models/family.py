"""What a family of models has to say of itself for the rest of the house to use it."""

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Bool

from jaxsparse import trees
from jaxsparse.models.config import Reader
from jaxsparse.models.inputs import smallest
from jaxsparse.models.operations import Operations
from jaxsparse.types import Array, InputError
from jaxsparse.weights.rules import Shape, Table


@dataclass(frozen=True, kw_only=True)
class Config:
    """What shapes and functions of a model depend on; a family's adds its own."""

    vocab: int
    positions: int  # the longest row, in tokens; of T5, its encoder's
    tied: bool  # whether the head is the token embedding

    @property
    def reading(self) -> str:
        """How questions are read: a key of `inputs.INPUTS`."""
        raise NotImplementedError

    @property
    def first(self) -> str | None:
        """The token in front of rows, whatever a tokenizer calls its own; None: what
        the tokenizer puts there, or has for it."""
        return None

    @property
    def mask_takes_space(self) -> bool:
        """Whether the space before a blank is part of what is masked."""
        return False

    def untied(self) -> "Config":
        return dataclasses.replace(self, tied=False)


@dataclass(frozen=True, kw_only=True)
class CausalConfig(Config):
    """The same of a causal language model."""

    @property
    def reading(self) -> str:
        return "causal"


@dataclass(frozen=True)
class Tensors:
    """What a configuration may ask of a checkpoint, where config.json does not say."""

    shapes: Mapping[str, Shape]  # by current name
    differ: Callable[[str, str], bool]  # whether two tensors hold different values

    def __contains__(self, name: str) -> bool:
        return name in self.shapes


PRUNABLE = ("blocks", "linear", "all")  # each adds to the one before


@dataclass(frozen=True)
class Prunable:
    """Glob patterns of the leaves that each step of `prunable` adds.

    A pattern may match nothing, since configurations differ in which layers they
    have; but every leaf of a model must match one, here or in `NEVER`.
    """

    blocks: tuple[str, ...]  # attention and feed-forward kernels of every layer
    linear: tuple[str, ...]  # the other linear layers, heads and projections
    embeddings: tuple[str, ...]

    NEVER: ClassVar[tuple[str, ...]] = ("*bias", "*scale")

    def paths(self, leaves: Iterable[str], prunable: str) -> tuple[str, ...]:
        """The leaves that `prunable` names, sorted; InputError where it names none."""
        if prunable not in PRUNABLE:
            raise InputError(
                f"`prunable={prunable}`: choose one of {', '.join(PRUNABLE)}"
            )
        classes = {
            "blocks": self.blocks,
            "linear": self.linear,
            "all": self.embeddings,
            "never": self.NEVER,
        }
        members = trees.classify(leaves, classes)
        steps = PRUNABLE[: PRUNABLE.index(prunable) + 1]
        return tuple(sorted(path for step in steps for path in members[step]))


@dataclass(frozen=True)
class Sublayer:
    """Attention or feed-forward: what stands between two sums of a block."""

    kernels: tuple[str, ...]  # glob patterns, within the block
    before: str = ""  # the block's module that is given the sum; "": what leaves it


@dataclass(frozen=True)
class Stack:
    """Layers of one kind that run one after another; parameters stacked on axis 0."""

    path: str  # of their parameters
    block: type[nn.Module]  # of (config, form); called as `layers.all_layers` has it
    depth: int
    sublayers: tuple[Sublayer, ...]  # as they run; each prunable kernel is of one
    at_encoder: tuple[str, ...] = ()  # its linear layers with an encoder's positions

    def attended(self, inputs: Any, layer: str = "") -> Bool[Array, "row position"]:
        """True at real tokens: where its hidden states are, or the inputs of one of its
        linear layers (by path within the stack)."""
        at_encoder = any(fnmatch.fnmatchcase(layer, at) for at in self.at_encoder)
        return inputs.attention_mask if at_encoder else inputs.attended


@dataclass(frozen=True)
class Size:
    """A number that shapes depend on, as a configuration and as config.json call it."""

    field: str
    key: str


@dataclass(frozen=True)
class Units:
    """Feed-forward units, or heads, of a stack: which linear layers they are part of.

    read ─▶ unit ─▶ write: a unit has outputs of its own of those that `read`, with
    their biases, and inputs of those that `write`.
    """

    read: tuple[str, ...]
    write: tuple[str, ...]
    shared: str = ""  # a leaf that serves all layers, units on its last axis: then all
    # layers have the same units


@dataclass(frozen=True)
class Removable:
    """All units of one kind that a model has; every layer has `size` of them."""

    size: Size
    units: tuple[Units, ...]
    width: int = 1  # outputs, and inputs, of one unit


@dataclass(frozen=True)
class Structure:
    """What can be removed as a whole from a model, so that transformers loads it."""

    neurons: Removable
    depths: Mapping[str, Size]  # of stacks, by path
    heads: Removable | None = None  # None: their size would have to change with them
    numbered: str = ""  # the key of config.json by which a layer's number counts
    listed: Mapping[str, str] = field(default_factory=dict)  # path of a stack -> the
    # key of config.json that lists something for each of its layers

    def units(self, pattern: str) -> Removable | None:
        """Of a pattern that removes parts of layers; None where there are none."""
        return {"neurons": self.neurons, "heads": self.heads}[pattern]

    def sizes(self, pattern: str) -> tuple[Size, ...]:
        """What a pattern makes smaller."""
        if pattern == "layers":
            return tuple(self.depths.values())
        removable = self.units(pattern)
        return (removable.size,) if removable else ()


@dataclass(frozen=True)
class Waves:
    """Leaves by which a family that learns its positions can tell neighbours apart."""

    positions: str
    attention: tuple[str, ...]  # queries, then keys, then whatever, in one or two
    project: str = ""  # from embeddings to the hidden size


@dataclass(frozen=True)
class Biases:
    """The same of a family with relative positions: two tables, one for each stack."""

    encoder: str
    decoder: str
    cross_query: str
    cross_key: str


@dataclass(frozen=True)
class Start:
    """How a model begins that is trained from scratch; `pretraining` reads it."""

    tokenizer: str  # the kind that it learns, a key of `pretraining.vocabulary.KINDS`
    factors: Callable[[Any], dict[str, float]]  # leaves by pattern, scaled at first
    neighbours: Waves | Biases | None = None


@dataclass(frozen=True)
class Family:
    name: str
    table: Table
    read_config: Callable[[Reader, Tensors], Any]
    module: Callable[..., nn.Module]  # (config, dtype, form, everywhere) -> module
    prunable: Prunable
    head: tuple[str, str]  # the leaf of an untied head, the embedding it ties to
    operations: Callable[[Any], Operations]  # what a row of a configuration costs
    stacks: Callable[[Any], tuple[Stack, ...]]  # of a configuration, as they run
    structure: Callable[[Any], Structure]  # likewise
    head_bias: tuple[str, str] | None = None  # an untied head's, and a tied one's, if
    # they are two
    untied_config: Callable[[Any], dict[str, Any]] = lambda config: {
        "tie_word_embeddings": False
    }  # what config.json says of an untied head
    model_types: tuple[str, ...] = ()  # of config.json; (): its name
    start: Start | None = None  # None: is not trained from scratch
    # Whether leaves differ in scale a hundredfold, so that training takes steps that
    # are fractions of each.
    relative_steps: bool = False

    def shapes(self, config: Any) -> dict[str, Shape]:
        """Leaf path -> shape, without allocating anything."""
        module = self.module(config, np.dtype(np.float32))
        variables = jax.eval_shape(
            module.init, jax.random.key(0), smallest(config.reading)
        )
        leaves = trees.flatten(variables["params"])
        return {path: tuple(leaf.shape) for path, leaf in leaves.items()}

    def config_to_hf(self, config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """config.json as it was read, made true of a head that is untied."""
        untied = self.head[0] in self.shapes(config)
        return {**values, **(self.untied_config(config) if untied else {})}

    def untie(self, leaves: Mapping[str, Array]) -> dict[str, Array]:
        """Gives a tied head a kernel of its own: the embedding, (hidden, vocab)."""
        kernel, embedding = self.head
        untied = {**leaves, kernel: leaves[embedding].T}
        if self.head_bias:
            bias, tied_bias = self.head_bias
            untied[bias] = leaves[tied_bias]
        return untied


def head_is_tied(reader: Reader, tensors: Tensors, head: str, embedding: str) -> bool:
    """Whether a head is the token embedding, as transformers has it (T5's apart): a
    head in the file that differs is a head of its own, whatever the flag says; and one
    of the two tensors serves for both."""
    if not reader.flag("tie_word_embeddings"):
        return False
    if head not in tensors or embedding not in tensors:
        return True
    return not tensors.differ(head, embedding)
