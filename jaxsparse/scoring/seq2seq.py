"""T5: the encoder reads the text, the decoder fills the blank."""

from collections.abc import Mapping

import numpy as np

from jaxsparse.scoring.encoded import (
    EncodedRow,
    QuestionRows,
    TokenRows,
    distinct,
    pack,
    terms_of,
)
from jaxsparse.scoring.placing import SENTINEL

PAD, NEXT_SENTINEL = "<pad>", "<extra_id_1>"


def span(tokens: TokenRows, special: Mapping[str, int]) -> QuestionRows:
    """The span corruption that T5 was trained on: one encoder row, a branch an option.

    encoder   story and query with <extra_id_0> at the blank </s>
    decoder   <pad> <extra_id_0>   branches  a0 a1 <extra_id_1>
                                             b0 <extra_id_1>

    Source: Raffel et al. (2020), section 3.1.4.
    """
    head = np.array([special[PAD], special[SENTINEL]], np.int32)
    targets = [np.append(piece, special[NEXT_SENTINEL]) for piece in tokens.tails]
    targets = [target.astype(np.int32) for target in targets]
    row, terms = pack(head, targets, tokens.first)
    return QuestionRows((_row(tokens.head, row),), terms)


def repeated(tokens: TokenRows, special: Mapping[str, int]) -> QuestionRows:
    """Options behind the query, its blank left open; the decoder repeats what the
    encoder reads and is scored over the option."""
    rows, targets = [], []
    start = np.array([special[PAD]], np.int32)
    head = np.concatenate([start, tokens.head])
    for tail, text, first in zip(
        tokens.tails, tokens.texts(), tokens.first, strict=True
    ):
        # The decoder's input is its target, </s> included, shifted right from <pad>;
        # what comes after the option changes nothing before it.
        row, terms = pack(head, [text], [first])
        rows.append(_row(np.concatenate([tokens.head, tail, tokens.rest]), row))
        targets.append(terms)
    kept, numbers = distinct(rows)
    terms = [
        terms_of(option, row, *made[:, 2:].T)
        for option, (row, made) in enumerate(zip(numbers, targets, strict=True))
    ]
    return QuestionRows(kept, np.concatenate(terms))


def _row(encoder_tokens: np.ndarray, packed: EncodedRow) -> EncodedRow:
    return {
        "encoder_tokens": encoder_tokens,
        "attention_mask": np.ones(len(encoder_tokens), bool),
        **packed,
    }
