"""ELECTRA's generator and discriminator: an option's word pieces in whole rows."""

from typing import Any

import numpy as np

from jaxsparse.scoring.encoded import Encoded, EncodedRow, Term, distinct
from jaxsparse.scoring.passage import (
    Passage,
    Placing,
    added_around,
    option_rows,
    refuse_empty,
    shorten,
    token_ids,
)


def cloze(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Word by word from the left: PLL-word-l2r.

    one piece       … [MASK] …                        shared by all such options
    three pieces    … [MASK] [MASK] [MASK] …          predicts a
                    … a      [MASK] [MASK] …          predicts b
                    … a      b      [MASK] …          predicts c

    Options that begin alike, at the same number of pieces, share rows.
    Source: Kauf & Ivanova (2023).
    """
    pieces = token_ids(tokenizer, passage.options)
    refuse_empty(pieces, passage.options)
    front, behind = added_around(tokenizer)  # [CLS] and [SEP]
    mask = tokenizer.convert_tokens_to_ids("[MASK]")
    most_masks = max(map(len, pieces))
    dropped, (left, right) = shorten(
        passage,
        config.positions,
        rows=lambda dropped: token_ids(tokenizer, passage.around_blank(dropped)),
        longest=lambda sides: sum(map(len, (front, *sides, behind))) + most_masks,
    )
    rows: dict[tuple[int, ...], int] = {}
    terms: list[tuple[Term, ...]] = []
    for option in pieces:
        option_terms = []
        for filled, piece in enumerate(option):
            masked = len(option) - filled
            middle = (*option[:filled], *[mask] * masked)
            row = rows.setdefault((*middle, filled), len(rows))
            option_terms.append((row, 0, piece))
        terms.append(tuple(option_terms))
    return Encoded(
        rows=tuple(
            _row(
                [*front, *left, *middle, *right, *behind],
                [len(front) + len(left) + filled],
            )
            for *middle, filled in rows
        ),
        terms=tuple(terms),
        option_tokens=tuple(map(len, pieces)),
        dropped=dropped,
    )


def append(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options after the query, its blank left open, nothing masked; each of the
    option's tokens is read at its own position."""
    return _encode_unmasked(passage, passage.behind_query, tokenizer, config)


def replaced_cloze(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Of the discriminator: options in the blank, read at their own pieces. Does the
    option look like what the author wrote?"""
    return _encode_unmasked(passage, passage.in_blank, tokenizer, config)


def _encode_unmasked(
    passage: Passage, placing: Placing, tokenizer: Any, config: Any
) -> Encoded:
    """One row for each option, read at the option's tokens."""
    dropped, option_tokens = option_rows(passage, placing, tokenizer, config.positions)
    rows, numbers = distinct(
        [_row(row.tokens.ids, row.of_option()) for row in option_tokens]
    )
    terms = []
    for number in numbers:
        pieces = rows[number]["tokens"][rows[number]["scored"]]
        terms.append(tuple((number, slot, int(at)) for slot, at in enumerate(pieces)))
    refuse_empty(terms, passage.options)
    return Encoded(rows, tuple(terms), tuple(map(len, terms)), dropped)


def _row(tokens, scored) -> EncodedRow:
    tokens = np.asarray(tokens, np.int32)
    return {
        "tokens": tokens,
        "attention_mask": np.ones(len(tokens), bool),
        "scored": np.asarray(scored, np.int32),
    }
