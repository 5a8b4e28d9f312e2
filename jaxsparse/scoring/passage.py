"""What a model is given to read: some of the story, and the query around its blank."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxsparse.cbt.detokenize import detokenize
from jaxsparse.cbt.questions import BLANK, Question
from jaxsparse.types import Presentation

Options = Sequence[str]


@dataclass(frozen=True)
class OptionText:
    """A text that holds an option, and which of its characters are the option's."""

    text: str
    start: int
    end: int


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

    def in_blank(self, dropped: int, options: Options) -> list[OptionText]:
        """The text with each option in its blank."""
        before, after = self.around_blank(dropped)
        start = len(before)
        return [
            OptionText(f"{before}{option}{after}", start, start + len(option))
            for option in options
        ]

    def behind_query(self, dropped: int, options: Options) -> list[OptionText]:
        """The text and each option behind it, whose own space counts with it."""
        text = self.text(dropped)
        return [
            OptionText(f"{text} {option}", len(text), len(text) + 1 + len(option))
            for option in options
        ]


@dataclass(frozen=True)
class Gap:
    """A passage in words, with a gap in it for what differs from row to row.

    Ned ran . Then | "XXXXX," | he said .
    words                       after
                     fillings: ' "fox,"', ' "hen,"', …

    All words stand behind a space, but for the first of the text. So do fillings. An
    empty word stands between two spaces in a row; none goes into a filling.
    """

    words: list[str]
    starts: list[int]  # the word that each sentence begins with; last, the query
    fillings: list[str]
    places: list[tuple[int, int]]  # of each filling the characters of the option
    after: list[str]
    alone: tuple[str, ...] = ()  # texts that are read by themselves

    @classmethod
    def of_blank(cls, passage: Passage) -> "Gap":
        """Options in the blank, with what stands at it without a space."""
        left, prefix, suffix, right = _at_blank(passage.query)
        start = 1 + len(prefix)
        return cls(
            *_words(passage, left),
            [f" {prefix}{option}{suffix}" for option in passage.options],
            [(start, start + len(option)) for option in passage.options],
            right,
        )

    @classmethod
    def behind_query(cls, passage: Passage) -> "Gap":
        """Options behind the query; their space counts with them."""
        return cls(
            *_words(passage, passage.query.split(" ")),
            [f" {option}" for option in passage.options],
            [(0, 1 + len(option)) for option in passage.options],
            [],
        )

    @classmethod
    def around_blank(cls, passage: Passage, spaced: bool = False) -> "Gap":
        """Nothing in the blank: the text before it ends there, with a word more in the
        filling that the space behind it is read with; the text after it begins anew.

        Args:
            spaced: a space before the blank goes with the option, see `placing`.
        """
        left, prefix, suffix, right = _at_blank(passage.query)
        words, starts = _words(passage, left)
        if spaced and not prefix and words:
            options = tuple(f" {option}" for option in passage.options)
            alone = (*options, suffix) if suffix else options
            return cls(words, starts, [], [], right, alone)
        filling = f" {prefix}"
        if words and words[-1]:
            filling = f" {words.pop()}{filling}"
        alone = (*passage.options, suffix) if suffix else passage.options
        return cls(words, starts, [filling], [(0, 0)], right, alone)

    @classmethod
    def with_token(cls, passage: Passage, token: str) -> "Gap":
        """A special token in the blank, between the words beside it: a tokenizer cuts
        texts at such tokens before it looks at spaces."""
        left, prefix, suffix, right = _at_blank(passage.query)
        words, starts = _words(passage, left)
        filling = f" {prefix}{token}{suffix}"
        if words and words[-1]:
            filling = f" {words.pop()}{filling}"
        if right and right[0]:
            filling = f"{filling} {right.pop(0)}"
        return cls(words, starts, [filling], [(0, 0)], right, passage.options)


def _at_blank(query: str) -> tuple[list[str], str, str, list[str]]:
    """The words before the blank, what touches it on both sides, the words after."""
    before, after = query.split(BLANK)
    *left, prefix = before.split(" ")
    suffix, *right = after.split(" ")
    return left, prefix, suffix, right


def _words(passage: Passage, left: Sequence[str]) -> tuple[list[str], list[int]]:
    """All words before the gap, and with which of them each sentence begins."""
    starts, words = [0], []
    for sentence in passage.sentences:
        words += sentence.split(" ")
        starts.append(len(words))
    return [*words, *left], starts
