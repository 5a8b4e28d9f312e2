"""The files a run leaves, column by column, and its tables for people."""

import csv
import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from jaxsparse import plots, report
from jaxsparse.cbt import WORD_CLASSES, Question
from jaxsparse.evaluation import Asked, Scores, accuracies
from jaxsparse.report import Result
from jaxsparse.sweep import Point, Recipe

# DESIGN section 9, word for word.
RESULT_COLUMNS = """
model, family, protocol, context, detokenize, method, pattern, scope, prunable, dtype,
seed, sparsity, achieved_sparsity, total_sparsity, finetuned, word_class, split,
questions, correct, accuracy, ci_low, ci_high, dense_accuracy, p_vs_dense, truncated,
ties, seconds, questions_per_second
""".replace(",", " ").split()
OPTIONS = ("the", "of", "and", "to", "a", "in", "b|c", 'd"e', "f,g", "Zoë")
RUN = {"command": "./run.sh --model=one", "notes": ["3 malformed questions left out"]}


def question(number, word_class):
    name = f"{word_class}-test-{number}"
    story = ("Hush !",) * 20
    return Question(story, "A XXXXX .", OPTIONS, "Zoë", word_class, id=name)


QUESTIONS = tuple(question(1 + n // 4, WORD_CLASSES[n % 4]) for n in range(8))
ASKED = Asked(
    QUESTIONS, "cloze", "full", "ptb",
    option_tokens=(tuple(range(1, 11)),) * 8,
    truncated=np.arange(8) % 2 == 1,
)  # fmt: skip


def scores(correct):
    """The first so many questions right."""
    table = -np.arange(80, dtype=np.float32).reshape(8, 10) / 3
    table[:correct, 9] = 1
    return Scores(table, np.arange(1, 9) / 4)


def result(model, point):
    rows = tuple(accuracies(point.asked, point.scores, point.dense))
    return Result(model, "gpt2", "bfloat16", "0123", point, rows)


def results_of(model="one", methods=("magnitude",), protocols=("cloze",)):
    """Points at 0 and 0.5 with 3 and 6 answers of 8 right."""
    dense, pruned = scores(3), scores(6)
    for protocol in protocols:
        asked = dataclasses.replace(ASKED, protocol=protocol)
        for method in methods:
            recipe = Recipe(method, "matrix", seed=7)
            for point in (
                Point(recipe, 0.0, 0.0, 0.0, asked, dense, dense),
                Point(recipe, 0.5, 0.49, 0.31, asked, pruned, dense),
            ):
                yield result(model, point)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "deep" / "out"
    report.write(out, list(results_of(methods=("magnitude", "random"))), RUN)
    return out


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_files_are_there_and_nothing_else(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "accuracy.png",
        "predictions.parquet",
        "report.md",
        "results.csv",
        "run.json",
    ]


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
        "scope": "matrix", "prunable": "blocks", "dtype": "bfloat16", "seed": "7",
        "finetuned": "False", "word_class": "all", "split": "test", "questions": "8",
        "dense_accuracy": "0.375", "truncated": "4", "ties": "0", "seconds": "9.0",
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


def test_predictions_have_designs_columns_and_types(written):
    table = pa.parquet.read_table(written / "predictions.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    recipe = RESULT_COLUMNS[:17]
    own = [
        "question_id", "answer", "options", "scores", "option_tokens", "predicted",
        "correct",
    ]  # fmt: skip
    assert list(types) == recipe + own
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
    np.testing.assert_array_equal([row["scores"] for row in rows[:8]], scores(3).scores)


def test_run_json_is_what_was_given(written):
    assert json.loads((written / "run.json").read_text(encoding="utf-8")) == RUN


def test_several_splits_are_named_together():
    (dense, _) = results_of()
    assert dense.split == "test"
    other = [dataclasses.replace(one, split="validation") for one in QUESTIONS[4:]]
    asked = dataclasses.replace(ASKED, questions=(*QUESTIONS[:4], *other))
    assert result("one", dataclasses.replace(dense.point, asked=asked)).split == (
        "test+validation"
    )


# Whole or not at all


def test_a_run_that_cannot_be_written_leaves_every_old_file(tmp_path, monkeypatch):
    report.write(tmp_path, list(results_of("old")), RUN)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(results, run):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "markdown", fail)
    with pytest.raises(OSError, match="No space"):
        report.write(tmp_path, list(results_of("new")), RUN)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# Tables for people


def many():
    """Two models and two methods under two protocols."""
    for model in ("gpt2-medium", "electra-large-discriminator"):
        methods, protocols = ("magnitude", "random"), ("cloze", "append")
        yield from results_of(model, methods, protocols)


def test_a_table_for_each_model_and_protocol_has_dense_once_and_every_point():
    tables = list(report.tables(list(many())))
    assert [table.title for table in tables] == [
        "gpt2-medium · cloze",
        "gpt2-medium · append",
        "electra-large-discriminator · cloze",
        "electra-large-discriminator · append",
    ]
    for table in tables:
        assert [row[:2] for row in table.rows] == [
            ("dense", "0"), ("magnitude", "0.5"), ("random", "0.5"),
        ]  # fmt: skip
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_tables_say_percent():
    (table,) = report.tables(list(results_of()))
    names = ("CN", "NE", "V", "P", "all", "95 % CI", "p", "ties", "s")
    point = ("method", "sparsity", "achieved", "of all")
    assert table.header == (*point, *names)
    values = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["achieved"] for row in values] == ["0.0000", "0.4900"]
    assert [row["of all"] for row in values] == ["0.0000", "0.3100"]
    assert [row["all"] for row in values] == ["37.5", "75.0"]
    assert [row["CN"] for row in values] == ["50.0", "100.0"]
    assert [row["p"] for row in values] == ["", "0.25"]
    assert values[1]["95 % CI"] == "40.9–92.9"
    assert "8 questions, 4 with sentences dropped" in " ".join(table.notes)


def test_markdown_tables_are_tables_and_notes_are_there():
    text = report.markdown(list(many()), RUN)
    for fact in (RUN["command"], *RUN["notes"], report.LEGEND, "(accuracy.png)"):
        assert fact in text
    lines = text.splitlines()
    assert sum(line.startswith("## ") for line in lines) == 1 + 4
    table = [line for line in lines if line.startswith("|")]
    overview, points = table[: 2 + 8], table[2 + 8 :]
    assert len(points) == 4 * (2 + 3)
    assert {line.count("|") for line in overview} == {4}
    assert {line.count("|") for line in points} == {14}
    for number, line in enumerate(lines):
        if line.startswith("| method"):
            assert lines[number - 1] == ""  # or markdown would join it to a sentence
            assert set(lines[number + 1]) == {"|", "-"}
            assert lines[number + 2 + 3] == ""


def test_the_overview_has_a_row_for_each_line_of_the_plot():
    table = report.overview(list(many()))
    assert table.header == ("", "0", "0.5")
    assert len(table.rows) == 2 * 2 * 2
    assert table.rows[0] == ("gpt2-medium · cloze, magnitude", "37.5", "75.0")
    (one,) = report.overview(list(results_of(methods=("random",)))).rows
    assert "random" not in one[0]  # nothing to tell apart


def test_the_plot_has_a_panel_for_each_model_and_a_line_for_each_protocol():
    lines = list(report.curves(list(many())))
    assert [(one.panel, one.label) for one in lines[:3]] == [
        ("gpt2-medium", "cloze, magnitude"),
        ("gpt2-medium", "cloze, random"),
        ("gpt2-medium", "append, magnitude"),
    ]
    assert len(lines) == 8
    assert lines[0].sparsities == (0.0, 0.5)
    assert lines[0].accuracy == (0.375, 0.75)
    for low, value, high in zip(
        lines[0].low, lines[0].accuracy, lines[0].high, strict=True
    ):
        assert low < value < high
    figure = plots.draw_accuracy(lines, report.CHANCE, "title")
    titled = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in titled] == [
        "gpt2-medium", "electra-large-discriminator",
    ]  # fmt: skip
    drawn = {line.get_label(): line for line in titled[0].get_lines()}
    assert list(drawn["cloze, magnitude"].get_ydata()) == [37.5, 75.0]
    assert set(drawn["chance"].get_ydata()) == {10.0}
    assert len(titled[0].collections) == 4  # a band each


def test_terminal_tables_are_aligned_and_at_most_100_columns_wide():
    text = report.terminal(list(many()))
    assert max(map(len, text.splitlines())) <= 100
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    assert " ".join(blocks.pop()) == report.LEGEND
    assert len(blocks.pop()) == 2 + 8
    for title, header, *rows in blocks:
        assert "·" in title
        assert header.split()[:2] == ["method", "sparsity"]
        points = rows[:3]
        assert {len(line) for line in (header, *points)} == {len(header)}
        end = header.index("  all  ") + 5
        assert [line[:end].split()[-1] for line in points] == ["37.5", "75.0", "75.0"]
