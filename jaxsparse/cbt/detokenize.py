"""Story text from Penn Treebank tokens: `` I ca n't , '' he said → "I can't," he said

CBT was tokenized by Stanford CoreNLP. Almost every token says by itself how it is
spaced; quotes are the exception: the tokenizer did not always know an opening one.

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

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    *(("'t", verb) for verb in ("is", "was", "were", "will", "would")),
    *(("gim", "me"), ("lem", "me"), ("gon", "na"), ("wan", "na"), ("got", "ta")),
    ("d'", "ye"),
}


@dataclass(frozen=True)
class _Piece:
    """A token's text, and whether a space is missing before or after it."""

    text: str
    joins_left: bool = False
    joins_right: bool = False


@dataclass(frozen=True)
class _Place:
    """A token between its neighbours."""

    token: str
    before: str  # in its sentence, "" if it is the first
    after: str  # in the story, "" if it is the last
    sentence: int
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
    undo = STYLES[style]
    *context, query = undo((*question.context, question.query))
    return tuple(context), query, tuple(undo([text])[0] for text in question.options)


def _as_it_stands(sentences: Sequence[str]) -> list[str]:
    return [sentence.strip() for sentence in sentences]


def _undo(sentences: Sequence[str]) -> list[str]:
    """The text of consecutive sentences of one story."""
    places = _places([sentence.split() for sentence in sentences])
    is_open = {quote: _begins_open(quote, places) for quote in "'\""}
    done: list[list[_Piece]] = [[] for _ in sentences]
    for place in places:
        quote, here = QUOTES.get(place.token), done[place.sentence]
        if quote is None:
            here.append(_piece(place))
            continue
        opens = _opens(place, is_open[quote])
        if not _is_apostrophe(place):
            is_open[quote] = opens
        if opens and place.ends_sentence and here and place.after:
            here = done[place.sentence + 1]
        here.append(_Piece(quote, joins_left=not opens, joins_right=opens))
    return [_joined(pieces) for pieces in done]


def _places(sentences: Sequence[Sequence[str]]) -> list[_Place]:
    tokens = ["", *(token for sentence in sentences for token in sentence), ""]
    places: list[_Place] = []
    for index, sentence in enumerate(sentences):
        for position, token in enumerate(sentence, 1):
            before = sentence[position - 2] if position > 1 else ""
            after = tokens[len(places) + 2]
            ends = position == len(sentence)
            places.append(_Place(token, before, after, index, ends))
    return places


def _begins_open(quote: str, places: Sequence[_Place]) -> bool:
    """Whether a quote is open before the first sentence: a story begins anywhere.

    The first quote token that is certain says so; every uncertain one before it turns
    the answer round. With none certain, the first one closes if it ends a sentence.
    """
    uncertain: list[_Place] = []
    for place in places:
        if QUOTES.get(place.token) != quote or _is_apostrophe(place):
            continue
        opens = [_opens(place, is_open) for is_open in (False, True)]
        if opens[0] == opens[1]:
            return opens[0] == bool(len(uncertain) % 2)
        uncertain.append(place)
    return bool(uncertain) and uncertain[0].ends_sentence


def _opens(place: _Place, is_open: bool) -> bool:
    """Whether a quote token opens a quote, given whether one is open."""
    if place.token in OPENING:
        return True
    if not _can_open(place):
        return False
    return _must_open(place) or not is_open


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
    return place.before in ("", ":") or announced


def _is_apostrophe(place: _Place) -> bool:
    """Whether a token is the end of the word before: the boys ' books, goin ' home."""
    if place.token != "'" or place.ends_sentence or _can_open(place):
        return False
    return place.after[:1].isalpha() and bool(ELIDED.fullmatch(place.before))


def _piece(place: _Place) -> _Piece:
    """The piece of any token but a quote."""
    token, before, after = place.token, place.before.lower(), place.after.lower()
    if token in BRACKETS:
        opens = BRACKETS[token] in "({["
        return _Piece(BRACKETS[token], joins_left=not opens, joins_right=opens)
    joins_left = (
        PUNCTUATION.fullmatch(token)
        or CONTRACTION.fullmatch(token)
        or (token == "%" and before[-1:].isdigit())
        or (before, token.lower()) in SPLIT_WORDS
    )
    joins_right = token == "$" and after[:1].isdigit()
    text = token.replace(r"\/", "/").replace(r"\*", "*")  # the tokenizer escapes both
    return _Piece(text, bool(joins_left), joins_right)


def _joined(pieces: Sequence[_Piece]) -> str:
    text = ""
    for left, piece in zip([None, *pieces], pieces, strict=False):
        together = left is None or left.joins_right or piece.joins_left
        text += piece.text if together else f" {piece.text}"
    return text


STYLES = {"ptb": _undo, "none": _as_it_stands}
