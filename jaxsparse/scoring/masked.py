"""The ELECTRA generator: an option's word pieces, the later ones masked."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsparse.scoring.encoded import Encoded, Row, Term, distinct
from jaxsparse.scoring.passage import (
    Options,
    Passage,
    Tokens,
    added_around,
    refuse_empty,
    shorten,
    token_ids,
    tokenize,
)

Span = tuple[str, int, int]  # a text, and where in it the option begins and ends


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
    return encode_whole_rows(
        passage, tokenizer, config, functools.partial(_options_end_rows, passage)
    )


def _options_end_rows(passage: Passage, dropped: int, options: Options) -> list[Span]:
    text = passage.whole(dropped)
    rows = [f"{text} {option}" for option in options]
    return [(row, len(text), len(row)) for row in rows]


def encode_whole_rows(
    passage: Passage,
    tokenizer: Any,
    config: Any,
    spans: Callable[[int, Options], list[Span]],
) -> Encoded:
    """One row for each option, scored at the tokens that overlap a span of characters.

    Args:
        spans: number of sentences dropped, options -> the span of each option.
    """

    def rows_and_spans(
        dropped: int, options: Options
    ) -> tuple[list[Tokens], list[Span]]:
        chosen = spans(dropped, options)
        return tokenize(tokenizer, [text for text, *_ in chosen]), chosen

    dropped, (tokens, chosen) = shorten(
        passage,
        config.positions,
        rows=lambda dropped: rows_and_spans(dropped, passage.options),
        longest=lambda candidate: max(map(len, candidate[0])),
        probe=lambda dropped: rows_and_spans(dropped, passage.longest_option),
    )
    rows = [
        _row(row.ids, row.covering(start, end))
        for row, (_, start, end) in zip(tokens, chosen, strict=True)
    ]
    rows, numbers = distinct(rows)
    terms = []
    for number in numbers:
        pieces = rows[number]["tokens"][rows[number]["scored"]]
        terms.append(tuple((number, slot, int(at)) for slot, at in enumerate(pieces)))
    refuse_empty(terms, passage.options)
    return Encoded(rows, tuple(terms), tuple(map(len, terms)), dropped)


def _row(tokens, scored) -> Row:
    tokens = np.asarray(tokens, np.int32)
    return {
        "tokens": tokens,
        "attention_mask": np.ones(len(tokens), bool),
        "scored": np.asarray(scored, np.int32),
    }
