"""Sentences in Penn Treebank tokens from story text: "I can't," he said → `` I ca n't ,
'' he said. The way into CBT's format; `detokenize` is the way back.

Straight quotes say which side they are on by their neighbours: an opening one stands
before a word and behind nothing, a space or a bracket. A single quote behind a word is
' whether it closes or is an apostrophe.
"""

import functools
import re
from collections.abc import Iterator

ABBREVIATIONS = frozenset({
    "Mr", "Mrs", "Ms", "Dr", "St", "Messrs", "Mme", "Mlle", "M", "Prof", "Rev",
    "Hon", "Capt", "Col", "Gen", "Lt", "Sgt", "Esq", "Jr", "Sr", "Co", "No", "Vol",
    "Chap", "vs", "viz", "etc", "i.e", "e.g",
})  # fmt: skip
# What begins with an apostrophe, so that it opens no quotation.
ELISIONS = frozenset({
    "'tis", "'twas", "'twill", "'twould", "'twere", "'twixt", "'tisn't", "'twasn't",
    "'em", "'er", "'im", "'is", "'ere", "'ave", "'ad", "'cause", "'bout", "'un",
    "'ud", "'neath", "'gainst", "'mong", "'prentice", "'nuff", "'ow", "'ome", "'e",
    "'ee",
})  # fmt: skip
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
      | (?P<number>\d+(?:[.,:]\d+)+)
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


def tokens(sentence: str) -> list[str]:
    """The tokens of a sentence in straight quotes."""
    made: list[str] = []
    at = 0
    while match := _TOKEN.search(sentence, at):
        at = match.end()
        kind, text = match.lastgroup, match.group()
        if kind == "quote":
            at = _quote(sentence, match, made)
        elif kind == "bracket":
            made.append(BRACKETS[text])
        elif kind == "dash":
            made.append("--")
        elif kind == "word":
            made += _word(text, "." in text and not sentence[at:].strip("\"')]} "))
        else:
            made.append(text)
    return made


def _quote(sentence: str, match: re.Match[str], made: list[str]) -> int:
    """Adds a quote, or the word that an apostrophe begins; says where to go on."""
    before = sentence[: match.start()][-1:]
    after = sentence[match.end() :][:1]
    opens = (not before or before in " ([{-\"'") and after.strip() != ""
    if match.group() == '"':
        made.append("``" if opens else "''")
        return match.end()
    word = re.match(r"'[\w']+", sentence[match.start() :])
    if opens and word and word.group().lower().rstrip("'") in ELISIONS:
        made += _word(word.group(), False)
        return match.start() + word.end()
    made.append("`" if opens else "'")
    return match.end()


@functools.lru_cache(2**16)  # a book has far fewer
def _word(text: str, last: bool) -> tuple[str, ...]:
    """A run without spaces: closing single quotes, a full stop, a contraction.

    Args:
        last: of its sentence, which matters where there is a full stop.
    """
    text, tail = _without_quotes(text)
    abbreviated = text[:-1] in ABBREVIATIONS or _INITIAL.fullmatch(text[:-1])
    if text.endswith(".") and len(text) > 1 and (last or not abbreviated):
        text, inner = _without_quotes(text[:-1])
        tail = [*inner, ".", *tail]
    if match := _CONTRACTION.search(text):
        return text[: match.start()], match.group(), *tail
    return text, *tail


def _without_quotes(text: str) -> tuple[str, list[str]]:
    """A word, and the single quotes behind it."""
    bare = text.rstrip("'") or text[:1]
    return bare, ["'"] * (len(text) - len(bare))
