"""What a model is given, one record for each way of reading a question.

    causal     from left to right, over a prefix and its branches
    masked     whole rows, read in both directions; tokens are predicted
    replaced   the same rows; whether a token is the original one is predicted
    seq2seq    an encoder's rows, and a decoder's over a prefix and its branches

A configuration says which by its `reading`; scoring and training have a table each.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from jaxsparse.models.attention import PADDING
from jaxsparse.types import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CausalInputs:
    """Rows of a prefix and its branches, as `attention.branch_mask` draws them."""

    tokens: Int[Array, "row position"]
    positions: Int[Array, "row position"]  # restart where a branch begins
    branches: Int[Array, "row position"]  # 0 prefix, 1… branches, -1 padding
    scored: Int[Array, "row scored"]  # indices into the position axis

    @property
    def attended(self) -> Bool[Array, "row position"]:
        """True at real tokens."""
        return self.branches != PADDING


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MaskedInputs:
    """Whole rows, read in both directions."""

    tokens: Int[Array, "row position"]
    attention_mask: Bool[Array, "row position"]  # False at padding
    scored: Int[Array, "row scored"]  # indices into the position axis

    @property
    def attended(self) -> Bool[Array, "row position"]:
        """True at real tokens."""
        return self.attention_mask


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Seq2SeqInputs:
    """Encoder rows, and for each a decoder row of a shared prefix and its branches."""

    encoder_tokens: Int[Array, "row encoder_position"]
    attention_mask: Bool[Array, "row encoder_position"]  # False at padding
    tokens: Int[Array, "row position"]
    positions: Int[Array, "row position"]  # restart where a branch begins
    branches: Int[Array, "row position"]  # 0 prefix, 1… branches, -1 padding
    scored: Int[Array, "row scored"]  # indices into the (decoder) position axis

    @property
    def attended(self) -> Bool[Array, "row position"]:
        """True at real tokens, of the decoder's row."""
        return self.branches != PADDING


INPUTS: dict[str, Any] = {
    "causal": CausalInputs,
    "masked": MaskedInputs,
    "replaced": MaskedInputs,
    "seq2seq": Seq2SeqInputs,
}


def smallest(reading: str) -> Any:
    """One row of one token, for the shapes of parameters."""
    kind = INPUTS[reading]
    return kind(
        **{
            field.name: jnp.full((1, 1), True)
            if field.name == "attention_mask"
            else jnp.zeros((1, 1), jnp.int32)
            for field in dataclasses.fields(kind)
        }
    )
