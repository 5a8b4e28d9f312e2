"""The files of a run, written and read again.

Every file appears whole or not at all. Fractions in the files for programs, percent in
the tables for people.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxsparse import plots
from jaxsparse.cbt import Question
from jaxsparse.points import Point
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.report import explorer, pictures, text
from jaxsparse.report.claims import findings
from jaxsparse.report.columns import (
    LAYERS,
    OF_LAYERS,
    PREDICTIONS,
    QUESTIONS,
    RESULTS,
)
from jaxsparse.report.labels import is_task
from jaxsparse.report.statistics import Statistics
from jaxsparse.report.tables import all_tables
from jaxsparse.types import InputError
from jaxsparse.whole import atomic_file

FILES = (
    "report.md", "report.html", "results.csv", "accuracy.png", "predictions.parquet",
    "questions.parquet", "layers.csv", "run.json",
)  # fmt: skip


def check_replaceable(out: Path, names: Sequence[str] = FILES) -> None:
    """Raises InputError if something that is no file has the name of one of ours."""
    for name in names:
        if (path := out / name).exists() and not path.is_file():
            raise InputError(f"{path} is in the way and is not a file; move it")


def write(
    out: Path,
    found: Statistics,
    run: Mapping[str, Any],
    *,
    progress: Progress = NOBODY,
) -> None:
    """Writes all files of a run into the directory `out`.

    Raises:
        OSError: one could not be written; then the old ones are all there still.
    """
    points = found.points
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        # Entered first, replaced last: it says what the others are.
        to = {
            name: files.enter_context(atomic_file(out / name)) for name in FILES[::-1]
        }
        progress.stage("writing predictions", len(points), unit="points", patient=True)
        # A file, not a path: pyarrow reads a path with a colon as an address.
        with (
            to["predictions.parquet"].open("wb") as file,
            pq.ParquetWriter(file, pa.schema(PREDICTIONS)) as writer,
        ):
            for point in points:
                writer.write_table(_prediction_table(point))
                progress.done(1)
        with to["questions.parquet"].open("wb") as file:
            pq.write_table(_question_table(points[0].questions), file)
        write_csv(to["results.csv"], RESULTS, result_rows(points))
        write_csv(to["layers.csv"], LAYERS, layer_rows(points))
        tables, sentences = all_tables(found), findings(found)
        markdown = text.markdown(tables, run, ["accuracy.png"], sentences)
        to["report.md"].write_text(markdown, encoding="utf-8")
        progress.stage("page of the report", patient=True)
        page = explorer.page(
            found,
            tables,
            [run["command"]],
            run["notes"],
            facts=[run],
            sentences=sentences,
        )
        to["report.html"].write_text(page, encoding="utf-8")
        progress.stage("pictures of the report", patient=True)
        plots.save(pictures.figures(found)["accuracy"], to["accuracy.png"])
        facts = f"{json.dumps(run, indent=2)}\n"
        to["run.json"].write_text(facts, encoding="utf-8")


def write_csv(
    path: Path, columns: Iterable[str], rows: Iterator[Mapping[str, Any]]
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(columns), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def result_rows(points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Rows of results.csv: of each point one for each word class, and `all`."""
    for point in points:
        for row in point.accuracies:
            yield {**point.columns(), "split": point.split, **asdict(row)}


def layer_rows(points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Rows of layers.csv: one for each prunable matrix at each sparsity. Every protocol
    has the same, so each is there once."""
    seen = set()
    for point in points:
        columns = point.columns()
        of_point = {name: columns[name] for name in OF_LAYERS}
        key = tuple(of_point.values())
        if key not in seen:
            seen.add(key)
            for matrix in point.matrices:
                yield {
                    **of_point, "matrix": matrix.path, "layer": matrix.layer,
                    "weights": matrix.weights, "pruned": matrix.pruned,
                }  # fmt: skip


def _question_table(questions: Sequence[Question]) -> pa.Table:
    """Rows of questions.parquet; CBT's have no column `task`."""
    schema = dict(QUESTIONS)
    if not is_task(questions):
        del schema["task"]
    columns = {
        "id": [question.id for question in questions],
        "word_class": [question.word_class for question in questions],
        "split": [question.split for question in questions],
        "sentences": [list(question.context) for question in questions],
        "question": [question.query for question in questions],
        "options": [list(question.options) for question in questions],
        "answer": [question.answer for question in questions],
        "story": [question.story for question in questions],
        "task": [question.task for question in questions],
    }
    columns = {name: columns[name] for name in schema}
    return pa.table(columns, schema=pa.schema(schema))


def _prediction_table(point: Point) -> pa.Table:
    """Rows of predictions.parquet: one for each question."""
    questions = point.questions
    columns: dict[str, Any] = {
        name: [value] * len(questions) for name, value in point.columns().items()
    }
    columns |= {
        "word_class": list(point.classes),
        "split": [question.split for question in questions],
        "question_id": [question.id for question in questions],
        "answer": [question.answer for question in questions],
        "options": [list(question.options) for question in questions],
        "scores": list(point.answers.of_options),
        "option_tokens": list(point.option_tokens),
        "predicted": point.answers.predicted,
        "correct": point.answers.correct,
    }
    return pa.table(columns, schema=pa.schema(PREDICTIONS))
