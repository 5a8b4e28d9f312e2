"""The files a run leaves, column by column, and read again."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from jaxsparse import cbt, report
from jaxsparse.cbt import WORD_CLASSES
from jaxsparse.progress import NOBODY
from jaxsparse.report import columns, text
from jaxsparse.types import InputError
from tests.report.made import (
    MATRICES,
    OPTIONS,
    QUESTIONS,
    RUN,
    answers,
    curve,
    results_of,
)
from tests.told import Told

# DESIGN section 9, word for word.
RESULT_COLUMNS = """
model, family, protocol, context, detokenize, method, pattern, scope, allocation,
statistics, prunable, dtype, execution, seed, sparsity, achieved_sparsity,
total_sparsity, finetuned, word_class, split, questions, correct, accuracy, ci_low,
ci_high, dense_accuracy, p_vs_dense, cluster_low, cluster_high, truncated, ties,
seconds, questions_per_second, parameters, bytes, objective, train, distill, schedule,
training_seconds, context_tokens
""".replace(",", " ").split()
FILES = [
    "accuracy.png", "layers.csv", "predictions.parquet", "questions.parquet",
    "report.html", "report.md", "results.csv", "run.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def told():
    return Told()


@pytest.fixture(scope="module")
def written(tmp_path_factory, told):
    out = tmp_path_factory.mktemp("results") / "deep" / "out"
    write(out, results_of(methods=("magnitude", "random")), told)
    return out


def write(out, points, told=NOBODY):
    found = report.statistics(list(points), progress=told)
    report.write(out, found, RUN, progress=told)


@pytest.mark.usefixtures("written")
def test_writing_tells_how_far_it_is(told):
    assert told.stages == [
        ("statistics of the report", 4, "points", True),
        ("writing predictions", 4, "points", True),
        ("page of the report", 0, "questions", True),
        ("pictures of the report", 0, "questions", True),
    ]
    assert told.counts == [4, 4, 0, 0]


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_files_are_there_and_nothing_else(written):
    assert sorted(path.name for path in written.iterdir()) == FILES


def test_results_have_designs_columns_in_order(written):
    header, *_ = written.joinpath("results.csv").read_text().splitlines()
    assert header.split(",") == RESULT_COLUMNS


def test_results_are_a_row_per_class_and_one_for_all(written):
    rows = read_csv(written / "results.csv")
    expected = [
        (method, sparsity, word_class)
        for method in ("magnitude", "random")
        for sparsity in ("0.0", "0.5")
        for word_class in (*WORD_CLASSES, "all")
    ]
    keys = ("method", "sparsity", "word_class")
    assert [tuple(row[key] for key in keys) for row in rows] == expected


def test_results_are_fractions_and_p_is_empty_for_dense(written):
    dense, pruned = read_csv(written / "results.csv")[4:10:5]
    recipe = {
        "model": "one", "family": "gpt2", "protocol": "cloze", "context": "full",
        "detokenize": "ptb", "method": "magnitude", "pattern": "unstructured",
        "scope": "matrix", "allocation": "uniform", "statistics": "",
        "prunable": "blocks", "dtype": "bfloat16", "execution": "dense", "seed": "",
        "finetuned": "False", "word_class": "all", "split": "test", "questions": "8",
        "dense_accuracy": "0.375", "truncated": "4", "ties": "0", "seconds": "9.0",
        "context_tokens": "0",
    }  # fmt: skip
    for row in dense, pruned:
        assert recipe.items() <= row.items()
        assert float(row["questions_per_second"]) == pytest.approx(8 / 9)
    assert (dense["accuracy"], pruned["accuracy"]) == ("0.375", "0.75")
    assert (dense["correct"], pruned["correct"]) == ("3", "6")
    assert (dense["p_vs_dense"], pruned["p_vs_dense"]) == ("", "0.25")
    stated = [f"{name}sparsity" for name in ("", "achieved_", "total_")]
    assert [dense[name] for name in stated] == ["0.0"] * 3
    assert [pruned[name] for name in stated] == ["0.5", "0.49", "0.31"]
    for row in dense, pruned:
        assert 0 < float(row["ci_low"]) < float(row["accuracy"])
        assert float(row["accuracy"]) < float(row["ci_high"]) < 1
    # Of the two stories' questions 3 and 0 of 4 are right, then 4 and 2.
    assert (dense["cluster_low"], dense["cluster_high"]) == ("0.0", "0.75")
    assert (pruned["cluster_low"], pruned["cluster_high"]) == ("0.5", "1.0")


def test_a_run_of_an_older_version_is_read_as_a_new_one_would_be(written, tmp_path):
    """Its magnitude had a seed, there were no intervals over stories, and neither
    allocation, statistics, execution nor a limit of rows in any file, nor a dtype in
    layers.csv."""
    out = Path(shutil.copytree(written, tmp_path / "old"))
    rows = read_csv(out / "results.csv")
    for row in rows:
        del row["cluster_low"], row["cluster_high"]
        del row["allocation"], row["statistics"], row["execution"]
        del row["context_tokens"]
        row["seed"] = "7"
    with (out / "results.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    layers = read_csv(out / "layers.csv")
    for row in layers:
        del row["allocation"], row["statistics"], row["error"], row["damping_raised"]
        assert row.pop("dtype") == "bfloat16"
        row["seed"] = "7"
    with (out / "layers.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, layers[0])
        table.writeheader()
        table.writerows(layers)
    predictions = pa.parquet.read_table(out / "predictions.parquet")
    predictions = predictions.drop_columns(
        ["allocation", "statistics", "execution", "context_tokens"]
    )
    seeds = pa.array([7] * predictions.num_rows, pa.int64())
    at = predictions.schema.get_field_index("seed")
    pa.parquet.write_table(
        predictions.set_column(at, "seed", seeds), out / "predictions.parquet"
    )
    old, new = report.read(out), report.read(written)
    assert [one.curve for one in old.points] == [one.curve for one in new.points]
    assert [one.matrices for one in old.points] == [one.matrices for one in new.points]
    assert any(one.matrices for one in old.points)
    assert {one.curve.execution for one in old.points} == {"dense"}
    assert {one.pooled.cluster_low for one in old.points} == {None}
    merged = report.merge([new, old])
    assert len(merged.points) == len(new.points)  # the same points, not twice


def test_points_of_sparse_execution_are_read_as_they_were_written(tmp_path):
    points = [
        *curve({0.0: 3, 0.5: 6}), *curve({0.0: 3, 0.5: 6}, execution="sparse"),
    ]  # fmt: skip
    write(tmp_path, points)
    found = report.read(tmp_path).points
    stated = [(one.curve.execution, one.sparsity) for one in found]
    assert stated == [("dense", 0), ("dense", 0.5), ("sparse", 0), ("sparse", 0.5)]
    assert [one.matrices for one in found] == [one.matrices for one in points]
    columns = pa.parquet.read_table(tmp_path / "predictions.parquet")
    assert columns["execution"].to_pylist() == ["dense"] * 16 + ["sparse"] * 16


def test_predictions_have_designs_columns_and_types(written):
    table = pa.parquet.read_table(written / "predictions.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    recipe = RESULT_COLUMNS[:20]
    own = [
        "question_id", "answer", "options", "scores", "option_tokens", "predicted",
        "correct",
    ]  # fmt: skip
    assert list(types) == recipe + own + RESULT_COLUMNS[35:39] + RESULT_COLUMNS[-1:]
    assert {types[name] for name in ("sparsity", "achieved_sparsity")} == {"double"}
    assert types["seed"] == "int64"
    assert (types["finetuned"], types["correct"]) == ("bool", "bool")
    lists = {
        "options": pa.string(),
        "scores": pa.float32(),
        "option_tokens": pa.int32(),
    }
    for name, of in lists.items():
        assert table.schema.field(name).type.value_type == of
    assert types["predicted"] == "int32"
    texts = set(recipe) - {"seed", "finetuned"} - {n for n in recipe if "spars" in n}
    assert {types[name] for name in texts} == {"string"}


def test_predictions_are_a_row_per_question_and_point(written):
    rows = pa.parquet.read_table(written / "predictions.parquet").to_pylist()
    assert len(rows) == 2 * 2 * 8
    assert [row["question_id"] for row in rows[:8]] == [q.id for q in QUESTIONS]
    assert [row["word_class"] for row in rows[:4]] == list(WORD_CLASSES)
    assert [row["sparsity"] for row in rows] == ([0.0] * 8 + [0.5] * 8) * 2
    for row in rows:
        assert row["options"] == list(OPTIONS)
        assert row["option_tokens"] == list(range(1, 11))
        assert row["predicted"] == int(np.argmax(row["scores"]))
        assert row["correct"] == (row["options"][row["predicted"]] == row["answer"])
        assert row["finetuned"] is False
    expected = answers(3).scores
    np.testing.assert_array_equal([row["scores"] for row in rows[:8]], expected)


def test_run_json_is_what_was_given(written):
    assert json.loads((written / "run.json").read_text(encoding="utf-8")) == RUN


def test_several_splits_are_named_together():
    other = [dataclasses.replace(one, split="validation") for one in QUESTIONS[4:]]
    asked = (*QUESTIONS[:4], *other)
    both, _ = curve({0.0: 3, 0.5: 6}, questions=asked)
    assert both.split == "test+validation"


def test_layers_are_a_row_for_each_matrix_and_point_whatever_the_protocol(tmp_path):
    protocols = ("cloze", "append")
    results = list(results_of(methods=("magnitude", "random"), protocols=protocols))
    report.files.write_csv(
        tmp_path / "layers.csv",
        columns.LAYERS,
        report.files.layer_rows(results),
    )
    rows = read_csv(tmp_path / "layers.csv")
    assert len(rows) == 2 * len(MATRICES)  # dense prunes nothing
    names = ("method", "sparsity", "matrix", "layer", "weights", "pruned")
    assert [rows[1][name] for name in names] == [
        "magnitude", "0.5", "h/attn/c_attn", "1", "100", "50",
    ]  # fmt: skip


def test_questions_can_be_asked_again(written):
    reading = cbt.read(str(written / "questions.parquet"), None, None)
    assert not reading.malformed
    assert [one.digest for one in reading.questions] == [q.digest for q in QUESTIONS]
    assert [one.word_class for one in reading.questions] == [*WORD_CLASSES] * 2
    assert {one.story for one in reading.questions} == {"Hush 1", "Hush 2"}


# Read again


def test_a_run_without_stories_is_read(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "questions.parquet"
    table = pa.parquet.read_table(path)
    pa.parquet.write_table(table.drop_columns("story"), path)
    assert {question.story for question in report.read(tmp_path).questions} == {""}


def test_what_is_read_is_what_was_written(written):
    run = report.read(written)
    assert {question.story for question in run.questions} == {"Hush 1", "Hush 2"}
    expected = list(results_of(methods=("magnitude", "random")))
    assert run.facts == RUN
    assert len(run.points) == len(expected) == 4
    for point, other in zip(run.points, expected, strict=True):
        for field in dataclasses.fields(point):
            mine, theirs = getattr(point, field.name), getattr(other, field.name)
            if field.name == "answers":
                np.testing.assert_array_equal(mine.scores, theirs.scores)
            elif field.name != "truncated":  # of which the files have counts
                assert mine == theirs, field.name
    assert [one.digest for one in run.questions] == [one.digest for one in QUESTIONS]


def gone(path):
    path.unlink()


def emptied(path):
    path.write_text("")


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def drop_a_row(path):
    path.write_text(path.read_text().rsplit("\n", 2)[0] + "\n")


def of_another_run(path):
    write(path.parent / "other", results_of(protocols=("append",)))
    (path.parent / "other" / path.name).replace(path)


def of_other_weights(path):
    """All that they state is the same, but for the answers."""
    other = [
        point
        for method in ("magnitude", "random")
        for point in curve({0.0: 3, 0.5: 6 if method == "random" else 7}, method=method)
    ]
    write(path.parent / "other", other)
    (path.parent / "other" / path.name).replace(path)


def with_scores(path, change):
    table = pa.parquet.read_table(path)
    scores = change(np.array(table["scores"].to_pylist(), np.float32))
    column = pa.array(list(scores), pa.list_(pa.float32()))
    at = table.schema.get_field_index("scores")
    pa.parquet.write_table(table.set_column(at, table.schema.field(at), column), path)


def changed_scores(path):
    with_scores(path, lambda scores: -scores)


def nan_scores(path):
    with_scores(path, lambda scores: scores * np.float32("nan"))


def no_scores(path):
    with_scores(path, lambda scores: [[None] * scores.shape[1]] * len(scores))


def another_class(path):
    path.write_text(path.read_text().replace(",V,", ",P,"))


def without_notes(path):
    path.write_text('{"command": "./run.sh", "models": {}}')


def odd_notes(path):
    path.write_text('{"command": "./run.sh", "notes": [1], "models": {}}')


def without_results(path):
    path.unlink()
    (path.parent / "journal.sqlite").touch()


BAD_RUNS = {
    "no results": ("results.csv", gone, "is missing; name"),
    "not ended": ("run.json", without_results, "not ended: repeat its command"),
    "no questions": ("questions.parquet", gone, "questions.parquet is missing"),
    "cut parquet": ("predictions.parquet", cut, "damaged, or of different runs"),
    "cut table": ("results.csv", cut, "damaged, or of different runs"),
    "a row less": ("results.csv", drop_a_row, "ends in the middle of a point"),
    "cut facts": ("run.json", cut, "damaged, or of different runs"),
    "other facts": ("run.json", lambda path: path.write_text("[1]"), "damaged"),
    "of another run": ("results.csv", of_another_run, "2 points of 8 questions"),
    "no notes": ("run.json", without_notes, "damaged, or of different runs"),
    "odd notes": ("run.json", odd_notes, "notes in run.json are no texts"),
    "of other weights": (
        "results.csv",
        of_other_weights,
        "results.csv has 2 of 2 V",
    ),
    "other scores": ("predictions.parquet", changed_scores, "not predict what its"),
    "no scores": ("predictions.parquet", no_scores, "scores are not finite"),
    "no number": ("predictions.parquet", nan_scores, "scores are not finite"),
    "another class": ("results.csv", another_class, "other word classes than"),
    "empty table": ("results.csv", emptied, "damaged"),
    "empty file": ("questions.parquet", emptied, "damaged"),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_run_that_cannot_be_read_is_refused_by_name(written, tmp_path, name):
    file, damage, message = BAD_RUNS[name]
    directory = tmp_path / "run"
    shutil.copytree(written, directory)
    damage(directory / file)
    with pytest.raises(InputError, match=message) as caught:
        report.read(directory)
    assert str(caught.value).startswith(f"{directory}: ")


def test_no_directory_is_no_run(tmp_path):
    with pytest.raises(InputError, match="no such directory; name that of a run"):
        report.read(tmp_path / "none")


# Whole or not at all


@pytest.mark.parametrize("facts", [None, "", "[]", '{"command": "make"}'])
def test_files_that_no_run_of_ours_wrote_stay(tmp_path, facts):
    """Beside a run.json of somebody else's, too, which is replaced."""
    own = dict.fromkeys(("text.csv", "text.png", "calibration.parquet"), "mine")
    for name, content in own.items():
        (tmp_path / name).write_text(content)
    if facts is not None:
        (tmp_path / "run.json").write_text(facts)
    write(tmp_path, results_of())
    assert {name: (tmp_path / name).read_text() for name in own} == own


def test_a_run_that_cannot_be_written_leaves_every_old_file(tmp_path, monkeypatch):
    write(tmp_path, results_of("old"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(text, "markdown", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, results_of("new"))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
