"""GPT-2: the option, then the rest of the query, given everything before."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsparse.scoring.encoded import Encoded, pack
from jaxsparse.scoring.passage import (
    Options,
    Passage,
    Tokens,
    refuse_empty,
    shorten,
    tokenize,
)


def cloze(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options in the blank; scored from the option to the end of the query.

    Source: Radford et al. (2019), section 3.2.
    """

    def rows(dropped: int, options: Options) -> tuple[list[Tokens], int]:
        before, after = passage.around_blank(dropped)
        texts = [f"{before}{option}{after}" for option in options]
        return tokenize(tokenizer, texts), len(before)

    return _encode(passage, tokenizer, config, rows, options_in_place=True)


def append(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options after the query, its blank left open; scored over the option."""

    def rows(dropped: int, options: Options) -> tuple[list[Tokens], int]:
        text = passage.whole(dropped)
        texts = [f"{text} {option}" for option in options]
        return tokenize(tokenizer, texts), len(text)

    return _encode(passage, tokenizer, config, rows, options_in_place=False)


def _encode(
    passage: Passage,
    tokenizer: Any,
    config: Any,
    rows: Callable[[int, Options], tuple[list[Tokens], int]],
    options_in_place: bool,
) -> Encoded:
    dropped, (row_tokens, boundary) = shorten(
        passage,
        config.positions,
        rows=lambda dropped: rows(dropped, passage.options),
        longest=lambda rows: max(map(len, rows[0])) + _needs_start(*rows),
        probe=lambda dropped: rows(dropped, passage.longest_option),
    )
    scored = [row.covering(boundary).tolist() for row in row_tokens]
    refuse_empty(scored, passage.options)
    # What a tokenizer adds behind the text changes nothing before it.
    ids = [row.ids[: at[-1] + 1] for row, at in zip(row_tokens, scored, strict=True)]
    first = [at[0] for at in scored]
    if _needs_start(row_tokens, boundary):
        start = tokenizer.convert_tokens_to_ids("<|endoftext|>")
        ids = [np.concatenate([[start], row]) for row in ids]
        first = [position + 1 for position in first]

    packed, terms = pack(ids, first)
    return Encoded(
        rows=(packed,),
        terms=tuple(
            tuple((0, slot, token) for slot, token in option) for option in terms
        ),
        option_tokens=tuple(
            len(row.covering(boundary, boundary + len(option)))
            if options_in_place
            else len(at)
            for row, at, option in zip(row_tokens, scored, passage.options, strict=True)
        ),
        dropped=dropped,
    )


def _needs_start(rows: list[Tokens], boundary: int) -> bool:
    """Whether a scored token would be a row's first, with nothing to predict it."""
    return any(0 in row.covering(boundary) for row in rows)
