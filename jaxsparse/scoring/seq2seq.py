"""T5: the encoder reads the text, the decoder fills the blank."""

from typing import Any

import numpy as np

from jaxsparse.scoring.encoded import Encoded, EncodedRow, distinct, pack
from jaxsparse.scoring.passage import (
    Passage,
    Tokens,
    option_rows,
    refuse_empty,
    shorten,
    token_ids,
    tokenize,
)


def cloze(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """The span corruption that T5 was trained on: one encoder row, a branch an option.

    encoder   story and query with <extra_id_0> at the blank </s>
    decoder   <pad> <extra_id_0>   branches  a0 a1 <extra_id_1>
                                             b0 <extra_id_1>

    Source: Raffel et al. (2020), section 3.1.4.
    """
    start, blank, end = (
        tokenizer.convert_tokens_to_ids(token)
        for token in ("<pad>", "<extra_id_0>", "<extra_id_1>")
    )
    pieces = token_ids(tokenizer, passage.options)
    refuse_empty(pieces, passage.options)

    def encoder(dropped: int) -> Tokens:
        before, after = passage.around_blank(dropped)
        return tokenize(tokenizer, [f"{before}<extra_id_0>{after}"])[0]

    dropped, row = shorten(passage, config.positions, rows=encoder, longest=len)
    targets = [np.asarray([start, blank, *option, end], np.int32) for option in pieces]
    packed, terms = pack(targets, [2] * len(targets))
    return Encoded(
        rows=(_row(row.ids, packed),),
        terms=tuple(
            tuple((0, slot, token) for slot, token in option) for option in terms
        ),
        option_tokens=tuple(map(len, pieces)),
        dropped=dropped,
    )


def append(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options after the query, its blank left open; the decoder repeats what the
    encoder reads and is scored over the option."""

    dropped, rows = option_rows(
        passage, passage.behind_query, tokenizer, config.positions
    )
    option_positions = [row.from_option().tolist() for row in rows]
    refuse_empty(option_positions, passage.options)
    start = tokenizer.convert_tokens_to_ids("<pad>")
    encoded, option_terms = [], []
    for row, scored in zip(rows, option_positions, strict=True):
        # The decoder's input is its target, </s> included, shifted right from <pad>;
        # what comes after the option changes nothing before it.
        target = np.concatenate([[start], row.tokens.ids[: scored[-1] + 1]])
        packed, (row_terms,) = pack([target], [scored[0] + 1])
        encoded.append(_row(row.tokens.ids, packed))
        option_terms.append(row_terms)
    encoded, numbers = distinct(encoded)
    terms = tuple(
        tuple((number, slot, token) for slot, token in row_terms)
        for number, row_terms in zip(numbers, option_terms, strict=True)
    )
    return Encoded(encoded, terms, tuple(map(len, terms)), dropped)


def _row(encoder_tokens: np.ndarray, packed: EncodedRow) -> EncodedRow:
    return {
        "encoder_tokens": encoder_tokens,
        "attention_mask": np.ones(len(encoder_tokens), bool),
        **packed,
    }
