"""Tables as markdown, and as plain text for a terminal."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxsparse.report.results import Labels, Result
from jaxsparse.report.tables import Table, legend, overview, summaries_of, tables

COLUMNS = 100  # of a terminal
# What a terminal has no room for; report.md has it.
NOT_IN_TERMINAL = {
    "achieved", "total", "class mean", "class mean CI", "difference CI", "p", "ties",
}  # fmt: skip
LONGEST_NAME = 44


def markdown(
    tables: Sequence[Table], run: Mapping[str, Any], pictures: Sequence[str]
) -> str:
    """report.md.

    Args:
        run: has the `command` that made it, and `notes`.
        pictures: names of files beside it.
    """
    lines = ["# Accuracy against sparsity", "", f"    {run['command']}", ""]
    lines += [f"{line}\n" for line in run["notes"]]
    for picture in pictures:
        lines += [f"![{picture.rpartition('.')[0]} against sparsity]({picture})", ""]
    for table in tables:
        lines += [f"## {table.title}", ""]
        lines += [_markdown_row(table.header), "|" + "---|" * len(table.header)]
        lines += [_markdown_row(cells) for cells in table.rows]
        lines += [""]
        for note in table.notes:
            lines += [note, ""]
    columns = [name for table in tables for name in table.header]
    lines += ["## Columns", "", legend(columns), ""]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def terminal(results: Sequence[Result], columns: int = COLUMNS) -> str:
    """The tables in plain text, no line longer than `columns`; the overview last."""
    points = tables(summaries_of(results), Labels(results))
    shown = [_narrowed(table) for table in points]
    blocks = [_plain(table, columns) for table in shown]
    blocks += [_plain(part, columns) for part in _parts(overview(results), columns)]
    lines = [line for block in blocks for line in ("", *block)]
    said = legend(name for table in shown for name in table.header)
    return "\n".join([*lines, "", textwrap.fill(said, columns)])


def _narrowed(table: Table) -> Table:
    chosen = [n for n, name in enumerate(table.header) if name not in NOT_IN_TERMINAL]
    return Table(
        table.title,
        tuple(table.header[n] for n in chosen),
        tuple(tuple(row[n] for n in chosen) for row in table.rows),
        table.notes,
    )


def _parts(table: Table, columns: int) -> Iterator[Table]:
    """A table of many columns as several that fit, the first column in each."""
    first, *others = map(list, zip(table.header, *table.rows, strict=True))
    names = [_shortened(name, LONGEST_NAME) for name in first]
    parts = [[names]]
    for column in others:
        widths = [max(map(len, one)) for one in (*parts[-1], column)]
        if sum(widths) + 2 * (len(widths) - 1) > columns and len(parts[-1]) > 1:
            parts.append([names])
        parts[-1].append(column)
    for part in parts:
        header, *rows = zip(*part, strict=True)
        yield Table(table.title, header, tuple(rows), table.notes)


def _shortened(name: str, longest: int) -> str:
    """Its middle left out, if need be: names of models differ at either end."""
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[head + 1 - longest :]}"


def _plain(table: Table, columns: int) -> list[str]:
    cells = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    # The first column gives way: it is the one with names.
    spare = columns - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = min(widths[0], max(spare, 8))
    title, *notes = [
        textwrap.fill(text, columns) for text in (table.title, *table.notes)
    ]
    return [title, *(_line(row, widths) for row in cells), *notes]


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    (name, width), *rest = zip(cells, widths, strict=True)
    aligned = [_shortened(name, width).ljust(width)]
    aligned += [cell.rjust(width) for cell, width in rest]
    return "  ".join(aligned).rstrip()
