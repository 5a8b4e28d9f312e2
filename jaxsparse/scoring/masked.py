"""ELECTRA's generator and discriminator: an option's word pieces in whole rows."""

from collections.abc import Mapping

import numpy as np

from jaxsparse.scoring.encoded import (
    EncodedRow,
    QuestionRows,
    TokenRows,
    distinct,
    terms_of,
)

MASK = "[MASK]"


def word_by_word(tokens: TokenRows, special: Mapping[str, int]) -> QuestionRows:
    """Options in the blank, from the left: PLL-word-l2r.

    one piece       … [MASK] …                        shared by all such options
    three pieces    … [MASK] [MASK] [MASK] …          predicts a
                    … a      [MASK] [MASK] …          predicts b
                    … a      b      [MASK] …          predicts c

    Options that begin alike, at the same number of pieces, share rows.
    Source: Kauf & Ivanova (2023).
    """
    rows: dict[tuple[int, bytes], int] = {}  # pieces, those filled in -> number
    made, terms = [], []
    for option, pieces in enumerate(tokens.tails):
        for filled, piece in enumerate(pieces):
            key = len(pieces), pieces[:filled].tobytes()
            if (row := rows.setdefault(key, len(rows))) == len(made):
                middle = np.full(len(pieces), special[MASK], np.int32)
                middle[:filled] = pieces[:filled]
                made.append(_row(tokens, middle, np.array([filled])))
            terms.append((option, row, 0, piece))
    return QuestionRows(tuple(made), np.array(terms, np.int32))


def unmasked(tokens: TokenRows, special: Mapping[str, int]) -> QuestionRows:
    """Options in their place, nothing masked: one row for each, read at its tokens.

    The discriminator's way under both protocols (does the option look like what the
    author wrote?), and the generator's under append.
    """
    pairs = list(zip(tokens.tails, tokens.own, strict=True))
    options, numbers = distinct((tail.tobytes(), own.tobytes()) for tail, own in pairs)
    rows = tuple(_row(tokens, *pairs[option]) for option in options)
    terms = []
    for option, number in enumerate(numbers):
        at = rows[number]["scored"]
        read = rows[number]["tokens"][at]
        terms.append(terms_of(option, number, np.arange(len(at)), read))
    return QuestionRows(rows, np.concatenate(terms))


def _row(tokens: TokenRows, tail: np.ndarray, scored: np.ndarray) -> EncodedRow:
    row = np.concatenate([tokens.head, tail, tokens.rest])
    return {
        "tokens": row,
        "attention_mask": np.ones(len(row), bool),
        "scored": (len(tokens.head) + scored).astype(np.int32),
    }
