"""Tables as markdown, and as plain text for a terminal."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxsparse.report import costs, losses, reconstruction, timing, trained
from jaxsparse.report.cells import TextTable, legend
from jaxsparse.report.claims import findings, of_zeros, within
from jaxsparse.report.statistics import Statistics
from jaxsparse.report.tables import overview, tables, times

TITLE = "# Accuracy against sparsity"  # of report.md
SHOWN = {
    "accuracy_seconds": "accuracy against the seconds of a question",
    "finetuned": "one-shot and fine-tuned accuracy against sparsity",
}
COLUMNS = 100  # of a terminal
# What a terminal has no room for; report.md has it.
NOT_IN_TERMINAL = {
    "achieved", "total", "class mean", "class mean CI", "difference CI", "stories CI",
    "loss at most", "p", "ties", "perplexity", "seeds",
}  # fmt: skip
LONGEST_NAME = 44


def markdown(
    tables: Sequence[TextTable],
    run: Mapping[str, Any],
    pictures: Sequence[str],
    sentences: Sequence[str],
) -> str:
    """report.md.

    Args:
        run: has the `command` that made it, and `notes`.
        pictures: names of files beside it.
        sentences: what was found, in short first.
    """
    lines = [TITLE, "", f"    {run['command']}", ""]
    first, *others = map(_escaped, sentences)
    lines += [first, "", *(f"- {sentence}" for sentence in others), ""]
    lines += [f"{_escaped(line)}\n" for line in run["notes"]]
    for picture in pictures:
        name = picture.rpartition(".")[0]
        lines += [f"![{SHOWN.get(name, f'{name} against sparsity')}]({picture})", ""]
    for table in tables:
        lines += [f"## {_escaped(table.title)}", ""]
        lines += [_markdown_row(table.header), "|" + "---|" * len(table.header)]
        lines += [_markdown_row(cells) for cells in table.rows]
        lines += [""]
        for note in table.notes:
            lines += [_escaped(note), ""]
    lines += ["## Columns", "", legend(tables), ""]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def terminal(found: Statistics, verbose: bool = False, columns: int = COLUMNS) -> str:
    """The report in plain text, no line longer than `columns`.

    First what fits a screen: the accuracy of each curve at each sparsity, and what it
    shows. `verbose` adds every table of points, with what its columns mean.
    """
    first, *others = findings(found)
    first_tables = (
        overview(found),
        *([times(found)] if timing.is_timed(found.points) else []),
        *losses.overview(found.points, found.labels),
    )
    blocks = [
        _plain(part, columns)
        for table in first_tables
        for part in _parts(table, columns)
    ]
    blocks += [_plain(_narrowed(table), columns) for table in trained.overview(found)]
    zeros = [of_zeros(summary) for summary in found.summaries]
    blocks.append(_filled([first, *dict.fromkeys(filter(None, zeros))], columns))
    blocks.append(_filled(reconstruction.damping(found.points), columns))
    blocks.append(_filled(_on_margin(found), columns))
    if verbose:
        blocks += _details(others, found, columns)
    blocks = [block for block in blocks if block]
    return "\n".join(line for block in blocks for line in ("", *block))


def _on_margin(found: Statistics) -> Iterator[str]:
    if found.margin is None:
        return
    for loss in found.losses:
        if loss.says_something:
            yield f"{found.labels.curve(loss.curve)}: {within(loss, found.margin)}"


def _details(
    sentences: Sequence[str], found: Statistics, columns: int
) -> Iterator[list[str]]:
    """What does not fit a screen: all sentences, all tables, their legend."""
    yield _filled(sentences, columns)
    for table in reconstruction.overview(found.points, found.labels):
        yield from (_plain(part, columns) for part in _parts(table, columns))
    points = [_narrowed(table) for table in tables(found)]
    for table in costs.overview(found):
        yield from (_plain(part, columns) for part in _parts(table, columns))
    yield from (_plain(table, columns) for table in points)
    yield _filled([legend(points)], columns)


def _filled(texts: Iterable[str], columns: int) -> list[str]:
    return [textwrap.fill(text, columns) for text in texts]


def _narrowed(table: TextTable) -> TextTable:
    chosen = [
        n
        for n, name in enumerate(table.header)
        if not (name in NOT_IN_TERMINAL or name.startswith("perplexity "))
    ]
    return TextTable(
        table.title,
        tuple(table.header[n] for n in chosen),
        tuple(tuple(row[n] for n in chosen) for row in table.rows),
        table.notes,
    )


def _parts(table: TextTable, columns: int) -> Iterator[TextTable]:
    """A table of many columns as several that fit, the first column in each."""
    first, *others = map(list, zip(table.header, *table.rows, strict=True))
    names = [_shortened(name, LONGEST_NAME) for name in first]
    parts = [[names]]
    for column in others:
        widths = [max(map(len, texts)) for texts in (*parts[-1], column)]
        if sum(widths) + 2 * (len(widths) - 1) > columns and len(parts[-1]) > 1:
            parts.append([names])
        parts[-1].append(column)
    for part in parts:
        header, *rows = zip(*part, strict=True)
        notes = table.notes if part is parts[-1] else ()
        yield TextTable(table.title, header, tuple(rows), notes)


def _shortened(name: str, longest: int) -> str:
    """Its middle left out, if need be: names of models differ at either end."""
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[head + 1 - longest :]}"


def _plain(table: TextTable, columns: int) -> list[str]:
    cells = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    # The first column gives way: it is the one with names.
    spare = columns - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = min(widths[0], max(spare, 8))
    title, *notes = _filled((table.title, *table.notes), columns)
    return [title, *(_line(row, widths) for row in cells), *notes]


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    (name, width), *rest = zip(cells, widths, strict=True)
    aligned = [_shortened(name, width).ljust(width)]
    aligned += [cell.rjust(width) for cell, width in rest]
    return "  ".join(aligned).rstrip()
