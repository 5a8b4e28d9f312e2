"""What a model is given to read: some of the story, and the query around its blank."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from jaxsparse.cbt.detokenize import detokenize
from jaxsparse.cbt.questions import BLANK, Question
from jaxsparse.types import InputError, Presentation, brief

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

Options = Sequence[str]


class Unusable(ValueError):
    """A question that a model cannot answer: its query does not fit even without a
    story, or an option has no tokens."""


@dataclass(frozen=True)
class Passage:
    sentences: tuple[str, ...]  # of the story, as many as `context` gives
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

    def text(self, dropped: int) -> str:
        """The text up to the query's end, its blank left open."""
        return " ".join((*self.sentences[dropped:], self.query))

    def in_blank(self, dropped: int, options: Options) -> "list[_OptionText]":
        """The text with each option in its blank."""
        before, after = self.around_blank(dropped)
        start = len(before)
        return [
            _OptionText(f"{before}{option}{after}", start, start + len(option))
            for option in options
        ]

    def behind_query(self, dropped: int, options: Options) -> "list[_OptionText]":
        """The text and each option behind it, whose own space counts with it."""
        text = self.text(dropped)
        return [
            _OptionText(f"{text} {option}", len(text), len(text) + 1 + len(option))
            for option in options
        ]


@dataclass(frozen=True)
class _OptionText:
    """A text that holds an option, and which of its characters are the option's."""

    text: str
    start: int
    end: int


Placing = Callable[[int, Options], list[_OptionText]]  # sentences dropped, options

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


@dataclass(frozen=True)
class OptionRow:
    """The tokens of a text that holds an option."""

    tokens: Tokens
    place: _OptionText

    def __len__(self) -> int:
        return len(self.tokens)

    def of_option(self) -> np.ndarray:
        """The positions of the option's own tokens."""
        return self.tokens.covering(self.place.start, self.place.end)

    def from_option(self) -> np.ndarray:
        """The positions of the option's tokens and of all behind them."""
        return self.tokens.covering(self.place.start)


def option_rows(
    passage: Passage,
    placing: Placing,
    tokenizer: "PreTrainedTokenizerFast",
    limit: int,
    longest: Callable[[list[OptionRow]], int] = lambda rows: max(map(len, rows)),
) -> tuple[int, list[OptionRow]]:
    """A row for each option, shortened to fit; see `shorten`."""

    def rows(dropped: int, options: Options) -> list[OptionRow]:
        texts = placing(dropped, options)
        tokens = tokenize(tokenizer, [place.text for place in texts])
        return [OptionRow(*row) for row in zip(tokens, texts, strict=True)]

    return shorten(
        passage,
        limit,
        rows=lambda dropped: rows(dropped, passage.options),
        longest=longest,
        probe=lambda dropped: rows(dropped, passage.longest_option),
    )


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
