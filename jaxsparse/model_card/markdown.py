"""Markdown of the card. Texts that are somebody else's (names, paths, a command) are
escaped: none of them can end a table or a block."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

SPECIAL = {ord(letter): f"\\{letter}" for letter in "\\`*_[]<>|~&#"}


def section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    for cells in (header, ("---",) * len(header), *rows):
        yield f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """As it is, wherever it stands in a line of markdown."""
    return one_line(text).translate(SPECIAL)


def one_line(text: str) -> str:
    """What is not printable (a line's end, say) as Python writes it."""
    return "".join(
        letter if letter.isprintable() else repr(letter)[1:-1] for letter in text
    )
