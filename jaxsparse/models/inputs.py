"""What the families read: rows of tokens, and the positions that are asked for."""

from dataclasses import dataclass

import jax
from jaxtyping import Bool, Int

from jaxsparse.types import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CausalInputs:
    """Rows of a prefix and its branches, as `attention.branch_mask` draws them."""

    tokens: Int[Array, "row position"]
    positions: Int[Array, "row position"]  # restart where a branch begins
    branches: Int[Array, "row position"]  # 0 prefix, 1… branches, -1 padding
    scored: Int[Array, "row scored"]  # indices into the position axis


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MaskedInputs:
    """Whole rows, read in both directions."""

    tokens: Int[Array, "row position"]
    attention_mask: Bool[Array, "row position"]  # False at padding
    scored: Int[Array, "row scored"]  # indices into the position axis


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
