"""Fine-tuned points: through files and back, told apart, and never taken for dense."""

import csv
import dataclasses
from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxsparse import report
from jaxsparse.points import TextLoss, by_curve
from jaxsparse.report.labels import Labels
from jaxsparse.training.training import LEGAL, Training
from tests.report.made import RUN, curve
from tests.report.test_merge import run

COLUMNS = ("objective", "train", "distill", "schedule")
NEWER = (*COLUMNS, "training_seconds")
SPARSE = Training("both", "norms,biases", seed=3)


def write(out, points):
    report.write(out, report.statistics(list(points)), RUN)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def made(**options):
    """One-shot, and trained back in two ways, one of them by two seeds."""
    return [
        *curve({0.0: 6, 0.5: 3, 0.9: 1}, **options),
        *curve({0.0: 7, 0.5: 6, 0.9: 4}, training=Training(), dense=6, seconds=2.5,
               **options),
        *curve({0.0: 6, 0.5: 5, 0.9: 3}, training=Training(seed=1), dense=6,
               seconds=1.5, **options),
        *curve({0.5: 4, 0.9: 2}, training=SPARSE, dense=6, seconds=0.25, **options),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "out"
    write(out, made())
    return out


def test_results_say_how_points_were_trained(written):
    rows = [row for row in rows_of(written / "results.csv") if row["word_class"] == "V"]
    said = [
        tuple(row[name] for name in ("finetuned", "seed", *NEWER))
        for row in rows
        if row["sparsity"] == "0.5"
    ]
    assert said == [
        ("False", "", "", "", "", "", ""),
        ("True", "0", "choice", "all", "none", "oneshot", "2.5"),
        ("True", "1", "choice", "all", "none", "oneshot", "1.5"),
        ("True", "3", "both", "norms,biases", "none", "oneshot", "0.25"),
    ]
    at_zero = [row for row in rows if row["sparsity"] == "0.0"]
    assert [row["p_vs_dense"] != "" for row in at_zero] == [False, True, True]


@pytest.mark.parametrize("file", ["layers.csv", "text.csv"])
def test_other_tables_tell_trainings_apart(file, tmp_path):
    loss = TextLoss("a.txt", 2, 30, 3.5, 33.1, 4)
    points = [dataclasses.replace(point, texts=(loss,)) for point in made()]
    write(tmp_path, points)
    keys = [
        (row["sparsity"], row["seed"], *(row[name] for name in COLUMNS))
        for row in rows_of(tmp_path / file)
    ]
    number = 4 if file == "layers.csv" else 1  # matrices, or texts, of each point
    trained = sum(bool(point.sparsity or file == "text.csv") for point in points)
    assert len(set(keys)) == trained
    assert len(keys) == number * trained


def test_predictions_have_the_same_columns_behind_their_own(written):
    table = pq.read_table(written / "predictions.parquet")
    assert tuple(table.column_names[-5:]) == (*COLUMNS, "context_tokens")
    said = {
        tuple(row.values())
        for row in table.select(["finetuned", "seed", *COLUMNS]).to_pylist()
    }
    assert said == {
        (False, None, "", "", "", ""),
        (True, 0, "choice", "all", "none", "oneshot"),
        (True, 1, "choice", "all", "none", "oneshot"),
        (True, 3, "both", "norms,biases", "none", "oneshot"),
    }


trainings = st.builds(
    Training,
    *(st.sampled_from(legal) for legal in LEGAL.values()),
    seed=st.integers(0, 2**31),
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    training=trainings,
    method=st.sampled_from(["magnitude", "random", "wanda"]),
    seconds=st.floats(0, 1e6),
)
def test_what_is_written_is_read(tmp_path, training, method, seconds):
    """The recipe of a fine-tuned curve has the training's seed where it draws."""
    points = [
        *curve({0.0: 6, 0.5: 3}, method=method, seed=training.seed),
        *curve({0.0: 7, 0.5: 5}, method=method, seed=training.seed,
               training=training, dense=6, seconds=seconds),
    ]  # fmt: skip
    write(tmp_path, points)
    for point, found in zip(points, report.read(tmp_path).points, strict=True):
        assert found.curve == point.curve
        assert found.training_seconds == point.training_seconds
        assert found.accuracies == point.accuracies
        assert found.matrices == point.matrices
        np.testing.assert_array_equal(found.answers.scores, point.answers.scores)


def test_a_one_shot_run_of_before_there_was_training_is_read_as_it_was(tmp_path):
    points = list(curve({0.0: 6, 0.5: 3}))
    write(tmp_path, points)
    for name in "results.csv", "layers.csv":
        rows = rows_of(tmp_path / name)
        kept = [column for column in rows[0] if column not in NEWER]
        assert len(kept) < len(rows[0])
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, kept, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
    table = pq.read_table(tmp_path / "predictions.parquet")
    pq.write_table(table.drop_columns(COLUMNS), tmp_path / "predictions.parquet")
    for point, found in zip(points, report.read(tmp_path).points, strict=True):
        assert found.curve == point.curve
        assert (found.curve.training, found.training_seconds) == (None, None)
        assert found.matrices == point.matrices


def test_labels_say_training_and_seed_where_they_differ():
    points = made()
    labels = Labels(points)
    assert [labels.method(one) for one, _ in by_curve(points)] == [
        "magnitude",
        "magnitude, fine-tuned (choice), seed 0",
        "magnitude, fine-tuned (choice), seed 1",
        "magnitude, fine-tuned (both, norms,biases), seed 3",
    ]
    alike = [point for point in points if point.curve.training != SPARSE]
    labels = Labels(alike)
    assert [labels.method(one) for one, _ in by_curve(alike)] == [
        "magnitude",
        "magnitude, fine-tuned, seed 0",
        "magnitude, fine-tuned, seed 1",
    ]


@settings(deadline=None)
@given(
    st.lists(trainings | st.none(), min_size=1, max_size=6, unique=True),
    st.booleans(),
)
def test_no_two_curves_have_one_label(ways, draws):
    method = "random" if draws else "magnitude"
    points = [
        point
        for training in ways
        for point in curve({0.5: 3}, method=method, training=training)
    ]
    labels = Labels(points)
    names = [labels.curve(one) for one, _ in by_curve(points)]
    assert len(set(names)) == len(ways)


def test_runs_that_trained_otherwise_come_together():
    points = made()
    first = [point for point in points if point.curve.training != SPARSE]
    second = [
        point
        for point in points
        if point.curve.training in (None, SPARSE)  # dense and one-shot again
    ]
    merged = report.merge([run("a", first), run("b", second)])
    found = [(one.curve.training, one.sparsity) for one in merged.points]
    assert found == [
        *product([None, Training(), Training(seed=1)], [0, 0.5, 0.9]),
        *product([SPARSE], [0.5, 0.9]),
    ]
    assert [one.training_seconds for one in merged.points[-5:]] == [1.5] * 3 + [
        0.25
    ] * 2
    found = report.statistics(merged.points)
    (summary,) = found.summaries
    compared = [row.versus_dense is not None for row in summary.rows]
    assert compared == [False] + [True] * 10  # fine-tuned at 0, too
