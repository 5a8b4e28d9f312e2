"""Where options stand in what is read, and the rows that come of it: in the blank,
behind the query, apart from a text that is cut at the blank, or apart from one with a
special token there.

Every placing can be read in two ways, to the same tokens. By words: what stands before
the gap is read once, and shortened by counts that are known. As a whole: each row, and
each try at shortening it, is a text for the tokenizer.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from jaxsparse.scoring.encoded import TokenRows, common_prefix
from jaxsparse.scoring.passage import Gap, Options, OptionText, Passage
from jaxsparse.scoring.tokens import (
    SENTINEL,
    Ids,
    Tokens,
    added_around,
    refuse_empty,
    token_ids,
    tokenize,
)
from jaxsparse.scoring.words import Words
from jaxsparse.types import Unusable

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class Placing:
    """A place for options, and both ways of reading it: by words, which gives None
    where that cannot be, and as whole texts."""

    gap: Callable[[Passage], Gap]
    by_words: Callable[[Words, Passage, Gap, int], TokenRows | None]  # limit
    as_a_whole: Callable[[Any, Passage, int, bool], TokenRows]  # limit; see `in_blank`


def in_blank(
    tokenizer: Any, passage: Passage, limit: int, predicted: bool
) -> TokenRows:
    """Each row as a text, its option in the blank.

    Args:
        limit: in tokens of a row with its special tokens.
        predicted: whether a token must stand before the first that is scored.

    Raises:
        Unusable: the query alone does not fit.
    """
    return _option_rows(tokenizer, passage, passage.in_blank, limit, predicted)


def behind_query(
    tokenizer: Any, passage: Passage, limit: int, predicted: bool
) -> TokenRows:
    """Likewise, its option behind the query."""
    return _option_rows(tokenizer, passage, passage.behind_query, limit, predicted)


def around_blank(
    tokenizer: Any, passage: Passage, limit: int, predicted: bool, spaced: bool = False
) -> TokenRows:
    """Options by themselves, between the tokens before the blank and those after it.

    Args:
        spaced: the space before the blank goes with the option, which is read with it;
            of several the last, and the others go as well, as RoBERTa's mask has it.
    """
    front, behind = added_around(tokenizer)
    alone = functools.cache(lambda space: _alone(tokenizer, passage, space))

    def rows(dropped: int) -> tuple[list[Ids], list[int], list[int]]:
        left, right = passage.around_blank(dropped)
        shown = left.rstrip() if spaced else left
        left, space = shown, left[len(shown) :][-1:]
        left, right = token_ids(tokenizer, (left, right))
        return alone(space), left, right

    def longest(parts: tuple[list[Ids], list[int], list[int]]) -> int:
        pieces, left, right = parts
        return sum(map(len, (front, left, right, behind))) + max(map(len, pieces))

    dropped, (pieces, left, right) = shorten(passage, limit, rows, longest)
    head, rest = _joined(front, left), _joined(right, behind)
    return TokenRows.of_pieces(head, pieces, rest, dropped, False)


def with_sentinel(
    tokenizer: Any, passage: Passage, limit: int, predicted: bool
) -> TokenRows:
    """Options by themselves; the head is the text with a sentinel in its blank."""

    def text(dropped: int) -> Tokens:
        before, after = passage.around_blank(dropped)
        return tokenize(tokenizer, [f"{before}{SENTINEL}{after}"])[0]

    pieces = _alone(tokenizer, passage)
    dropped, row = shorten(passage, limit, rows=text, longest=len)
    return TokenRows.of_pieces(row.ids, pieces, _joined(), dropped, False)


def _alone(tokenizer: Any, passage: Passage, before: str = "") -> list[Ids]:
    """The options' own tokens, each behind a text. Raises Unusable where one has
    none."""
    options = [f"{before}{option}" for option in passage.options]
    pieces = token_ids(tokenizer, options)
    refuse_empty(pieces, passage.options)
    return [np.array(ids, np.int32) for ids in pieces]


def _joined(*parts: Sequence[int] | Ids) -> Ids:
    return np.concatenate([np.zeros(0, np.int32), *parts]).astype(np.int32)


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


@dataclass(frozen=True)
class _OptionRow:
    """The tokens of a text that holds an option."""

    tokens: Tokens
    place: OptionText

    def __len__(self) -> int:
        return len(self.tokens)

    def of_option(self) -> np.ndarray:
        """The positions of the option's own tokens."""
        return self.tokens.covering(self.place.start, self.place.end)

    def from_option(self) -> np.ndarray:
        """The positions of the option's tokens and of all behind them."""
        return self.tokens.covering(self.place.start)


def _option_rows(
    tokenizer: Any,
    passage: Passage,
    placing: Callable[[int, Options], list[OptionText]],
    limit: int,
    predicted: bool,
) -> TokenRows:
    def rows(dropped: int, options: Options) -> list[_OptionRow]:
        texts = placing(dropped, options)
        tokens = tokenize(tokenizer, [place.text for place in texts])
        return [_OptionRow(*row) for row in zip(tokens, texts, strict=True)]

    def longest(rows: list[_OptionRow]) -> int:
        lacks_one = predicted and any(0 in row.from_option() for row in rows)
        return max(map(len, rows)) + lacks_one

    dropped, found = shorten(
        passage,
        limit,
        rows=lambda dropped: rows(dropped, passage.options),
        longest=longest,
        probe=lambda dropped: rows(dropped, passage.longest_option),
    )
    return _compact(found, dropped)


def _compact(rows: Sequence[_OptionRow], dropped: int) -> TokenRows:
    """Rows by their common head, which ends before any option begins."""
    behind = [row.from_option() for row in rows]
    begins = [
        int(at[0]) if len(at) else len(row)
        for at, row in zip(behind, rows, strict=True)
    ]
    ends = [int(at[-1]) + 1 if len(at) else 0 for at in behind]
    ids = [row.tokens.ids for row in rows]
    shared = min(common_prefix(ids), *begins)
    return TokenRows(
        head=ids[0][:shared],
        tails=tuple(row[shared:] for row in ids),
        rest=_joined(),
        first=tuple(begin - shared for begin in begins),
        own=tuple(row.of_option() - shared for row in rows),
        ends=tuple(max(end - shared, 0) for end in ends),
        dropped=dropped,
    )


def _options_by_words(
    words: Words, passage: Passage, gap: Gap, limit: int
) -> TokenRows | None:
    tails = [words.filling(text) for text in gap.fillings]
    after = words.ids(gap.after)
    sizes = [len(tail.ids) for tail in tails]
    around = len(words.front) + len(after) + len(words.behind)
    found = words.before(gap, limit - around - max(sizes))
    if found is None or not len(found[1]):
        return None
    own = [tail.covering(*place) for tail, place in zip(tails, gap.places, strict=True)]
    behind = [
        tail.covering(start, len(text) + 1)[:1] or [len(tail.ids)]
        for tail, text, (start, _) in zip(tails, gap.fillings, gap.places, strict=True)
    ]
    return TokenRows(
        head=_joined(words.front, found[1]),
        tails=tuple(tail.ids for tail in tails),
        rest=_joined(after, words.behind),
        first=tuple(at[0] for at in behind),
        own=tuple(np.array(at, int) for at in own),
        ends=tuple(size + len(after) for size in sizes),
        dropped=found[0],
        by_words=True,
    )


def _around_by_words(
    words: Words, passage: Passage, gap: Gap, limit: int
) -> TokenRows | None:
    options = len(passage.options)
    pieces = [words.alone(option) for option in gap.alone[:options]]
    suffix = [words.filling(text).ids for text in gap.alone[options:]]
    left = _joined(*(words.filling(text).ids for text in gap.fillings))
    right = _joined(*suffix, words.ids(gap.after))
    around = len(words.front) + len(left) + len(right) + len(words.behind)
    found = words.before(gap, limit - around - max(map(len, pieces)))
    if found is None or not all(map(len, pieces)):
        return None
    return TokenRows.of_pieces(
        _joined(words.front, found[1], left),
        pieces,
        _joined(right, words.behind),
        found[0],
        True,
    )


def _sentinel_by_words(
    words: Words, passage: Passage, gap: Gap, limit: int
) -> TokenRows | None:
    pieces = [words.alone(option) for option in passage.options]
    middle = words.filling(gap.fillings[0], added=1).ids
    after = words.ids(gap.after)
    around = len(words.front) + len(middle) + len(after) + len(words.behind)
    found = words.before(gap, limit - around)
    if found is None or not all(map(len, pieces)):
        return None
    head = _joined(words.front, found[1], middle, after, words.behind)
    return TokenRows.of_pieces(head, pieces, _joined(), found[0], True)


IN_BLANK = Placing(Gap.of_blank, _options_by_words, in_blank)
BEHIND_QUERY = Placing(Gap.behind_query, _options_by_words, behind_query)
AROUND_BLANK = Placing(Gap.around_blank, _around_by_words, around_blank)
AROUND_SPACED_BLANK = Placing(
    functools.partial(Gap.around_blank, spaced=True),
    _around_by_words,
    functools.partial(around_blank, spaced=True),
)
WITH_SENTINEL = Placing(
    lambda passage: Gap.with_token(passage, SENTINEL),
    _sentinel_by_words,
    with_sentinel,
)
