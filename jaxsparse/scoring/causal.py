"""GPT-2: the option, then the rest of the query, given everything before."""

from typing import Any

import numpy as np

from jaxsparse.scoring.encoded import Encoded, pack
from jaxsparse.scoring.passage import (
    OptionRow,
    Passage,
    Placing,
    option_rows,
    refuse_empty,
)


def cloze(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options in the blank; scored from the option to the end of the query.

    Source: Radford et al. (2019), section 3.2.
    """
    return _encode(passage, passage.in_blank, tokenizer, config)


def append(passage: Passage, tokenizer: Any, config: Any) -> Encoded:
    """Options after the query, its blank left open; scored over the option."""
    return _encode(passage, passage.behind_query, tokenizer, config)


def _encode(passage: Passage, placing: Placing, tokenizer: Any, config: Any) -> Encoded:
    dropped, rows = option_rows(
        passage,
        placing,
        tokenizer,
        config.positions,
        longest=lambda rows: max(map(len, rows)) + _needs_start(rows),
    )
    scored = [row.from_option().tolist() for row in rows]
    refuse_empty(scored, passage.options)
    # What a tokenizer adds behind the text changes nothing before it.
    ids = [row.tokens.ids[: at[-1] + 1] for row, at in zip(rows, scored, strict=True)]
    first = [at[0] for at in scored]
    if _needs_start(rows):
        start = tokenizer.convert_tokens_to_ids("<|endoftext|>")
        ids = [np.concatenate([[start], row]) for row in ids]
        first = [position + 1 for position in first]
    packed, terms = pack(ids, first)
    return Encoded(
        rows=(packed,),
        terms=tuple(
            tuple((0, slot, token) for slot, token in option) for option in terms
        ),
        option_tokens=tuple(len(row.of_option()) for row in rows),
        dropped=dropped,
    )


def _needs_start(rows: list[OptionRow]) -> bool:
    """Whether a scored token would be a row's first, with nothing to predict it."""
    return any(0 in row.from_option() for row in rows)
