"""The formats questions come in: CBTest text, json-lines, parquet, the hub data set.

Each reader yields one `Item` per item of its file, in order, the broken ones included.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxsparse.cbt.questions import COLUMNS, SENTENCES, Fault, Item, shown
from jaxsparse.types import InputError, brief

HUB = "cam-cst/cbt"
LINES = SENTENCES + 1

# The columns of a parquet file that are read at all, and those of a task beside them.
READ = (*COLUMNS, "word_class", "split", "story", "book", "group")
OF_TASK = ("task", "context", "query", "id")

Line = tuple[int, str]  # its 1-based number in the file, its text without the line end


def from_text(path: Path) -> Iterator[Item]:
    """Items of a file in CBTest's own format.

    Lines `1 sentence` to `20 sentence`, then `21 query⇥answer⇥⇥option|option|…`. An
    item ends at a blank line or with its 21st line.

    Raises:
        InputError: the file cannot be read, or is not UTF-8.
    """
    block: list[Line] = []
    for number, text in itertools.chain(_lines(path), [(0, "")]):
        if text.strip():
            block.append((number, text))
        if block and (not text.strip() or len(block) == LINES):
            yield _text_item(block)
            block = []


def from_json(path: Path, columns: Sequence[str] = COLUMNS) -> list[Item]:
    """Items of a json-lines file, one object per line; blank lines are passed over.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or lacks a column.
    """
    items = [_json_item(*line) for line in _lines(path) if line[1].strip()]
    _require_columns(items, str(path), columns)
    return items


def from_parquet(path: Path) -> list[Item]:
    """Items of a parquet file, one per row.

    Raises:
        InputError: the file is not parquet, or lacks a column.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        names = pyarrow.parquet.read_schema(path).names
        read = READ + OF_TASK if "task" in names else READ
        used = [name for name in names if name in read]
        rows = pyarrow.parquet.read_table(path, columns=used).to_pylist()
    # ValueError: text that is not UTF-8; OverflowError: a date beyond Python's.
    except (OSError, pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be read as parquet: {brief(error)}") from None
    unread = dict.fromkeys(name for name in names if name not in used)
    return _row_items([{**unread, **row} for row in rows], str(path))


def of_task(items: Iterable[Item]) -> bool:
    """Whether rows name a task: then the file holds any cloze, not CBT."""
    return any(item.fields.get("task") not in (None, "") for item in items)


def from_hub(word_class: str, split: str) -> list[Item]:
    """Items of one class and split of the hub data set, one per row.

    Raises:
        InputError: the data set cannot be had, for whatever reason.
    """
    import datasets

    try:
        rows = datasets.load_dataset(HUB, word_class, split=split)
    except (
        Exception
    ) as error:  # each layer below (hub, HTTP, cache) raises its own kind
        raise InputError(
            f"`data=cbt`: {HUB} ({word_class}, {split}) cannot be had from the hub "
            f"(offline?): {brief(error)}; pass `data=DIR` with the original CBTest "
            "text files, or a .jsonl or .parquet file with the hub's columns"
        ) from error
    return _row_items(rows, f"{HUB}/{word_class}/{split}")


def _text_item(block: Sequence[Line]) -> Item:
    first = block[0][0]
    texts = []
    for part, (_, line) in enumerate(block):
        number, _, text = line.partition(" ")
        if number != str(part + 1):
            reason = (
                f"begins with {shown(number)} where line {part + 1} of {LINES} is due"
            )
            return Item(first, step=1, fault=(part, reason))
        texts.append(text)
    if len(block) < LINES:
        return Item(first, step=1, fault=_early_end(len(block)))
    *sentences, last = texts
    parts = last.split("\t")
    if len(parts) != 4 or parts[2].strip():
        reason = f"not query, answer, nothing and options between tabs: {shown(last)}"
        return Item(first, step=1, fault=(SENTENCES, reason))
    fields = {
        "sentences": sentences,
        "question": parts[0],
        "answer": parts[1],
        "options": parts[3].split("|"),
    }
    return Item(first, fields, step=1)


def _early_end(lines: int) -> Fault:
    return lines - 1, f"the item ends after line {lines} of {LINES}"


def _json_item(number: int, text: str) -> Item:
    try:
        value = json.loads(text)
    except ValueError as error:
        return Item(number, fault=(0, f"invalid JSON: {error}"))
    except RecursionError:
        return Item(number, fault=(0, "invalid JSON: nested too deeply"))
    if not isinstance(value, dict):
        return Item(
            number, fault=(0, f"{shown(value)} is not one JSON object per line")
        )
    return Item(number, value)


def _row_items(rows: Iterable[Any], file: str) -> list[Item]:
    items = [Item(number, row) for number, row in enumerate(rows, 1)]
    _require_columns(items, file)
    return items


def _require_columns(
    items: Sequence[Item], file: str, columns: Sequence[str] = COLUMNS
) -> None:
    """A column that some rows lack makes those rows malformed; all rows, the file. A
    task's rows are judged one by one."""
    if of_task(items):
        return
    rows = [item.fields for item in items if not item.fault]
    for column in columns:
        if rows and not any(column in row for row in rows):
            raise InputError(
                f"{file} has no column {column!r}; it needs {', '.join(columns)}"
            )


def _lines(path: Path) -> Iterator[Line]:
    r"""The lines of a UTF-8 file, split at "\n" alone: stories hold U+2028 and such."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = _decoded(line, f"{path}:{number}")
                text = text.removeprefix("\ufeff") if number == 1 else text
                yield number, text.rstrip("\r\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {brief(error)}") from None


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: byte {error.start + 1} of the line is not UTF-8; "
            "convert the file to UTF-8"
        ) from None
