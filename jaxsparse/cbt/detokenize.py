"""Story text from Penn Treebank tokens: `` I ca n't , '' he said → "I can't," he said

CBT was tokenized by Stanford CoreNLP. Almost every token says by itself how it is
spaced, so that its text is looked up; a few ask their neighbours (10 %, $ 5, gim me).
Quotes are the exception: the tokenizer did not always know an opening one.

    ` ``    always open
    ' ''    close, or an opening quote that went unrecognised: it writes ` only before a
            word of two letters or more and `` only before a letter, so "' I", "' 12",
            "'' -- no" are found for opening quotes; or, single, an apostrophe (boys ')

Which one it is follows from the neighbours wherever they decide, and only otherwise
from whether a quote is open. That is carried from sentence to sentence; a wrong guess
lasts until the next token that is certain, and misplaces a space.

Choices: quotes come out straight; "--" keeps a space on both sides, as the tokens have
it (what the book had is lost); "can not" stays two words. Where the sentence splitter
left an opening quote at the end of a sentence, it goes to the next one.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxsparse.cbt.questions import Question
from jaxsparse.types import InputError

OPENING = {"``": '"', "`": "'"}
CLOSING = {"''": '"', "'": "'", '"': '"'}  # as a rule; a straight " is either
QUOTES = OPENING | CLOSING
BRACKETS = {"-LRB-": "(", "-LCB-": "{", "-LSB-": "["}
BRACKETS |= {"-RRB-": ")", "-RCB-": "}", "-RSB-": "]"}
PUNCTUATION = re.compile(r"[.,!?;:]+")
CONTRACTION = re.compile(r"n't|'(s|ll|re|ve|m|d)", re.IGNORECASE)
ELIDED = re.compile(r".*s|.*in|o|th|an|wi", re.IGNORECASE)  # the boys ', goin ', th '
SPLIT_WORDS = {  # one word in the story, two tokens
    "'t": ("is", "was", "were", "will", "would"),
    **dict.fromkeys(("gim", "lem"), ("me",)),
    **dict.fromkeys(("gon", "wan"), ("na",)),
    "got": ("ta",),
    "d'": ("ye",),
}
END = "\n"  # of a sentence; no token holds white space
JOINED = "\t"  # in place of the space that is missing behind a token


class _Place(NamedTuple):
    """A token that asks its neighbours."""

    index: int  # among the story's tokens and ENDs
    token: str
    before: str  # in its sentence, END if it is the first
    after: str  # in the story, "" if it is the last
    ends_sentence: bool


def detokenize(
    question: Question, style: str
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The context sentences, the query and the options of a question as text.

    Style "none" leaves them as they stand, "ptb" undoes the tokens. Every option is a
    text of its own, and nothing before the blank depends on any of them.

    Raises:
        InputError: there is no such style.
    """
    if style not in STYLES:
        raise InputError(f"`detokenize={style}`: choose one of {', '.join(STYLES)}")
    *context, query = STYLES[style]((*question.context, question.query))
    options = tuple(_undo_alone(text, style) for text in question.options)
    return tuple(context), query, options


@functools.lru_cache(2**16)  # thousands of questions have the same options
def _undo_alone(text: str, style: str) -> str:
    return STYLES[style]([text])[0]


def _as_it_stands(sentences: Sequence[str]) -> list[str]:
    return [sentence.strip() for sentence in sentences]


def _undo(sentences: Sequence[str]) -> list[str]:
    """The text of consecutive sentences of one story."""
    tokens: list[str] = []
    for sentence in sentences:
        tokens += sentence.split()
        tokens.append(END)
    texts = list(map(_text, tokens))
    places = [_place(tokens, n) for n, text in enumerate(texts) if not text]
    is_open = {quote: _begins_open(quote, places) for quote in "'\""}
    for place in places:
        n, quote = place.index, QUOTES.get(place.token)
        if quote is None:
            texts[n] = _text_between(place)
            continue
        opens = _opens(place)
        if opens is None:
            opens = not is_open[quote]
        if not _is_apostrophe(place):
            is_open[quote] = opens
        texts[n] = f" {quote}{JOINED}" if opens else quote
        if opens and place.ends_sentence and texts[n - 1] != END and place.after:
            texts[n], texts[n + 1] = END, texts[n]
    text = "".join(texts).replace(f"{JOINED} ", "").replace(JOINED, "")
    return [sentence.removeprefix(" ") for sentence in text.split(END)[:-1]]


@functools.cache
def _text(token: str) -> str:
    """A token's text, its space before it if it has one; "": the neighbours decide.

    Remembered, since every story has the same words.
    """
    if token == END:
        return END
    if token in QUOTES or token in ("$", "%") or token.lower() in SPLIT_WORDS:
        return ""
    if token in BRACKETS:
        bracket = BRACKETS[token]
        return f" {bracket}{JOINED}" if bracket in "({[" else bracket
    text = token.replace(r"\/", "/").replace(r"\*", "*")  # the tokenizer escapes both
    joins_left = PUNCTUATION.fullmatch(token) or CONTRACTION.fullmatch(token)
    return text if joins_left else f" {text}"


def _text_between(place: _Place) -> str:
    """The text of any other token whose neighbours decide: 10 %, $ 5, gim me."""
    token, after = place.token, place.after
    if token == "%":
        return "%" if place.before[-1:].isdigit() else " %"
    words = SPLIT_WORDS.get(token.lower(), ())
    joins_right = after[:1].isdigit() if token == "$" else after.lower() in words
    return f" {token}{JOINED}" if joins_right else f" {token}"


def _place(tokens: Sequence[str], index: int) -> _Place:
    following = index + 1
    while following < len(tokens) and tokens[following] == END:
        following += 1
    return _Place(
        index,
        tokens[index],
        tokens[index - 1],  # of the very first: the last, which is an END, too
        tokens[following] if following < len(tokens) else "",
        following > index + 1,
    )


def _begins_open(quote: str, places: Sequence[_Place]) -> bool:
    """Whether a quote is open before the first sentence: a story begins anywhere.

    The first quote token that is certain says so; every uncertain one before it turns
    the answer round. With none certain, the first one closes if it ends a sentence.
    """
    uncertain: list[_Place] = []
    for place in places:
        if QUOTES.get(place.token) != quote or _is_apostrophe(place):
            continue
        opens = _opens(place)
        if opens is not None:
            return opens == bool(len(uncertain) % 2)
        uncertain.append(place)
    return bool(uncertain) and uncertain[0].ends_sentence


def _opens(place: _Place) -> bool | None:
    """Whether a quote token opens a quote; None: it does unless one is open."""
    if place.token in OPENING:
        return True
    if not _can_open(place):
        return False
    return True if _must_open(place) else None


def _can_open(place: _Place) -> bool:
    """Whether the tokenizer can have overlooked that this token opens a quote."""
    after = place.after
    if not after or after in BRACKETS or CONTRACTION.fullmatch(after):
        return False
    if PUNCTUATION.fullmatch(after):
        return after.startswith("..")
    if after in OPENING and QUOTES[after] == QUOTES[place.token]:
        return _must_open(place)
    if place.token == "'":
        return after not in CLOSING and (len(after) == 1 or not after[0].isalpha())
    if place.token == '"':
        return not place.ends_sentence
    return not after[0].isalpha()


def _must_open(place: _Place) -> bool:
    """Whether a token that can open does so even in an open quote.

    It begins a sentence (speech goes on in a new paragraph), or what it quotes was
    announced: "he said : ' I", or by a word alone, with one more quote right behind it.
    """
    announced = place.before[-1:].isalnum() and place.after in OPENING
    return place.before in (END, ":") or announced


def _is_apostrophe(place: _Place) -> bool:
    """Whether a token is the end of the word before: the boys ' books, goin ' home."""
    if place.token != "'" or place.ends_sentence or _can_open(place):
        return False
    return place.after[:1].isalpha() and bool(ELIDED.fullmatch(place.before))


STYLES = {"ptb": _undo, "none": _as_it_stands}
