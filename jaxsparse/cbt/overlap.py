"""Whether a text holds questions that a model is to be asked.

Two consecutive sentences of a question in a text say that its story is there, too.
Compared are letters and digits alone, so that neither token styles nor editors, nor
the punctuation of a file format, change what is found; case counts.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from jaxsparse.cbt import treebank
from jaxsparse.cbt.questions import BLANK, Question
from jaxsparse.types import InputError

WORDS = 5  # of a pair of sentences; fewer (Yes. No.) stand in any story
_ANCHOR = 8  # bytes; a pair has as many
_BITS = 22  # of a hash; its table is of so many
_CHUNK = 1 << 20  # bytes looked at together
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_BRACKET = re.compile(r"-[LR][CRS]B-")  # as the Penn Treebank's tokens have it
# CBT's own files number the 21 lines of a question.
_NUMBERED = re.compile(r"^1 .*\n2 .*\n3 ", re.MULTILINE)
_LINE_NUMBER = re.compile(r"^\d+ ", re.MULTILINE)


def refuse_overlap(
    texts: Mapping[str, Sequence[str]], questions: Sequence[Question]
) -> None:
    """Raises InputError if two consecutive sentences of a question stand in a text, its
    query, with the answer filled in, being the last of them.

    A pair of fewer than five words is left out. A text that is the whole context of a
    question is refused as well, however short.

    Args:
        texts: by the name of where they are from.
    """
    for name, question_id, sentences in overlaps(texts, questions):
        raise InputError(
            f"{name}: sentences of question {question_id} stand in it, "
            f"{sentences[:60]!r}…; take other text, or allow it: `allow_overlap`"
        )


def overlaps(
    texts: Mapping[str, Sequence[str]], questions: Sequence[Question]
) -> Iterator[tuple[str, str, str]]:
    """Where `refuse_overlap` finds something: the name of a text, a question's id, and
    the sentences, as often as they stand there."""
    told = _Sentences(questions)
    for name, parts in texts.items():
        for text in parts:
            for question_id, sentences in told.found_in(text):
                yield name, question_id, sentences


class _Sentences:
    """Pairs of sentences, and contexts that have none, by their letters."""

    def __init__(self, questions: Sequence[Question]):
        self._pairs: dict[bytes, tuple[str, str, str]] = {}  # a question's id, and both
        self._lengths: dict[bytes, set[int]] = {}  # of the pairs that begin so
        self._contexts: dict[bytes, tuple[str, str]] = {}
        letters_once = functools.cache(_letters)  # questions share their sentences
        for question in questions:
            *context, query = _sentences(question)
            sentences = [(text, *letters_once(text)) for text in (*context, query)]
            known = [
                self._add(question.id, *both) for both in itertools.pairwise(sentences)
            ]
            if context and not any(known[:-1]):
                whole = b"".join(letters for _, letters, _ in sentences[:-1])
                self._contexts.setdefault(whole, (question.id, " ".join(context)))
        anchors = np.frombuffer(b"".join(self._lengths), np.uint8)
        self._table = np.zeros(1 << _BITS, bool)
        self._table[_hashes(anchors)[::_ANCHOR]] = True

    def _add(
        self, name: str, first: tuple[str, bytes, int], second: tuple[str, bytes, int]
    ) -> bool:
        """Adds a pair, each with its letters and the number of its words; says whether
        it is long enough."""
        pair = first[1] + second[1]
        if first[2] + second[2] < WORDS or len(pair) < _ANCHOR:
            return False
        self._lengths.setdefault(pair[:_ANCHOR], set()).add(len(pair))
        self._pairs.setdefault(pair, (name, first[0], second[0]))
        return True

    def found_in(self, text: str) -> Iterator[tuple[str, str]]:
        """Ids of questions, and the sentences of theirs that a text holds."""
        if _NUMBERED.search(text):
            text = _LINE_NUMBER.sub("", text)
        content = np.frombuffer(f" {_words(text)} ".encode(), np.uint8)
        is_letter = content != ord(" ")
        letters = content[is_letter].tobytes()
        if letters in self._contexts:
            yield self._contexts[letters]
        # Whether a word begins at a letter; behind the last one as well.
        begins = np.append(~is_letter[:-1][is_letter[1:]], True)
        for at in self._candidates(letters, begins):
            for length in self._lengths.get(letters[at : at + _ANCHOR], ()):
                end = at + length
                found = self._pairs.get(letters[at:end])
                if found and end <= len(letters) and begins[end]:
                    name, *pair = found
                    yield name, " ".join(pair)

    def _candidates(
        self, letters: bytes, begins: Bool[np.ndarray, " byte"]
    ) -> Iterator[int]:
        """Where a pair may begin, by the hash of its first bytes."""
        all_bytes = np.frombuffer(letters, np.uint8)
        for start in range(0, len(all_bytes), _CHUNK):
            hashes = _hashes(all_bytes[start : start + _CHUNK + _ANCHOR - 1])
            begun = begins[start : start + len(hashes)]
            yield from (start + np.flatnonzero(self._table[hashes] & begun)).tolist()


def _sentences(question: Question) -> list[str]:
    """Those of the context, and the query with the answer filled in. Each text of a
    task may hold several."""
    texts = [*question.context, question.query.replace(BLANK, question.answer)]
    if not question.task:
        return texts
    return [
        sentence
        for text in texts
        for sentence in treebank.sentences(treebank.straighten(text))
    ]


def _letters(sentence: str) -> tuple[bytes, int]:
    """Letters and digits, and the number of words."""
    words = _words(sentence).split()
    return "".join(words).encode(), len(words)


def _words(text: str) -> str:
    """Nothing but words, with a space between them."""
    if "B-" in text:
        text = _BRACKET.sub(" ", text)
    return _BETWEEN_WORDS.sub(" ", text)


def _hashes(content: UInt8[np.ndarray, " byte"]) -> Integer[np.ndarray, " start"]:
    """Of every eight consecutive bytes, a multiplicative hash (Knuth)."""
    if len(content) < _ANCHOR:
        return np.zeros(0, np.uint64)
    eights = np.lib.stride_tricks.sliding_window_view(content, _ANCHOR)
    numbers = np.ascontiguousarray(eights).view("<u8")[:, 0]
    return (numbers * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _BITS)
