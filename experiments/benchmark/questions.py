"""The questions of a benchmark: bundled ones, their stories brought to one length.

A question's story begins where it did or earlier in the book, so that story and query
are about as many tokens as asked, by the tokenizer of the model that is measured; then
it is cut into twenty sentences again.
"""

import bisect
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxsparse import cbt
from jaxsparse.assets import STORIES
from jaxsparse.cbt.books import read_book
from jaxsparse.cbt.questions import SENTENCES
from jaxsparse.scoring.passage import Passage
from jaxsparse.types import InputError, Presentation

SHORTEST = 0.95  # of the length asked for: sentences are whole, and a story begins

Sentences = tuple[str, ...]


def read(data: str, number: int) -> tuple[cbt.Question, ...]:
    """Questions of any data set, as they are, even over the classes.

    Raises:
        InputError: they are malformed, or not all of one number of options.
    """
    reading = cbt.read(data, None, None)
    cbt.check(reading.malformed, skip=False)
    counts = sorted({len(question.options) for question in reading.questions})
    if len(counts) > 1:
        raise InputError(
            f"`data`: {data} has questions of {counts[0]} to {counts[-1]} options; a "
            "benchmark takes questions of one number of options"
        )
    return cbt.select(reading.questions, number)


def bundled(
    tokenizer: Any, tokens: int, number: int, seed: int
) -> tuple[cbt.Question, ...]:
    """Bundled test questions in random order, even over the classes.

    Raises:
        InputError: there are not so many with enough story before them.
    """
    questions = cbt.read("bundled", "test", None).questions
    order = np.random.default_rng(seed).permutation(len(questions))
    shuffled = [questions[index] for index in order]
    wanted = Counter(item.word_class for item in cbt.select(shuffled, number))
    found = []
    for question in shuffled if number <= len(questions) else ():
        if wanted[question.word_class]:
            resized = _with_length(question, tokenizer, tokens)
            if length(resized, tokenizer) >= SHORTEST * tokens:
                found.append(resized)
                wanted[question.word_class] -= 1
    if len(found) < number:
        raise InputError(
            f"--questions={number}: the bundled stories give {len(found)} of "
            f"{tokens} tokens; ask for fewer"
        )
    return tuple(found)


def length(question: cbt.Question, tokenizer: Any) -> int:
    """Tokens of story and query."""
    text = Passage.of(question, Presentation()).text(0)
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _with_length(question: cbt.Question, tokenizer: Any, tokens: int) -> cbt.Question:
    """The question with the longest story, of whole sentences, that stays within."""
    sentences = _up_to(question)

    def of_last(kept: int) -> cbt.Question | None:
        context = twenty(sentences[-kept:])
        return replace(question, context=context) if context else None

    def too_long(kept: int) -> bool:
        made = of_last(kept)
        return made is not None and length(made, tokenizer) > tokens

    longer = bisect.bisect_left(range(1, len(sentences) + 1), True, key=too_long)
    return (longer and of_last(longer)) or question


def twenty(sentences: Sentences) -> Sentences | None:
    """The same words in twenty sentences: the first are joined, the longest split.

    None where there are too few words. Split between two words, a story reads the same.
    """
    parts = [sentence.split() for sentence in sentences]
    while len(parts) > SENTENCES:
        shortest = min(
            range(len(parts) - 1), key=lambda i: len(parts[i] + parts[i + 1])
        )
        parts[shortest : shortest + 2] = [parts[shortest] + parts[shortest + 1]]
    while len(parts) < SENTENCES:
        places = [
            (len(part), i, at) for i, part in enumerate(parts) for at in _splits(part)
        ]
        if not places:
            return None
        _, longest, at = max(places, key=lambda place: place[0])
        part = parts[longest]
        parts[longest : longest + 1] = [part[:at], part[at:]]
    return tuple(" ".join(part) for part in parts)


def _splits(words: Sequence[str]) -> list[int]:
    """The place between two plain words that is nearest to the middle, if any."""
    places = [
        at
        for at in range(1, len(words))
        if words[at - 1].isalpha() and words[at].isalpha()
    ]
    return sorted(places, key=lambda at: abs(2 * at - len(words)))[:1]


def _up_to(question: cbt.Question) -> Sentences:
    """All sentences of the question's story, up to the query."""
    sentences, end = _places()[question.context]
    return sentences[:end]


@functools.cache
def _places() -> dict[Sentences, tuple[Sentences, int]]:
    """Any twenty sentences of the bundled stories: in which they are, and their end."""
    return {
        sentences[end - SENTENCES : end]: (sentences, end)
        for path in sorted((STORIES / "test").glob("*.txt"))
        for sentences in [tuple(read_book(path).sentences())]
        for end in range(SENTENCES, len(sentences) + 1)
    }
