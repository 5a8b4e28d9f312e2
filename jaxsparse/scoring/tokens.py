"""What a tokenizer makes of whole texts: the plain way, which words.py shortens."""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int32

from jaxsparse.types import InputError, Unusable, brief

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

SENTINEL = "<extra_id_0>"  # what stands in a blank, of T5

Ids = Int32[np.ndarray, " _"]


def token_ids(
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str]
) -> list[list[int]]:
    """Tokens of each text, without special tokens."""
    if not texts:
        return []
    return _read(tokenizer, texts, add_special_tokens=False)["input_ids"]


def _read(
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], **options: Any
) -> "BatchEncoding":
    """Raises InputError where the vocabulary has no token for what it does not know,
    which comes out when such a text is read."""
    try:
        return tokenizer(list(texts), verbose=False, **options)
    except Exception as error:  # tokenizers raises plain exceptions
        raise InputError(
            f"the tokenizer cannot read every text ({brief(error)}); put the model's "
            "own tokenizer files there"
        ) from None


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text, and which characters each of them covers."""

    ids: Ids
    starts: np.ndarray  # (position,) characters; 0 and 0 for special tokens
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def covering(self, start: int, end: int | None = None) -> np.ndarray:
        """Positions of the tokens that cover characters from `start` on, up to `end`
        (the text's). What a tokenizer adds in front or behind covers none."""
        found = self.ends > start
        return np.flatnonzero(found if end is None else found & (self.starts < end))


def tokenize(
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], special: bool = True
) -> list[Tokens]:
    """Each text with its usual special tokens, or without."""
    encoded = _read(
        tokenizer, texts, return_offsets_mapping=True, add_special_tokens=special
    )
    rows = []
    for ids, offsets in zip(
        encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        starts, ends = np.asarray(offsets, np.int32).reshape(-1, 2).T
        rows.append(Tokens(np.asarray(ids, np.int32), starts, ends))
    return rows


def added_around(tokenizer: "PreTrainedTokenizerFast") -> tuple[Ids, Ids]:
    """The tokens that a tokenizer puts in front of every text, and behind it."""
    (row,) = tokenize(tokenizer, ["a"])
    covering = row.covering(0)
    if not len(covering):
        raise InputError("the tokenizer makes no token of a letter")
    return row.ids[: covering[0]], row.ids[covering[-1] + 1 :]


def refuse_empty(tokens: Iterable[Sized], options: Sequence[str]) -> None:
    """An option that the tokenizer makes nothing of has no score. Raises Unusable."""
    for of_option, option in zip(tokens, options, strict=True):
        if not len(of_option):
            raise Unusable(f"option {option!r} has no tokens")
