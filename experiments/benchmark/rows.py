"""The naive rows of a question: one for each option, with the whole story in each.

Made from ours, so that both sides read the same tokens: branches are put back behind
their prefix, shared rows are repeated.

    packed   p0 p1 p2 a0 a1 b0          naive    p0 p1 p2 a0 a1
                                                 p0 p1 p2 b0
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxsparse.models import Operations
from jaxsparse.scoring import Encoded
from jaxsparse.scoring.encoded import OPTION, ROW, SLOT, TOKEN


@dataclass(frozen=True)
class NaiveRow:
    """A row and where its part of an option's score is read."""

    question: int
    option: int
    tokens: np.ndarray  # T5: of the decoder
    scored: np.ndarray  # positions
    targets: np.ndarray  # the tokens whose probability is read there
    encoder_tokens: np.ndarray | None = None
    causal: bool = field(default=True)

    @property
    def length(self) -> int:
        text = self.tokens if self.encoder_tokens is None else self.encoder_tokens
        return len(text)

    def operations(self, costs: Operations) -> int:
        """What transformers computes: the head at every position; no padding."""
        every = np.arange(len(self.tokens))
        row = {"tokens": self.tokens, "scored": every}
        if self.causal:
            row["positions"] = every
        if self.encoder_tokens is not None:
            row["encoder_tokens"] = self.encoder_tokens
        return costs.of_row(row)


def naive_rows(encoded: Sequence[Encoded]) -> list[NaiveRow]:
    """ELECTRA's generator needs one for each word piece of an option, others one."""
    return [row for number, each in enumerate(encoded) for row in _of(number, each)]


def _of(question: int, encoded: Encoded) -> Iterator[NaiveRow]:
    made = encoded.laid_out
    pairs, begins = np.unique(made.terms[:, [OPTION, ROW]], axis=0, return_index=True)
    ends = [*begins[1:], len(made.terms)]
    for (option, number), begin, end in zip(pairs, begins, ends, strict=True):
        row, terms = made.rows[number], made.terms[begin:end]
        at = row["scored"][terms[:, SLOT]]
        causal = "branches" in row
        own = int(row["branches"][at[-1]]) if causal else 0
        yield NaiveRow(
            question,
            int(option),
            row["tokens"][np.isin(row["branches"], [0, own])]
            if causal
            else row["tokens"],
            row["positions"][at] if causal else at,
            terms[:, TOKEN],
            row.get("encoder_tokens"),
            causal,
        )
