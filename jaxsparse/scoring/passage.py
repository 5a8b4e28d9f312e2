"""What a model is given to read: some of the story, and the query around its blank."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from jaxsparse.cbt import BLANK, Question, detokenize
from jaxsparse.types import InputError, Presentation, brief

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

Options = Sequence[str]


class Unusable(ValueError):
    """A question that a model cannot answer: its query does not fit even without a
    story, or an option has no tokens."""


@dataclass(frozen=True)
class Passage:
    sentences: tuple[str, ...]  # of the story, as many as `--context` gives
    query: str  # with its blank
    options: tuple[str, ...]

    @classmethod
    def of(cls, question: Question, presentation: Presentation) -> "Passage":
        sentences, query, options = detokenize(question, presentation.detokenize)
        kept = {"full": sentences, "last": sentences[-1:], "query": ()}[
            presentation.context
        ]
        return cls(kept, query, options)

    @property
    def longest_option(self) -> tuple[str]:
        """Most likely the one that needs the most tokens."""
        return (max(self.options, key=len),)

    def around_blank(self, dropped: int) -> tuple[str, str]:
        """The text before and after the blank, the first sentences left out."""
        before, after = self.query.split(BLANK)
        return " ".join((*self.sentences[dropped:], before)), after

    def whole(self, dropped: int) -> str:
        """The text up to the query's end, its blank left open."""
        return " ".join((*self.sentences[dropped:], self.query))


Rows = TypeVar("Rows")


def shorten(
    passage: Passage,
    limit: int,
    rows: Callable[[int], Rows],
    longest: Callable[[Rows], int],
    probe: Callable[[int], Rows] | None = None,
) -> tuple[int, Rows]:
    """Drops sentences from the left, for all options alike, until every row fits.

    Args:
        limit: in tokens of a row with its special tokens.
        rows: number of sentences dropped -> the rows.
        longest: the rows -> tokens of the longest of them.
        probe: as `rows`, but one of them: while it is too long by itself, the others
            need not be tokenized.

    Returns:
        the number of sentences dropped, and the rows that are left.

    Raises:
        Unusable: nothing fits, not even the query alone.
    """
    length = 0
    for dropped in range(len(passage.sentences) + 1):
        if probe and (length := longest(probe(dropped))) > limit:
            continue
        candidate = rows(dropped)
        length = longest(candidate)
        if length <= limit:
            return dropped, candidate
    raise Unusable(f"the query alone is {length} tokens, of at most {limit}")


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
    """One row with its usual special tokens, and which characters each token covers."""

    ids: np.ndarray  # (position,)
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
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str]
) -> list[Tokens]:
    encoded = _read(tokenizer, texts, return_offsets_mapping=True)
    rows = []
    for ids, offsets in zip(
        encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        starts, ends = np.asarray(offsets, np.int32).reshape(-1, 2).T
        rows.append(Tokens(np.asarray(ids, np.int32), starts, ends))
    return rows


def added_around(
    tokenizer: "PreTrainedTokenizerFast",
) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts in front of every text, and behind it."""
    (row,) = tokenize(tokenizer, ["a"])
    covering = row.covering(0)
    if not len(covering):
        raise InputError("the tokenizer makes no token of a letter")
    return row.ids[: covering[0]].tolist(), row.ids[covering[-1] + 1 :].tolist()


def refuse_empty(tokens: Sequence[Sequence[object]], options: Sequence[str]) -> None:
    """An option that the tokenizer makes nothing of has no score. Raises Unusable."""
    for option_tokens, option in zip(tokens, options, strict=True):
        if not option_tokens:
            raise Unusable(f"option {option!r} has no tokens")
