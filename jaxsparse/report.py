"""What a run leaves behind: results.csv, predictions.parquet, report.md, accuracy.png,
run.json.

Every file appears whole or not at all. Fractions in the files for programs, percent in
the tables for people.
"""

import csv
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxsparse import plots
from jaxsparse.evaluation import Accuracy, accuracies
from jaxsparse.model import Model
from jaxsparse.sweep import Point
from jaxsparse.types import InputError
from jaxsparse.whole import whole_file

RECIPE_COLUMNS = (
    "model", "family", "protocol", "context", "detokenize", "method", "pattern",
    "scope", "prunable", "dtype", "seed", "sparsity", "achieved_sparsity",
    "total_sparsity", "finetuned", "word_class", "split",
)  # fmt: skip
RESULT_COLUMNS: tuple[str, ...] = (
    *RECIPE_COLUMNS,
    "questions", "correct", "accuracy", "ci_low", "ci_high", "dense_accuracy",
    "p_vs_dense", "truncated", "ties", "seconds", "questions_per_second",
)  # fmt: skip
CHANCE = 0.1
TITLE = "CBT accuracy, Wilson 95 % intervals"
FILES = ("report.md", "results.csv", "accuracy.png", "predictions.parquet", "run.json")
POINT_COLUMNS = ("method", "sparsity", "achieved", "of all")
POOLED_COLUMNS = ("all", "95 % CI", "p", "ties", "s")

PREDICTIONS = pa.schema(
    [(name, pa.string()) for name in RECIPE_COLUMNS[:10]]
    + [("seed", pa.int64())]
    + [(name, pa.float64()) for name in RECIPE_COLUMNS[11:14]]
    + [("finetuned", pa.bool_()), ("word_class", pa.string()), ("split", pa.string())]
    + [
        ("question_id", pa.string()),
        ("answer", pa.string()),
        ("options", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("option_tokens", pa.list_(pa.int32())),
        ("predicted", pa.int32()),
        ("correct", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Result:
    """One point of one model's sweep, and its accuracies by word class."""

    model: str  # as it is called in this run
    family: str
    dtype: str
    digest: str  # of the model's content
    point: Point
    accuracies: tuple[Accuracy, ...]
    finetuned: bool = False

    @classmethod
    def of(cls, model: Model, point: Point) -> "Result":
        rows = tuple(accuracies(point.asked, point.scores, point.dense))
        return cls(model.name, model.family, model.dtype, model.digest, point, rows)

    @property
    def split(self) -> str:
        """The split of the questions; several are joined by +."""
        questions = self.point.asked.questions
        return "+".join(dict.fromkeys(question.split for question in questions))

    def recipe(self) -> dict[str, Any]:
        """The recipe columns, but for word class and split."""
        point, recipe = self.point, self.point.recipe
        return {
            "model": self.model,
            "family": self.family,
            "protocol": point.asked.protocol,
            "context": point.asked.context,
            "detokenize": point.asked.detokenize,
            "method": recipe.method,
            "pattern": recipe.pattern,
            "scope": recipe.scope,
            "prunable": recipe.prunable,
            "dtype": self.dtype,
            "seed": recipe.seed,
            "sparsity": point.sparsity,
            "achieved_sparsity": point.achieved_sparsity,
            "total_sparsity": point.total_sparsity,
            "finetuned": self.finetuned,
        }


def result_rows(result: Result) -> Iterator[dict[str, Any]]:
    """Rows of results.csv: one for each word class, and `all`."""
    for row in result.accuracies:
        yield {**result.recipe(), "split": result.split, **asdict(row)}


def prediction_table(result: Result) -> pa.Table:
    """Rows of predictions.parquet: one for each question."""
    asked, scores = result.point.asked, result.point.scores
    questions = asked.questions
    columns: dict[str, Any] = {
        name: [value] * len(questions) for name, value in result.recipe().items()
    }
    columns |= {
        "word_class": [question.word_class for question in questions],
        "split": [question.split for question in questions],
        "question_id": [question.id for question in questions],
        "answer": [question.answer for question in questions],
        "options": [list(question.options) for question in questions],
        "scores": list(scores.scores),
        "option_tokens": [list(tokens) for tokens in asked.option_tokens],
        "predicted": scores.predicted,
        "correct": scores.correct(questions),
    }
    return pa.table(columns, schema=PREDICTIONS)


def check_replaceable(out: Path) -> None:
    """Raises InputError if something that is no file has the name of one of ours."""
    for name in FILES:
        if (path := out / name).exists() and not path.is_file():
            raise InputError(f"{path} is in the way and is not a file; move it")


def write(out: Path, results: Sequence[Result], run: Mapping[str, Any]) -> None:
    """Writes all files of a run into the directory `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        # Entered first, replaced last: it says what the others are.
        whole_file(out / "run.json") as facts,
        whole_file(out / "predictions.parquet") as predictions,
        whole_file(out / "results.csv") as table,
        whole_file(out / "accuracy.png") as picture,
        whole_file(out / "report.md") as text,
    ):
        # A file, not a path: pyarrow reads a path with a colon as an address.
        with (
            predictions.open("wb") as file,
            pq.ParquetWriter(file, PREDICTIONS) as writer,
        ):
            for result in results:
                writer.write_table(prediction_table(result))
        with table.open("w", newline="", encoding="utf-8") as file:
            rows = csv.DictWriter(file, RESULT_COLUMNS, lineterminator="\n")
            rows.writeheader()
            for result in results:
                rows.writerows(result_rows(result))
        text.write_text(markdown(results, run), encoding="utf-8")
        plots.save(plots.draw_accuracy(list(curves(results)), CHANCE, TITLE), picture)
        facts.write_text(f"{json.dumps(run, indent=2)}\n", encoding="utf-8")


def _by_curve(
    results: Sequence[Result],
) -> Iterator[tuple[str, str, list[Result]]]:
    """Model, protocol (and method, if there are several), and the points of a line."""
    several = len({result.point.recipe.method for result in results}) > 1
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        label = result.point.asked.protocol
        label += f", {result.point.recipe.method}" * several
        groups.setdefault((result.model, label), []).append(result)
    for (model, label), members in groups.items():
        yield model, label, members


def curves(results: Sequence[Result]) -> Iterator[plots.Curve]:
    """The pooled accuracy of every model, protocol and method, as lines of a plot."""
    for model, label, members in _by_curve(results):
        pooled = [result.accuracies[-1] for result in members]
        yield plots.Curve(
            panel=model,
            label=label,
            sparsities=tuple(result.point.sparsity for result in members),
            accuracy=tuple(row.accuracy for row in pooled),
            low=tuple(row.ci_low for row in pooled),
            high=tuple(row.ci_high for row in pooled),
        )


@dataclass(frozen=True)
class Table:
    """One table for people: a model under one protocol, a row for each point."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def tables(results: Sequence[Result]) -> Iterator[Table]:
    """One for each model and protocol, in the order of the run."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        key = (result.model, result.point.asked.protocol)
        groups.setdefault(key, []).append(result)
    for (model, protocol), members in groups.items():
        first = members[0]
        pooled = first.accuracies[-1]
        classes = tuple(row.word_class for row in first.accuracies[:-1])
        yield Table(
            title=f"{model} · {protocol}",
            header=(*POINT_COLUMNS, *classes, *POOLED_COLUMNS),
            rows=tuple(_row(result) for result in _dense_once(members)),
            notes=(
                f"{pooled.questions} questions, {pooled.truncated} with sentences "
                f"dropped to fit; {first.family}, {first.dtype}, "
                f"scope {first.point.recipe.scope}, prunable "
                f"{first.point.recipe.prunable}",
            ),
        )


def overview(results: Sequence[Result]) -> Table:
    """Every line of the plot as a row: pooled accuracy at each sparsity."""
    sparsities = sorted({result.point.sparsity for result in results})
    rows = []
    for model, label, members in _by_curve(results):
        at = {one.point.sparsity: one.accuracies[-1].accuracy for one in members}
        cells = [f"{100 * at[s]:.1f}" if s in at else "" for s in sparsities]
        rows.append((f"{model} · {label}", *cells))
    return Table(
        title="Accuracy at each sparsity, all word classes pooled",
        header=("", *(f"{sparsity:g}" for sparsity in sparsities)),
        rows=tuple(rows),
        notes=(),
    )


def _dense_once(results: Sequence[Result]) -> Iterator[Result]:
    """Leaves out dense as it comes again with each further method."""
    first = results[0].point.recipe
    for result in results:
        if result.point.sparsity or result.point.recipe == first:
            yield result


def _row(result: Result) -> tuple[str, ...]:
    pooled = result.accuracies[-1]
    p_value = "" if pooled.p_vs_dense is None else f"{pooled.p_vs_dense:.2g}"
    return (
        result.point.recipe.method if result.point.sparsity else "dense",
        f"{result.point.sparsity:g}",
        f"{result.point.achieved_sparsity:.4f}",
        f"{result.point.total_sparsity:.4f}",
        *(f"{100 * row.accuracy:.1f}" for row in result.accuracies),
        f"{100 * pooled.ci_low:.1f}–{100 * pooled.ci_high:.1f}",
        p_value,
        f"{pooled.ties}",
        f"{pooled.seconds:.1f}",
    )


LEGEND = (
    "sparsity: requested; achieved: of the prunable weights; of all: parameters. "
    f"Accuracy in percent; chance is {100 * CHANCE:.0f}. CI: Wilson, 95 %. p: exact "
    "McNemar against dense on the same questions. ties: questions whose best score two "
    "options share (the first is taken). s: seconds of scoring."
)


def markdown(results: Sequence[Result], run: Mapping[str, Any]) -> str:
    """report.md."""
    lines = ["# Accuracy against sparsity", "", f"    {run['command']}", "", LEGEND, ""]
    lines += [f"{line}\n" for line in run["notes"]]
    lines += ["![accuracy against sparsity](accuracy.png)", ""]
    for table in (overview(results), *tables(results)):
        lines += [f"## {table.title}", ""]
        lines += [_markdown_row(table.header), "|" + "---|" * len(table.header)]
        lines += [_markdown_row(cells) for cells in table.rows]
        lines += ["", *table.notes, ""]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def terminal(results: Sequence[Result], columns: int = 100) -> str:
    """The same tables in plain text, the overview last and if it fits; sentences are
    wrapped to so many columns."""
    blocks = [_plain(table, columns) for table in tables(results)]
    at_a_glance = _plain(overview(results), columns)
    if max(map(len, at_a_glance)) <= columns:
        blocks.append(at_a_glance)
    lines = [line for block in blocks for line in ("", *block)]
    return "\n".join([*lines, "", textwrap.fill(LEGEND, columns)])


def _plain(table: Table, columns: int) -> list[str]:
    cells = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    notes = [textwrap.fill(note, columns) for note in table.notes]
    return [table.title, *(_line(row, widths) for row in cells), *notes]


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return "  ".join(aligned).rstrip()
