"""Sentences in Penn Treebank tokens from story text: "I can't," he said → `` I ca n't ,
'' he said. The way into CBT's format; `detokenize` is the way back.

Straight quotes say which side they are on by their neighbours: an opening one stands
before a word and behind nothing, a space or a bracket. A single quote behind a word
closes if one is open, and is an apostrophe otherwise.
"""

import re
from collections.abc import Iterator

ABBREVIATIONS = frozenset(
    "Mr Mrs Ms Dr St Messrs Mme Mlle M Prof Rev Hon Capt Col Gen Lt Sgt Esq Jr Sr "
    "Co No Vol Chap vs viz etc i.e e.g".split()
)
# What begins with an apostrophe, so that it opens no quotation.
ELISIONS = frozenset(
    "'tis 'twas 'twill 'twould 'twere 'twixt 'tisn't 'twasn't 'em 'er 'im 'is 'ere "
    "'ave 'ad 'cause 'bout 'un 'ud 'neath 'gainst 'mong 'prentice 'nuff 'ow 'ome 'e 'ee".split()
)
STRAIGHT = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»", '"'),
        **dict.fromkeys("‘’‚‛", "'"),
        **dict.fromkeys("—–―", "--"),
        "…": "...",
        "\u00a0": " ",
    }
)
BRACKETS = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-"}
BRACKETS |= {"{": "-LCB-", "}": "-RCB-"}

_END = re.compile(r"""[.!?]+(?:["')\]]+|(?=\s|$))""")
_NEXT = re.compile(r"""(?:--|["'(\[]|\s)*[A-Z0-9]""")
_LAST_WORD = re.compile(r"[^\s\"'(\[-]+$")
_INITIAL = re.compile(r"[A-Z](\.[A-Z])*")
_TOKEN = re.compile(
    r"""(?P<quote>["'])
      | (?P<dash>-{2,})
      | (?P<dots>\.{2,})
      | (?P<bracket>[()\[\]{}])
      | (?P<punctuation>[,;:!?])
      | (?P<word>[^\s"()\[\]{},;:!?]+?(?=-{2,}|\.{2,}|["()\[\]{},;:!?]|\s|$))""",
    re.VERBOSE,
)
_CONTRACTION = re.compile(r"(?<=.)(n't|'(?:s|ll|re|ve|m|d))$", re.IGNORECASE)


def straighten(text: str) -> str:
    """Curly quotes, long dashes and the like in ASCII, as CBT has them."""
    return text.translate(STRAIGHT)


def sentences(paragraph: str) -> Iterator[str]:
    """The sentences of a paragraph, as text.

    A sentence ends at . ! or ?, with the quotes and brackets that close behind it, if
    what follows begins with a capital letter or a digit; titles and initials do not end
    one.
    """
    begin = 0
    for end in _END.finditer(paragraph):
        if _ends_sentence(paragraph, begin, end):
            yield paragraph[begin : end.end()].strip()
            begin = end.end()
    if rest := paragraph[begin:].strip():
        yield rest


def _ends_sentence(paragraph: str, begin: int, end: re.Match[str]) -> bool:
    if paragraph[end.end() : end.end() + 1].strip() or not _NEXT.match(
        paragraph, end.end()
    ):
        return False
    word = _LAST_WORD.search(paragraph[begin : end.start()])
    if end.group() != "." or word is None:
        return True
    return word.group() not in ABBREVIATIONS and not _INITIAL.fullmatch(word.group())


def tokens(sentences: list[str]) -> list[list[str]]:
    """The tokens of consecutive sentences of one paragraph; open quotes carry over."""
    tokenizer = _Tokenizer()
    return [tokenizer.tokens(sentence) for sentence in sentences]


class _Tokenizer:
    """Tokenizes sentence after sentence; knows whether a single quote is open."""

    def __init__(self) -> None:
        self._single_open = False

    def tokens(self, sentence: str) -> list[str]:
        made: list[str] = []
        at = 0
        while match := _TOKEN.search(sentence, at):
            at = match.end()
            kind, text = match.lastgroup, match.group()
            if kind == "quote":
                at = self._quote(sentence, match, made)
            elif kind == "bracket":
                made.append(BRACKETS[text])
            elif kind == "dash":
                made.append("--")
            elif kind == "word":
                made += self._word(text, last=not sentence[at:].strip("\"')]} "))
            else:
                made.append(text)
        return made

    def _quote(self, sentence: str, match: re.Match[str], made: list[str]) -> int:
        """Adds a quote, or the word that an apostrophe begins; where to go on."""
        before = sentence[: match.start()][-1:]
        after = sentence[match.end() :]
        opens = (not before or before in " ([{-\"'") and after[:1].strip() != ""
        if match.group() == '"':
            made.append("``" if opens else "''")
            return match.end()
        word = re.match(r"'[\w']+", sentence[match.start() :])
        if opens and word and self._is_elision(word.group()):
            made += self._word(word.group(), last=False)
            return match.start() + word.end()
        if opens:
            self._single_open = True
            made.append("`")
        else:
            self._single_open = False
            made.append("'")
        return match.end()

    def _is_elision(self, word: str) -> bool:
        return word.lower().rstrip("'") in ELISIONS

    def _word(self, text: str, last: bool) -> list[str]:
        """A run without spaces: closing single quotes, a full stop, a contraction."""
        tail: list[str] = []
        while len(text) > 1 and text.endswith("'"):
            text, tail = text[:-1], ["'", *tail]
            self._single_open = False
        ends = text.endswith(".") and len(text) > 1
        if ends and (last or text[:-1] not in ABBREVIATIONS) and not (
            _INITIAL.fullmatch(text[:-1]) and not last
        ):
            text, tail = text[:-1], [".", *tail]
            while len(text) > 1 and text.endswith("'"):
                text, tail = text[:-1], ["'", *tail]
        if match := _CONTRACTION.search(text):
            return [text[: match.start()], match.group(), *tail]
        return [text, *tail]
