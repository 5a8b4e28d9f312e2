"""Several runs in one report: the same questions, more curves."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from jaxsparse import plots
from jaxsparse.answers import Answers
from jaxsparse.points import Curve, Point
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.report import explorer, losses, pictures, text
from jaxsparse.report.claims import findings
from jaxsparse.report.columns import RESULTS, TEXTS
from jaxsparse.report.files import result_rows, write_csv
from jaxsparse.report.names import Names
from jaxsparse.report.reading import RunFiles
from jaxsparse.report.repeats import is_measured, joined
from jaxsparse.report.statistics import Statistics
from jaxsparse.report.tables import all_tables
from jaxsparse.types import InputError
from jaxsparse.whole import atomic_file, locked, made

OF_RUNS = ("run.json", "predictions.parquet", "journal.sqlite")
PICTURES = ("accuracy", "accuracy_seconds", "text", "classes", "finetuned", "layers")
MERGED_FILES = (
    "report.md", "report.html", "results.csv", "text.csv",
    *(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")),
)  # fmt: skip


@dataclass(frozen=True)
class JointRuns:
    """The points of several runs, over the same questions in the same order."""

    points: tuple[Point, ...]
    notes: tuple[str, ...]  # what was renamed, or left out
    margin: float | None  # a loss, as a fraction; it is said where more is excluded


def merge(runs: Sequence[RunFiles], margin: float | None = None) -> JointRuns:
    """Puts the points of all runs side by side.

    Models, methods and texts are told by their content: two of one name get their
    run's name. A point that several runs have is taken from the first, with what the
    others alone have measured there.

    Args:
        margin: None takes that of the runs if they have one margin, else none.

    Raises:
        InputError: the runs asked different questions.
    """
    first, *others = runs
    for other in others:
        _check_same_questions(first, other)
    names = Names(runs)
    kept: dict[tuple[Curve, float], Point] = {}
    repeated = 0
    for run in runs:
        order = _order(run, first)
        for point in run.points:
            renamed = _ordered(names.renamed(run, point), first.points[0], order)
            key = renamed.curve, renamed.sparsity
            repeated += key in kept
            kept[key] = joined(kept[key], renamed) if key in kept else renamed
    notes = [note for run in runs for note in run.facts["notes"]]
    notes += [*names.notes, *_on_errors(runs)]
    if repeated:
        notes.append(f"points in more than one run, taken from the first: {repeated}")
    margins = dict.fromkeys(run.margin for run in runs)
    if margin is None and len(margins) > 1:
        texts = [
            f"{100 * value:g}" if value is not None else "none" for value in margins
        ]
        notes.append(
            f"the runs have different margins ({', '.join(texts)}), so that none is "
            "applied; pass `margin`"
        )
    elif margin is None:
        (margin,) = margins
    points = _with_dense_first(kept.values())
    return JointRuns(points, tuple(dict.fromkeys(notes)), margin)


def _check_same_questions(first: RunFiles, other: RunFiles) -> None:
    expected, asked = (
        Counter(
            (digest, question.word_class)
            for digest, question in zip(run.digests, run.questions, strict=True)
        )
        for run in (first, other)
    )
    if expected != asked:
        raise InputError(
            f"{first.directory} and {other.directory} asked different questions "
            f"({expected.total()} and {asked.total()}, "
            f"{(expected & asked).total()} in common); "
            "compare runs over the same `data`, `split` and `num_examples`"
        )


def _on_errors(runs: Sequence[RunFiles]) -> Iterator[str]:
    """That errors of reconstruction were not measured on the same rows, if so."""
    measured_on: dict[str, set[str | None]] = {}
    for run in runs:
        for point in run.points:
            if is_measured(point.matrices):
                rows = run.rows_of(point.setup.model)
                measured_on.setdefault(point.digest, set()).add(rows)
    if any(len(rows) > 1 for rows in measured_on.values()):
        yield (
            "the runs measured errors of reconstruction on different rows of "
            "calibration: compare those within a run"
        )


def _order(run: RunFiles, first: RunFiles) -> Int[np.ndarray, " question"]:
    """Which of a run's questions is the first run's first, its second, and so on."""
    order = np.arange(len(first.questions))
    if run is not first:
        mine, theirs = (np.argsort(of.digests, kind="stable") for of in (run, first))
        order[theirs] = mine
    return order


def _ordered(point: Point, like: Point, order: Int[np.ndarray, " question"]) -> Point:
    """The answers, and the classes, in the order in which another result has them."""
    rows = {row.word_class: row for row in point.accuracies}
    return replace(
        point,
        answers=Answers(like.questions, point.answers.scores[order]),
        option_tokens=tuple(point.option_tokens[number] for number in order),
        accuracies=tuple(rows[row.word_class] for row in like.accuracies),
    )


def _with_dense_first(points) -> tuple[Point, ...]:
    """Curve by curve, sparsity ascending."""
    curves: dict = {}
    for point in points:
        curves.setdefault(point.setup, {}).setdefault(point.curve, []).append(point)
    return tuple(
        point
        for of_setup in curves.values()
        for members in of_setup.values()
        for point in sorted(members, key=lambda point: point.sparsity)
    )


def write_merged(
    out: Path,
    found: Statistics,
    merged: JointRuns,
    command: str,
    runs: Sequence[RunFiles],
    questions: int,
    progress: Progress = NOBODY,
) -> tuple[str, ...]:
    """Writes the files of a report into `out`; returns their names. What this one does
    not draw is taken away if an earlier report has been there.

    Rows of results.csv are as their runs wrote them, each against its own run's dense.

    Args:
        found: of the merged points.
        questions: how many the page's explorer holds; 0: all.

    Raises:
        InputError: another process writes there, or a run has its results there.
        OSError: a file could not be written; then the old ones are all there still.
    """
    with made(out), locked(out):
        if taken := [name for name in OF_RUNS if (out / name).exists()]:
            raise InputError(
                f"{out}: holds a run's {taken[0]}, beside which a report does not go; "
                "name another directory with `out`"
            )
        is_ours = _holds_a_report(out)
        written = _write(out, found, merged, command, runs, questions, progress)
        for name in set(MERGED_FILES) - set(written) if is_ours else ():
            (out / name).unlink(missing_ok=True)
    return written


def _holds_a_report(out: Path) -> bool:
    """Whether an earlier report is there; other files are somebody else's."""
    try:
        beginning = (out / "report.md").read_text(encoding="utf-8")[: len(text.TITLE)]
    except (OSError, ValueError):
        return False
    return beginning == text.TITLE


def _write(
    out: Path,
    found: Statistics,
    merged: JointRuns,
    command: str,
    runs: Sequence[RunFiles],
    questions: int,
    progress: Progress,
) -> tuple[str, ...]:
    progress.stage("pictures of the report", patient=True)
    drawn = pictures.figures(found)
    tables = all_tables(found, [run.facts for run in runs])
    sentences = findings(found)
    commands = [command, *(str(run.facts["command"]) for run in runs)]
    absent = {name for name in PICTURES if name not in drawn}
    names = [name for name in MERGED_FILES if name.rpartition(".")[0] not in absent]
    with ExitStack() as files:
        to = {name: files.enter_context(atomic_file(out / name)) for name in names}
        write_csv(to["results.csv"], RESULTS, result_rows(found.points))
        if "text.csv" in names:
            write_csv(to["text.csv"], TEXTS, losses.rows(found.points))
        shown = [f"{name}.png" for name in drawn]
        run = {"command": command, "notes": merged.notes}
        markdown = text.markdown(tables, run, shown, sentences)
        to["report.md"].write_text(markdown, encoding="utf-8")
        progress.stage("page of the report", patient=True)
        page = explorer.page(
            found, tables, commands, merged.notes, questions,
            facts=[run.facts for run in runs], sentences=sentences,
        )  # fmt: skip
        to["report.html"].write_text(page, encoding="utf-8")
        progress.stage("saving pictures", len(drawn), unit="pictures", patient=True)
        for name, figure in drawn.items():
            for kind in "png", "svg":
                plots.save(figure, to[f"{name}.{kind}"], kind)
            progress.done(1)
    return tuple(names)
