"""The files of a run, written and read again.

Every file appears whole or not at all. Fractions in the files for programs, percent in
the tables for people.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxsparse import arrays, plots
from jaxsparse.calibration import Calibration
from jaxsparse.cbt import Question
from jaxsparse.points import Point
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.report import (
    curves,
    explorer,
    losses,
    pictures,
    reconstruction,
    text,
    timing,
)
from jaxsparse.report.claims import findings
from jaxsparse.report.columns import (
    LAYERS,
    OF_LAYERS,
    PREDICTIONS,
    QUESTIONS,
    RESULTS,
    TEXT_TOKENS,
    TEXTS,
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
OF_TEXTS = ("text.csv", "text.png", "text_tokens.parquet")  # where texts are read
OF_TIMES = ("accuracy_seconds.png",)  # where time can tell points apart
OF_TRAINING = ("finetuned.png",)  # where points were trained back
OF_ROWS = ("calibration.parquet",)  # where models are calibrated
PICTURES = ("accuracy", "finetuned", "accuracy_seconds", "text")
OPTIONAL = OF_TEXTS + OF_TIMES + OF_TRAINING + OF_ROWS


def files_of(points: Sequence[Point], calibrated: bool = False) -> tuple[str, ...]:
    """The files of a run with these points."""
    details = any(loss.tokens for point in points for loss in point.texts)
    number = 3 if details else 2 if any(point.texts for point in points) else 0
    return (
        *FILES[:-1],
        *OF_TEXTS[:number],
        *(OF_TIMES if timing.is_timed(points) else ()),
        *(OF_TRAINING if curves.finetuned(points) else ()),
        *(OF_ROWS if calibrated else ()),
        FILES[-1],
    )


def check_replaceable(out: Path, names: Sequence[str] = FILES + OPTIONAL) -> None:
    """Raises InputError if something that is no file has the name of one of ours."""
    for name in names:
        if (path := out / name).exists() and not path.is_file():
            raise InputError(f"{path} is in the way and is not a file; move it")


def write(
    out: Path,
    found: Statistics,
    run: Mapping[str, Any],
    calibrations: Mapping[str, Calibration] | None = None,
    *,
    progress: Progress = NOBODY,
) -> None:
    """Writes all files of a run into the directory `out`; those of texts, times
    and calibration go if this run has none and an earlier one has been there.

    Args:
        calibrations: the rows of each model, by its name.

    Raises:
        OSError: one could not be written; then the old ones are all there still.
    """
    points = found.points
    names = files_of(points, bool(calibrations))
    stale = set(OPTIONAL) - set(names) if _holds_a_run(out) else set()
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        # Entered first, replaced last: it says what the others are.
        to = {
            name: files.enter_context(atomic_file(out / name)) for name in names[::-1]
        }
        progress.stage("writing predictions", len(points), unit="points", patient=True)
        # A file, not a path: pyarrow reads a path with a colon as an address.
        with (
            to["predictions.parquet"].open("wb") as file,
            pq.ParquetWriter(file, pa.schema(PREDICTIONS)) as writer,
        ):
            for table in _prediction_tables(points):
                writer.write_table(table)
                progress.done(1)
        with to["questions.parquet"].open("wb") as file:
            pq.write_table(_question_table(points[0].questions), file)
        write_csv(to["results.csv"], RESULTS, result_rows(points))
        write_csv(to["layers.csv"], LAYERS, layer_rows(points))
        if "text.csv" in names:
            write_csv(to["text.csv"], TEXTS, losses.rows(points))
        if "text_tokens.parquet" in names:
            with (
                to["text_tokens.parquet"].open("wb") as file,
                pq.ParquetWriter(file, pa.schema(TEXT_TOKENS)) as writer,
            ):
                for table in losses.token_tables(points):
                    writer.write_table(table)
        if calibrations:
            with to["calibration.parquet"].open("wb") as file:
                pq.write_table(_calibration_table(calibrations), file)
        tables, sentences = all_tables(found, [run]), findings(found)
        drawn = pictures.figures(found, PICTURES)
        shown = [f"{name}.png" for name in drawn]
        markdown = text.markdown(tables, run, shown, sentences)
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
        for name, figure in drawn.items():
            plots.save(figure, to[f"{name}.png"])
        facts = f"{json.dumps(run, indent=2)}\n"
        to["run.json"].write_text(facts, encoding="utf-8")
    for name in stale:
        (out / name).unlink(missing_ok=True)


def _holds_a_run(out: Path) -> bool:
    """Whether a run of ours has its results there; other files are somebody else's."""
    try:
        facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and {"command", "notes", "models"} <= facts.keys()


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
        columns = {
            **point.columns(), "split": point.split,
            "parameters": point.parameters, "bytes": point.bytes,
            "training_seconds": point.training_seconds,
        }  # fmt: skip
        for row in point.accuracies:
            yield {**columns, **asdict(row)}


def layer_rows(points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Rows of layers.csv: one for each prunable matrix at each sparsity. Every protocol
    has the same, so each is there once."""
    for point in reconstruction.distinct(points):
        columns = point.columns()
        of_point = {name: columns[name] for name in OF_LAYERS}
        for matrix in point.matrices:
            yield {
                **of_point, "matrix": matrix.path, "layer": matrix.layer,
                "weights": matrix.weights, "pruned": matrix.pruned,
                "error": matrix.error, "damping_raised": matrix.damping_raised,
            }  # fmt: skip


def _calibration_table(calibrations: Mapping[str, Calibration]) -> pa.Table:
    """Rows of calibration.parquet, model by model: `model`, and what it was fed, see
    `Calibration.table`. `encoder_tokens` is of T5 alone, empty of others beside it."""
    tables = []
    for name, calibration in calibrations.items():
        table = calibration.table()
        model = arrays.same(name, pa.string(), table.num_rows)
        tables.append(table.add_column(0, "model", model))
    return pa.concat_tables(tables, promote_options="default")


def _question_table(questions: Sequence[Question]) -> pa.Table:
    """Rows of questions.parquet; CBT's have no column `task`."""
    schema = dict(QUESTIONS)
    if not is_task(questions):
        del schema["task"]
    columns = {
        "id": _texts("id", questions),
        "word_class": _texts("word_class", questions),
        "split": _texts("split", questions),
        "sentences": _lists_of_texts("context", questions),
        "question": _texts("query", questions),
        "options": _lists_of_texts("options", questions),
        "answer": _texts("answer", questions),
        "story": _texts("story", questions),
        "task": _texts("task", questions),
    }
    return pa.table([columns[name] for name in schema], schema=pa.schema(schema))


def _prediction_tables(points: Sequence[Point]) -> Iterator[pa.Table]:
    """Rows of predictions.parquet, point by point: one for each question."""
    questions = points[0].questions
    asked = {
        "word_class": _texts("word_class", questions),
        "split": _texts("split", questions),
        "question_id": _texts("id", questions),
        "answer": _texts("answer", questions),
        "options": _lists_of_texts("options", questions),
    }
    sizes = [len(question.options) for question in questions]
    for point in points:
        answers, tokens = point.answers, chain.from_iterable(point.option_tokens)
        columns = {
            name: arrays.same(value, PREDICTIONS[name], len(questions))
            for name, value in point.columns().items()
        }
        columns |= asked | {
            "scores": arrays.lists(arrays.numbers(answers.of_options), sizes),
            "option_tokens": arrays.lists(
                arrays.numbers(np.fromiter(tokens, np.int32)),
                list(map(len, point.option_tokens)),
            ),
            "predicted": arrays.numbers(answers.predicted.astype(np.int32)),
            "correct": arrays.numbers(answers.correct),
        }
        yield pa.table(
            [columns[name] for name in PREDICTIONS], schema=pa.schema(PREDICTIONS)
        )


def _texts(field: str, questions: Sequence[Question]) -> pa.Array:
    return arrays.texts(map(attrgetter(field), questions))


def _lists_of_texts(field: str, questions: Sequence[Question]) -> pa.Array:
    values = list(map(attrgetter(field), questions))
    return arrays.lists(
        arrays.texts(chain.from_iterable(values)), list(map(len, values))
    )
