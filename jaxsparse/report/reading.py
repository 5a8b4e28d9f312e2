"""The results of an earlier run, from its files."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxsparse.accuracy import POOLED, Accuracy
from jaxsparse.answers import Answers, table_of
from jaxsparse.cbt import Question
from jaxsparse.points import Curve, Point, Setup
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.report import losses
from jaxsparse.report.about import fact
from jaxsparse.report.columns import FROM_TEXT, OF_LAYERS, OF_POINT, OLDER, RESULTS
from jaxsparse.training.training import Training
from jaxsparse.types import InputError, Presentation, brief

_FAULTS = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError,
    RecursionError, ZeroDivisionError,
)  # fmt: skip  # what reading meets in a file that is not as it was written


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run say."""

    directory: Path
    facts: Mapping[str, Any]  # run.json
    points: tuple[Point, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.points[0].questions

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Of the questions' content."""
        return tuple(question.digest for question in self.questions)

    @property
    def margin(self) -> float | None:
        """The run's `margin` as a fraction; none in runs of older versions."""
        return self.facts.get("settings", {}).get("margin")

    def rows_of(self, model: str) -> str | None:
        """The digest of the rows that it was calibrated on; None where that is not
        known, or there are none."""
        return fact(self.facts, "calibration", model, "digest")

    def source_of(self, method: str) -> str | None:
        """The SHA-256 of the user's file that the method is from, where it is known."""
        return fact(self.facts, "methods", method)

    def training_of(self, model: str) -> str | None:
        """The digest of what a model was trained on and by which numbers, where it was;
        objective and seed are a point's own."""
        return fact(self.facts, "training", "digests", model)

    def text_of(self, name: str) -> tuple[str | None, int | None]:
        """The SHA-256 of a running text, and the tokens of its windows as asked for."""
        return (
            fact(self.facts, "texts", name),
            fact(self.facts, "settings", "text_tokens"),
        )


def read(directory: Path) -> RunFiles:
    """The results of a run, from its files.

    Raises:
        InputError: there are none, or they are damaged or do not belong together.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory; name that of a run")
    needed = ("run.json", "results.csv", "predictions.parquet", "questions.parquet")
    if lacking := [name for name in needed if not (directory / name).is_file()]:
        remedy = "name the directory of a run"
        if (directory / "journal.sqlite").exists():
            remedy = "the run has not ended: repeat its command, which goes on"
        raise InputError(f"{directory}: no results, {lacking[0]} is missing; {remedy}")
    try:
        facts = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        _check_facts(facts)
        questions = tuple(_questions(directory / "questions.parquet"))
        points = tuple(_results(directory, facts, questions))
    except (*_FAULTS, pa.ArrowException, csv.Error) as error:
        raise InputError(
            f"{directory}: its files are damaged, or of different runs "
            f"({brief(error)}); repeat its command"
        ) from error
    if not points:
        raise InputError(f"{directory}: results.csv is empty; repeat its command")
    return RunFiles(directory, facts, points)


def _check_facts(facts: Any) -> None:
    if not isinstance(facts["command"], str):
        raise TypeError("command in run.json is no text")
    if not all(isinstance(note, str) for note in facts["notes"]):
        raise TypeError("notes in run.json are no texts")
    margin = facts.get("settings", {}).get("margin")
    if margin is not None and not 0 <= margin <= 1:
        raise ValueError("margin in run.json is no fraction")


def _table(path: Path) -> pa.Table:
    with path.open("rb") as file:
        return pq.ParquetFile(file).read()  # `read_table` imports pandas


def _questions(path: Path) -> Iterator[Question]:
    for row in _table(path).to_pylist():
        yield Question(
            context=tuple(row["sentences"]),
            query=row["question"],
            options=tuple(row["options"]),
            answer=row["answer"],
            word_class=row["word_class"],
            id=row["id"],
            split=row["split"],
            story=row.get("story", ""),  # earlier runs have no such column
            task=row.get("task", ""),  # nor has CBT
        )


def _results(
    directory: Path, facts: Mapping[str, Any], questions: tuple[Question, ...]
) -> Iterator[Point]:
    """Point by point, in the order of the files: each has a row a question."""
    layers = _layers(directory / "layers.csv")
    of_texts = losses.read(directory / "text.csv")
    predictions = _table(directory / "predictions.parquet")
    points = list(_points(directory / "results.csv"))
    if predictions.num_rows != len(points) * len(questions):
        raise ValueError(
            f"{predictions.num_rows} predictions, {len(points)} points of "
            f"{len(questions)} questions"
        )
    ids = [question.id for question in questions]
    for number, (recipe, rows) in enumerate(points):
        part = predictions.slice(number * len(questions), len(questions))
        first = {**OLDER, **part.slice(0, 1).to_pylist()[0]}
        others = [name for name in OF_POINT if _as_text(first[name]) != recipe[name]]
        if others or part["question_id"].to_pylist() != ids:
            raise ValueError(f"point {number + 1} differs between its files")
        answers = _answers(part, questions)
        _check_counts(rows, answers)
        yield Point(
            curve=_curve(first),
            digest=facts["models"][first["model"]]["digest"],
            sparsity=first["sparsity"],
            achieved_sparsity=first["achieved_sparsity"],
            total_sparsity=first["total_sparsity"],
            answers=answers,
            option_tokens=tuple(map(tuple, part["option_tokens"].to_pylist())),
            truncated=None,
            accuracies=tuple(rows),
            matrices=tuple(layers.get(_layer_key(recipe), ())),
            texts=of_texts.get(losses.key(recipe), ()),
            # Runs of older versions have neither.
            parameters=int(recipe.get("parameters") or 0) or None,
            bytes=int(recipe.get("bytes") or 0) or None,
            training_seconds=_seconds(recipe),
        )


def _as_text(value: Any) -> str:
    """As a csv file has it."""
    return "" if value is None else str(value)


def _answers(part: pa.Table, questions: tuple[Question, ...]) -> Answers:
    """Which answers are right, by the scores; the file must say the same."""
    scores = part["scores"].combine_chunks()
    values = scores.flatten()
    options = [len(question.options) for question in questions]
    if (
        values.null_count
        or scores.value_lengths().to_pylist() != options
        # Not `to_numpy`, which imports pandas.
        or not np.isfinite(found := np.from_dlpack(values)).all()
    ):
        raise ValueError("scores are not finite, or not one for each option")
    answers = Answers(questions, table_of(found.astype(np.float32), options))
    stated = (part["predicted"].to_pylist(), part["correct"].to_pylist())
    if stated != (answers.predicted.tolist(), answers.correct.tolist()):
        raise ValueError("predictions.parquet does not predict what its scores do")
    return answers


def _check_counts(rows: Sequence[Accuracy], answers: Answers) -> None:
    """The rows of results.csv count what predictions.parquet holds."""
    classes = np.array([question.word_class for question in answers.questions])
    if {row.word_class for row in rows} != {*classes.tolist(), POOLED}:
        raise ValueError("results.csv has other word classes than questions.parquet")
    for row in rows:
        chosen = (classes == row.word_class) | (row.word_class == POOLED)
        counted = int(chosen.sum()), int(answers.correct[chosen].sum())
        stated = row.questions, row.correct
        if counted != stated or row.accuracy != row.correct / row.questions:
            raise ValueError(
                f"results.csv has {row.correct} of {row.questions} {row.word_class} "
                f"right, predictions.parquet {counted[1]} of {counted[0]}"
            )


def _curve(row: Mapping[str, Any]) -> Curve:
    named = row["protocol"], row["context"], row["detokenize"]
    put = Presentation(*named, int(row["context_tokens"]))
    recipe = Recipe.written(**{field.name: row[field.name] for field in fields(Recipe)})
    setup = Setup(row["model"], row["family"], row["dtype"], put)
    training = None
    if row["finetuned"]:
        training = Training(**{f.name: row[f.name] for f in fields(Training)})
    return Curve(setup, recipe, training, row["execution"])


def _seconds(row: Mapping[str, str]) -> float | None:
    """Of training; earlier runs have no such column, and one-shot nothing in it."""
    return float(row["training_seconds"]) if row.get("training_seconds") else None


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{**OLDER, **row} for row in csv.DictReader(file)]


def _points(path: Path) -> Iterator[tuple[dict[str, str], list[Accuracy]]]:
    """The rows of results.csv, those of each point together: they end with `all`."""
    members = []
    for row in _rows(path):
        members.append(_accuracy(row))
        if row["word_class"] == POOLED:
            yield row, members
            members = []
    if members:
        raise ValueError(f"{path.name} ends in the middle of a point")


# Empty where there is none; the last two are missing in runs of older versions.
_OPTIONAL = ("p_vs_dense", "cluster_low", "cluster_high")


def _accuracy(row: Mapping[str, str]) -> Accuracy:
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(Accuracy)):
        if name in _OPTIONAL and not row.get(name):
            values[name] = None
        else:
            values[name] = FROM_TEXT[RESULTS[name]](row[name])
    return Accuracy(**values)


def _layers(path: Path) -> dict[tuple[str, ...], list[MatrixSparsity]]:
    """The rows of layers.csv by their point; none where there is no such file."""
    found: dict[tuple[str, ...], list[MatrixSparsity]] = {}
    for row in _rows(path) if path.is_file() else ():
        matrix = MatrixSparsity(
            row["matrix"],
            *(int(row[name]) for name in ("layer", "weights", "pruned")),
            # Runs of older versions have neither.
            error=float(row["error"]) if row.get("error") else None,
            damping_raised=int(row.get("damping_raised") or 0),
        )
        found.setdefault(_layer_key(row), []).append(matrix)
    return found


def _layer_key(row: Mapping[str, str]) -> tuple[str, ...]:
    """A run has one dtype, which layers.csv of older versions does not say."""
    return tuple(row[name] for name in OF_LAYERS if name != "dtype")
