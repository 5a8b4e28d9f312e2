"""Whether a text holds questions that a model is to be asked.

Two consecutive sentences of a question in a text say that its story is there, too.
Compared is what both token styles and every editor leave the same: spaces count between
words only, quotes and dashes in whatever form are those of ASCII; case counts.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from jaxsparse.cbt.detokenize import STYLES, detokenize
from jaxsparse.cbt.questions import BLANK, Question
from jaxsparse.cbt.treebank import straighten
from jaxsparse.types import InputError

WORDS = 5  # of a pair of sentences; fewer (Yes. No.) stand in any story
_ANCHOR = 8  # bytes, no more than WORDS take
_BITS = 22  # of a hash; its table is of so many
_CHUNK = 1 << 20  # bytes looked at together
_WORD = re.compile(r"\w+")
_SPACES = re.compile(r"\s+")
_NO_WORDS = re.compile(r"(?<!\w) | (?!\w)")
_QUOTES = str.maketrans({"`": "'"})


def refuse_overlap(
    texts: Mapping[str, Sequence[str]], questions: Sequence[Question]
) -> None:
    """Raises InputError if two consecutive sentences of a question stand in a text, its
    query, with the answer filled in, being the last of them.

    A pair of fewer than five words is left out.

    Args:
        texts: by the name of where they are from.
    """
    for name, question_id, pair in overlaps(texts, questions):
        raise InputError(
            f"{name}: two sentences of question {question_id} stand in it, "
            f"{pair[:60]!r}…; take other text, or allow it: `allow_overlap`"
        )


def overlaps(
    texts: Mapping[str, Sequence[str]], questions: Sequence[Question]
) -> Iterator[tuple[str, str, str]]:
    """Where `refuse_overlap` finds something: the name of a text, a question's id, and
    the two sentences as they are compared, as often as they stand there."""
    pairs = _Pairs(
        (question.id, _sentences(question, style))
        for question in questions
        for style in STYLES
    )
    for name, parts in texts.items():
        for text in parts:
            for question_id, pair in pairs.found_in(text):
                yield name, question_id, pair


def _sentences(question: Question, style: str) -> list[str]:
    context, query, options = detokenize(question, style)
    answer = options[question.options.index(question.answer)]
    return [*context, query.replace(BLANK, answer)]


class _Pairs:
    """Pairs of sentences, by their first bytes and their length."""

    def __init__(self, stories: Iterable[tuple[str, Sequence[str]]]):
        """Args: stories: the id of a question, and its sentences."""
        self._by_anchor: dict[bytes, dict[int, dict[bytes, str]]] = {}
        normal_once = functools.cache(_normal)  # questions share their sentences
        for question_id, sentences in stories:
            normal = list(map(normal_once, sentences))
            for pair in itertools.starmap(_pair, itertools.pairwise(normal)):
                if pair is not None:
                    lengths = self._by_anchor.setdefault(pair[:_ANCHOR], {})
                    lengths.setdefault(len(pair), {}).setdefault(pair, question_id)
        anchors = np.frombuffer(b"".join(self._by_anchor), np.uint8)
        self._table = np.zeros(1 << _BITS, bool)
        self._table[_hashes(anchors)[::_ANCHOR]] = True

    def found_in(self, text: str) -> Iterator[tuple[str, str]]:
        """Ids of questions, and the pairs of theirs that a text holds."""
        content = _normal(text).encode()
        for at in self._candidates(content):
            lengths = self._by_anchor.get(content[at : at + _ANCHOR], {})
            for length, pairs in lengths.items():
                there = content[at : at + length]
                if there in pairs and _apart(content, at, at + length):
                    yield pairs[there], there.decode()

    def _candidates(self, content: bytes) -> Iterator[int]:
        """Where a pair may begin, by the hash of its first bytes."""
        whole = np.frombuffer(content, np.uint8)
        for begin in range(0, len(whole), _CHUNK):
            hashes = _hashes(whole[begin : begin + _CHUNK + _ANCHOR - 1])
            yield from (begin + np.flatnonzero(self._table[hashes])).tolist()


def _pair(first: str, second: str) -> bytes | None:
    """Two sentences that are normal, one behind the other; None of a few words."""
    words = first[-1:].isalnum() and second[:1].isalnum()
    pair = f"{first} {second}" if words else first + second
    # Spaces that are left are between words.
    long = pair.count(" ") >= WORDS - 1 or len(_WORD.findall(pair)) >= WORDS
    return pair.encode() if long else None


def _normal(text: str) -> str:
    text = straighten(text).replace("``", '"').replace("''", '"').translate(_QUOTES)
    return _NO_WORDS.sub("", _SPACES.sub(" ", text))


def _hashes(content: UInt8[np.ndarray, " byte"]) -> np.ndarray:
    """Of every eight consecutive bytes, a multiplicative hash (Knuth)."""
    if len(content) < _ANCHOR:
        return np.zeros(0, np.uint64)
    eights = np.lib.stride_tricks.sliding_window_view(content, _ANCHOR)
    numbers = np.ascontiguousarray(eights).view("<u8")[:, 0]
    return (numbers * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _BITS)


def _apart(content: bytes, begin: int, end: int) -> bool:
    """Whether what is there begins and ends at no word's middle."""
    edges = content[max(begin - 1, 0) : begin + 1], content[end - 1 : end + 1]
    return not any(re.fullmatch(rb"\w\w", edge) for edge in edges)
