"""Tokens word by word: every word of a run is read once, many of them in one call.

For tokenizers that split texts at their spaces (splitting.py). A word that could reach
over a space all the same, by a character at its edge or by an added token in it, makes
its question one that is read as a whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from jaxsparse.scoring.passage import Gap
from jaxsparse.scoring.splitting import is_plain
from jaxsparse.scoring.tokens import Ids, added_around

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerFast

_ODD = -1  # stands for a word that may reach over a space


class OddWord(ValueError):
    """A word of the text may not, or cannot, be read by itself."""


@dataclass(frozen=True)
class Filling:
    """The few tokens of a short text, and which characters each of them covers."""

    ids: Ids
    offsets: Sequence[tuple[int, int]]

    def covering(self, start: int, end: int) -> list[int]:
        """See `Tokens.covering`."""
        return [n for n, (a, b) in enumerate(self.offsets) if b > start and a < end]


class Words:
    """A tokenizer, and the tokens of the words that it has read so far."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast"):
        self._backend = tokenizer.backend_tokenizer
        self.front, self.behind = added_around(tokenizer)
        unknown = tokenizer.unk_token
        self._unknown = str(unknown).casefold() if unknown else None
        added = self._backend.get_added_tokens_decoder()
        self._added = {id for id in added if id != tokenizer.unk_token_id}
        self._numbers: dict[str, int] = {}  # of words behind a space, or _ODD
        self._ids = np.zeros(0, np.int32)  # of all of them, in that order
        self._ends = np.zeros(1, int)  # word n has the ids from ends[n] to ends[n + 1]
        self._texts: dict[str, Filling] = {}
        self._of_texts: dict[str, int] = {}  # added tokens in each, or _ODD

    def learn(self, gaps: Iterable[Gap]) -> None:
        """Reads all words and texts that were not known.

        Raises:
            OddWord: the tokenizer cannot read one of them.
        """
        words: set[str] = set()
        texts: set[str] = set()
        for gap in gaps:
            words.update(gap.words, gap.after)
            texts.update(gap.fillings, gap.alone)
            texts.update(gap.words[n] for n in gap.starts if n < len(gap.words))
        self._learn_words(sorted(words - self._numbers.keys()))
        self._learn_texts(sorted(texts - self._texts.keys()))

    def _learn_words(self, words: Sequence[str]) -> None:
        read = [one.ids for one in self._read([f" {word}" for word in words])]
        first = len(self._ends) - 1
        for number, (word, ids) in enumerate(zip(words, read, strict=True), first):
            odd = self._is_odd(word) or not self._added.isdisjoint(ids)
            self._numbers[word] = _ODD if odd else number
        ids = [self._ids, *(np.array(ids, np.int32) for ids in read)]
        self._ids = np.concatenate(ids)
        sizes = np.cumsum([self._ends[-1], *map(len, read)], dtype=int)
        self._ends = np.concatenate([self._ends[:-1], sizes])

    def _learn_texts(self, texts: Sequence[str]) -> None:
        for text, read in zip(texts, self._read(texts), strict=True):
            self._texts[text] = Filling(np.array(read.ids, np.int32), read.offsets)
            added = sum(id in self._added for id in read.ids)
            self._of_texts[text] = _ODD if self._is_odd(text.strip(" ")) else added

    def _read(self, texts: Sequence[str]) -> "list[tokenizers.Encoding]":
        """All texts in one call, which takes all cores."""
        try:
            return self._backend.encode_batch(texts, add_special_tokens=False)
        except Exception as error:  # tokenizers raises plain exceptions
            raise OddWord from error

    def _is_odd(self, word: str) -> bool:
        """Whether a word's edges may reach over a space; an empty one stands for two
        spaces in a row."""
        return (
            not word
            or not (is_plain(word[0]) and is_plain(word[-1]))
            or (self._unknown is not None and self._unknown in word.casefold())
        )

    def alone(self, text: str) -> Ids:
        """The tokens of a text that nothing stands beside."""
        return self._texts[text].ids

    def filling(self, text: str, added: int = 0) -> Filling:
        """Those of a text between words, which holds so many added tokens.

        Raises:
            OddWord: it may reach over a space at its ends, or holds others.
        """
        if self._of_texts[text] != added:
            raise OddWord
        return self._texts[text]

    def ids(self, words: Sequence[str]) -> Ids:
        """The tokens of words, each behind a space. Raises OddWord."""
        return self._gather(self._found(words))

    def before(self, gap: Gap, room: int) -> tuple[int, Ids] | None:
        """The tokens before the gap, and how many sentences were dropped so that they
        are `room` at most; None if that leaves no word. Raises OddWord."""
        numbers = self._found(gap.words)
        sizes = self._ends[numbers + 1] - self._ends[numbers]
        total, passed = int(sizes.sum()), np.concatenate([[0], np.cumsum(sizes)])
        for dropped, start in enumerate(gap.starts):
            if start >= len(gap.words):
                return None
            first = self.filling(gap.words[start]).ids  # no space stands before it
            if len(first) + total - passed[start + 1] <= room:
                rest = self._gather(numbers[start + 1 :])
                return dropped, np.concatenate([first, rest])
        return None

    def _found(self, words: Sequence[str]) -> Int[np.ndarray, " word"]:
        numbers = np.fromiter(map(self._numbers.__getitem__, words), int, len(words))
        if len(numbers) and numbers.min() == _ODD:
            raise OddWord
        return numbers

    def _gather(self, numbers: Int[np.ndarray, " word"]) -> Ids:
        begins = self._ends[numbers]
        sizes = self._ends[numbers + 1] - begins
        ends = np.cumsum(sizes)
        count = int(ends[-1]) if len(ends) else 0
        return self._ids[np.arange(count) + np.repeat(begins - ends + sizes, sizes)]
