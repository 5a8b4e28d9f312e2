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
from jaxsparse.scoring.tokens import SENTINEL, Ids

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
    options, numbers = distinct(
        (tail.tobytes(), first, end)
        for tail, first, end in zip(
            tokens.tails, tokens.first, tokens.ends, strict=True
        )
    )
    # The decoder's input is its target, </s> included, shifted right from <pad>; what
    # comes after the option changes nothing before it.
    head = np.concatenate([np.array([special[PAD]], np.int32), tokens.head])
    texts = tokens.texts()
    rows = []
    for option in options:
        encoder = [tokens.head, tokens.tails[option], tokens.rest]
        decoder = _alone(head, texts[option], tokens.first[option])
        rows.append(_row(np.concatenate(encoder), decoder))
    terms = [
        terms_of(option, number, np.arange(len(target)), target)
        for option, number in enumerate(numbers)
        for target in (texts[option][tokens.first[option] :],)
    ]
    return QuestionRows(tuple(rows), np.concatenate(terms))


def _alone(head: Ids, text: Ids, first: int) -> EncodedRow:
    """What `pack` makes of one row: its branch begins where it is scored."""
    tokens = np.concatenate([head, text[:-1]])
    order = np.arange(len(tokens), dtype=np.int32)
    begin = len(head) + first
    return {
        "tokens": tokens,
        "positions": order,
        "branches": (order >= begin).astype(np.int32),
        "scored": order[begin - 1 :],
    }


def _row(encoder_tokens: np.ndarray, packed: EncodedRow) -> EncodedRow:
    return {
        "encoder_tokens": encoder_tokens,
        "attention_mask": np.ones(len(encoder_tokens), bool),
        **packed,
    }
