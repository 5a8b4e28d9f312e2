"""How many floating-point operations a row of tokens needs; matrix products only.

Each family states its own costs. A multiply-add is two operations; lookups, norms,
softmax and activations count as none, and neither does padding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Operations:
    """What each part of a row costs.

    The last layer needs keys and values of every token, but queries, the output
    projection and the feed-forward layer at scored positions only: these are in
    `scored` and `scored_pair`, not in `token` and `pair`. T5's decoder
    is computed and counted in full: its `scored` is the head.
    """

    token: int  # of the row; T5: of the decoder's row
    pair: int  # a query position that sees a key, in all layers
    scored: int  # the last layer's rest, and the head
    scored_pair: int = 0  # in the last layer, a scored position that sees a key
    encoder_token: int = 0  # T5: encoder, and the keys and values of cross-attention
    encoder_pair: int = 0
    cross_pair: int = 0  # a decoder position that sees an encoder position

    def of_row(self, row: Mapping[str, np.ndarray]) -> int:
        """The operations of one row as `scoring.encode` makes it.

        prefix   p0 p1 … pC         pi sees i + 1 keys
        branch   └▶ a0 a1 a2        ai sees C + 1 of the prefix, and i + 1 of its own

        So a position sees one key more than its number, as branches go on counting from
        the prefix. ELECTRA's rows have no numbers: all see all. The naive
        way, the head at every position, is a row with every position scored.
        """
        length, scored = len(row["tokens"]), row["scored"]
        sees = row["positions"] + 1 if "positions" in row else np.full(length, length)
        encoder = len(row.get("encoder_tokens", ()))
        return (
            self.token * length
            + self.pair * int(sees.sum())
            + self.scored * len(scored)
            + self.scored_pair * int(sees[scored].sum())
            + self.encoder_token * encoder
            + self.encoder_pair * encoder**2
            + self.cross_pair * encoder * length
        )

    def padded(self, lengths: Float[np.ndarray, "*shapes 3"]) -> Any:
        """The operations of rows padded to these lengths (encoder's tokens, tokens,
        scored positions), where all positions see all; an array of the other axes."""
        encoder, tokens, scored = np.moveaxis(lengths, -1, 0)
        return (
            self.token * tokens
            + self.pair * tokens**2
            + self.scored * scored
            + self.scored_pair * scored * tokens
            + self.encoder_token * encoder
            + self.encoder_pair * encoder**2
            + self.cross_pair * encoder * tokens
        )


def dense(inputs: int, outputs: int) -> int:
    """Operations of one token through a linear layer."""
    return 2 * inputs * outputs


def attention(inner: int) -> int:
    """Of one query with one key, all heads: their product, and the value's share."""
    return 2 * inner + 2 * inner
