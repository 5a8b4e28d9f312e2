"""The files of a run, written and read again.

Every file appears whole or not at all. Fractions in the files for programs, percent in
the tables for people.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxsparse import plots
from jaxsparse.cbt import Question
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.report import explorer, pictures, text
from jaxsparse.report.results import (
    RECIPE_COLUMNS,
    Result,
)
from jaxsparse.report.tables import all_tables, findings
from jaxsparse.types import InputError
from jaxsparse.whole import whole_file

RESULT_COLUMNS: tuple[str, ...] = (
    *RECIPE_COLUMNS,
    "questions", "correct", "accuracy", "ci_low", "ci_high", "dense_accuracy",
    "p_vs_dense", "cluster_low", "cluster_high", "truncated", "ties", "seconds",
    "questions_per_second",
)  # fmt: skip
LAYER_COLUMNS = (
    "model", "method", "pattern", "scope", "prunable", "seed", "sparsity", "finetuned",
    "matrix", "layer", "weights", "pruned",
)  # fmt: skip
FILES = (
    "report.md", "report.html", "results.csv", "accuracy.png", "predictions.parquet",
    "questions.parquet", "layers.csv", "run.json",
)  # fmt: skip

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
# With the hub's names, so that it can be asked again: `data=questions.parquet`.
QUESTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("word_class", pa.string()),
        ("split", pa.string()),
        ("sentences", pa.list_(pa.string())),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("story", pa.string()),
    ]
)


def check_replaceable(out: Path, names: Sequence[str] = FILES) -> None:
    """Raises InputError if something that is no file has the name of one of ours."""
    for name in names:
        if (path := out / name).exists() and not path.is_file():
            raise InputError(f"{path} is in the way and is not a file; move it")


def write(
    out: Path,
    results: Sequence[Result],
    run: Mapping[str, Any],
    *,
    margin: float | None = None,
    progress: Progress = NOBODY,
) -> None:
    """Writes all files of a run into the directory `out`.

    Args:
        margin: a loss, as a fraction, of which it is said where more is excluded.

    Raises:
        OSError: one could not be written; then the old ones are all there still.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        # Entered first, replaced last: it says what the others are.
        to = {name: files.enter_context(whole_file(out / name)) for name in FILES[::-1]}
        progress.stage("writing predictions", len(results), unit="points", patient=True)
        # A file, not a path: pyarrow reads a path with a colon as an address.
        with (
            to["predictions.parquet"].open("wb") as file,
            pq.ParquetWriter(file, PREDICTIONS) as writer,
        ):
            for result in results:
                writer.write_table(prediction_table(result))
                progress.done(1)
        progress.stage("statistics of the report", patient=True)
        with to["questions.parquet"].open("wb") as file:
            pq.write_table(question_table(results[0].questions), file)
        write_csv(to["results.csv"], RESULT_COLUMNS, result_rows(results))
        write_csv(to["layers.csv"], LAYER_COLUMNS, layer_rows(results))
        tables = all_tables(results, margin)
        said = findings(results, margin)
        markdown = text.markdown(tables, run, ["accuracy.png"], said)
        to["report.md"].write_text(markdown, encoding="utf-8")
        progress.stage("page of the report", patient=True)
        page = explorer.page(
            results, tables, [run["command"]], run["notes"], facts=[run], findings=said
        )
        to["report.html"].write_text(page, encoding="utf-8")
        progress.stage("pictures of the report", patient=True)
        plots.save(pictures.figures(results)["accuracy"], to["accuracy.png"])
        facts = f"{json.dumps(run, indent=2)}\n"
        to["run.json"].write_text(facts, encoding="utf-8")


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterator[Mapping[str, Any]]
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def result_rows(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """Rows of results.csv: of each point one for each word class, and `all`."""
    for result in results:
        for row in result.accuracies:
            yield {**result.recipe(), "split": result.split, **asdict(row)}


def layer_rows(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """Rows of layers.csv: one for each prunable matrix at each sparsity. Every protocol
    has the same, so each is there once."""
    seen = set()
    for result in results:
        recipe = {
            name: value
            for name, value in result.recipe().items()
            if name in LAYER_COLUMNS
        }
        key = tuple(recipe.values())
        if key not in seen:
            seen.add(key)
            for one in result.matrices:
                yield {
                    **recipe, "matrix": one.path, "layer": one.layer,
                    "weights": one.weights, "pruned": one.pruned,
                }  # fmt: skip


def question_table(questions: Sequence[Question]) -> pa.Table:
    columns = {
        "id": [one.id for one in questions],
        "word_class": [one.word_class for one in questions],
        "split": [one.split for one in questions],
        "sentences": [list(one.context) for one in questions],
        "question": [one.query for one in questions],
        "options": [list(one.options) for one in questions],
        "answer": [one.answer for one in questions],
        "story": [one.story for one in questions],
    }
    return pa.table(columns, schema=QUESTIONS)


def prediction_table(result: Result) -> pa.Table:
    """Rows of predictions.parquet: one for each question."""
    questions = result.questions
    columns: dict[str, Any] = {
        name: [value] * len(questions) for name, value in result.recipe().items()
    }
    columns |= {
        "word_class": list(result.classes),
        "split": [question.split for question in questions],
        "question_id": [question.id for question in questions],
        "answer": [question.answer for question in questions],
        "options": [list(question.options) for question in questions],
        "scores": list(result.scores),
        "option_tokens": list(result.option_tokens),
        "predicted": result.predicted,
        "correct": result.correct,
    }
    return pa.table(columns, schema=PREDICTIONS)
