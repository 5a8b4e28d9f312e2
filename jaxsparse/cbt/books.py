"""Plain-text books of any origin, read as paragraphs of prose and then as sentences.

Project Gutenberg files lose their header and licence. What is no prose goes too, and is
counted: titles, contents, headings, page numbers, rows of stars.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxsparse.cbt import treebank
from jaxsparse.types import InputError, brief

START = re.compile(
    r"^[^\w\n]*(START\s+OF\s+((THE|THIS)\s+)?PROJECT\s+GUTENBERG.*"
    r"|END.?THE SMALL PRINT.*)$",
    re.MULTILINE | re.IGNORECASE,
)
END = re.compile(
    r"^[^\w\n]*(THE\s+)?END\s+OF\s+((THE|THIS)\s+)?PROJECT\s+GUTENBERG.*$",
    re.MULTILINE | re.IGNORECASE,
)
_PROSE_END = re.compile(r"""[.!?:;,-]["')\]]*$""")


@dataclass(frozen=True)
class Book:
    name: str  # of its file, without the suffix
    paragraphs: tuple[str, ...]  # prose, straight quotes, single spaces
    left_out: int  # paragraphs that are no prose

    def sentences(self) -> Iterator[str]:
        """Its sentences in CBT's form, tokens between spaces."""
        for paragraph in self.paragraphs:
            for sentence in treebank.sentences(paragraph):
                yield " ".join(treebank.tokens(sentence))


def read_book(path: Path) -> Book:
    """Reads a book in UTF-8.

    Raises:
        InputError: the file cannot be read, is not UTF-8, holds no prose, or more than
            one of Project Gutenberg's books.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {brief(error)}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: byte {error.start + 1} of the file is not UTF-8; "
            "convert the file to UTF-8"
        ) from None
    text = _with_newlines(text)
    first_end, starts = END.search(text), list(START.finditer(text))
    if first_end and starts and first_end.start() < starts[-1].start():
        raise InputError(f"{path} holds more than one book; make a file of each")
    book = parse_book(text, path.stem)
    if not book.paragraphs:
        raise InputError(
            f"{path} holds no paragraph of prose: mostly in lower case, with a "
            "punctuation mark at its end; name a plain-text book"
        )
    return book


def parse_book(text: str, name: str) -> Book:
    text = _without_licence(_with_newlines(text))
    text = treebank.straighten(text).replace("_", "")
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text)]
    blocks = [block for block in blocks if block]
    prose = tuple(block for block in blocks if _is_prose(block))
    return Book(name, prose, len(blocks) - len(prose))


def _with_newlines(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _without_licence(text: str) -> str:
    starts = list(START.finditer(text))
    if starts:
        text = text[starts[-1].end() :]
    if end := END.search(text):
        text = text[: end.start()]
    return text


def _is_prose(block: str) -> bool:
    """Words in lower case that end like a sentence, or break off as speech does."""
    letters = [*filter(str.isalpha, block)]
    lower = sum(map(str.islower, letters))
    return (
        bool(letters) and 2 * lower >= len(letters) and bool(_PROSE_END.search(block))
    )
