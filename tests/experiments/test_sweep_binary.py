"""The sweep from the command line: what its files say, they all say."""

import csv
import json
import re
import shutil
from collections import Counter, defaultdict

import numpy as np
import pyarrow.parquet
import pytest

from experiments import facts, inputs, sweep
from jaxsparse import stats
from jaxsparse.cbt import WORD_CLASSES
from jaxsparse.model import load_model
from jaxsparse.report import read, statistics
from jaxsparse.report.text import NOT_IN_TERMINAL, terminal
from tests import tiny
from tests.experiments import binary

SWEEP = (
    "--context=query",
    "--protocol=cloze,append",
    "--method=magnitude,random",
    "--sparsities=0.9,0.5",
    "--num_examples=6",
)
FILES = (
    "report.md", "report.html", "results.csv", "accuracy.png", "predictions.parquet",
    "questions.parquet", "layers.csv", "run.json",
)  # fmt: skip
POINT = ("model", "protocol", "method", "sparsity")


@pytest.fixture(scope="module")
def place(saved, tmp_path_factory):
    """Two questions of each class, and three models, two of them called gpt2."""
    directory = tmp_path_factory.mktemp("place")
    binary.write_directory(directory / "data", each=2)
    shutil.copytree(saved("gpt2"), directory / "gpt2")
    tiny.save("gpt2", directory / "other" / "gpt2", seed=1)
    shutil.copytree(saved("electra-discriminator"), directory / "electra")
    return directory


@pytest.fixture(scope="module")
def ended(place):
    models = "--model=gpt2,electra,other/gpt2/"
    flags = (models, "--data=data", *SWEEP, "--out=first")
    return binary.start("-m", "experiments.sweep", *flags, cwd=place)


@pytest.fixture(scope="module")
def table(ended, place):
    assert ended.status == 0, ended.stderr
    with (place / "first/results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def predictions(ended, place):
    return pyarrow.parquet.read_table(place / "first/predictions.parquet").to_pylist()


def point_of(row):
    return tuple(str(row[name]) for name in POINT)


def by_row(predictions):
    """Predictions of each row of the table: of one class, and of all."""
    rows = defaultdict(list)
    for one in predictions:
        for word_class in one["word_class"], "all":
            rows[*point_of(one), word_class].append(one)
    return rows


def test_a_run_says_how_far_it_is_and_where_its_results_are(ended):
    assert ended.status == 0
    state = r"\d+ of 30(, [\d.]+ answers/s, \d\d:\d\d left)?"
    point = r"(dense|(magnitude|random) 0\.[59])"
    lines = [
        re.compile(rf"\[\d/3\] (gpt2|electra|gpt2-2) · {what}")
        for what in (
            r"(cloze|append) · reading, 6 questions",
            r"(cloze|append), 30 answers",
            rf"(cloze|append) · {point}: {state}",
            rf"(cloze|append): {state}",
        )
    ]
    counts = Counter(
        number
        for said in ended.stderr.splitlines()
        for number, line in enumerate(lines)
        if line.fullmatch(said)
    )
    assert counts == {0: 3 * 2, 1: 3 * 2, 2: 3 * 2 * 5, 3: 3 * 2}
    *_, last = ended.stdout.splitlines()
    assert last == f"Written to first: {', '.join(FILES)}"


def test_the_summary_comes_first_and_alone_unless_asked(ended, place, monkeypatch):
    monkeypatch.chdir(place)
    asked = ("--model=gpt2", "--data=data", "--num_examples=6", "--sparsities=0.5")
    short = binary.run(sweep, *asked, "--out=short", "--margin=10")
    assert short.status == 0
    assert len(short.stdout.splitlines()) < 24
    long = binary.run(sweep, *asked, "--out=short", "--margin=10", "--verbose")
    assert long.stdout.startswith(short.stdout.partition("6 of 8 questions")[0])
    assert "6 of 8 questions were asked: the first of each class" in short.stdout
    for said in ("What pruning costs", "method", "CN: common nouns", "compilations: "):
        assert said in " ".join(long.stdout.split())
        assert said not in " ".join(short.stdout.split())
    facts = json.loads((place / "short/run.json").read_text(encoding="utf-8"))
    assert facts["settings"]["margin"] == 0.1
    assert "10 excluded up to" in (place / "short/report.md").read_text()


def test_files_are_those_named_the_journal_and_what_was_read(ended, place):
    there = {path.name for path in (place / "first").iterdir()}
    assert there == {*FILES, "journal.sqlite", "reading.sqlite"}
    assert not (place / "results").exists()


def test_every_model_protocol_method_and_sparsity_has_its_rows(table, predictions):
    points = [
        (model, protocol, method, sparsity)
        for model in ("gpt2", "electra", "gpt2-2")
        for protocol in ("cloze", "append")
        for method in ("magnitude", "random")
        for sparsity in ("0.0", "0.5", "0.9")
    ]
    assert list(dict.fromkeys(map(point_of, table))) == points
    assert list(dict.fromkeys(map(point_of, predictions))) == points
    classes = Counter((point_of(row), row["word_class"]) for row in table)
    expected = {(point, name) for point in points for name in (*WORD_CLASSES, "all")}
    assert classes == dict.fromkeys(expected, 1)


def test_questions_are_the_first_of_each_class_spread_evenly(predictions):
    ids = [row["question_id"] for row in predictions[:6]]
    assert ids == [
        *("CN-test-1", "CN-test-2", "NE-test-1", "NE-test-2", "V-test-1", "P-test-1")
    ]
    assert len(predictions) == 6 * 3 * 2 * 2 * 3


def test_predictions_are_the_best_options_as_read(predictions, place):
    text = (place / "data/cbtest_NE_test_2500ex.txt").read_text().splitlines()
    _, answer, _, options = text[20].split("\t")
    (first,) = {
        (tuple(row["options"]), row["answer"], row["split"])
        for row in predictions
        if row["question_id"] == "NE-test-1"
    }
    assert first == (tuple(options.split("|")), answer, "test")
    for row in predictions:
        assert row["predicted"] == int(np.argmax(row["scores"]))
        assert row["correct"] == (row["options"][row["predicted"]] == row["answer"])
        assert len(row["scores"]) == len(row["option_tokens"]) == 10
        assert min(row["option_tokens"]) >= 1


def test_the_table_counts_the_predictions(table, predictions):
    grouped = by_row(predictions)
    assert len(table) == len(grouped)
    for row in table:
        point, word_class = point_of(row), row["word_class"]
        group = grouped[*point, word_class]
        dense = grouped[*point[:3], "0.0", word_class]
        right = np.array([one["correct"] for one in group])
        dense_right = np.array([one["correct"] for one in dense])
        assert int(row["questions"]) == len(group)
        assert int(row["correct"]) == right.sum()
        assert float(row["accuracy"]) == right.mean()
        assert float(row["dense_accuracy"]) == dense_right.mean()
        low, high = stats.wilson(int(right.sum()), len(group))
        assert (float(row["ci_low"]), float(row["ci_high"])) == (low, high)
        best = [one["scores"].count(max(one["scores"])) for one in group]
        assert int(row["ties"]) == sum(count > 1 for count in best)
        if row["sparsity"] == "0.0":
            assert row["p_vs_dense"] == ""
        else:
            assert float(row["p_vs_dense"]) == stats.mcnemar(right, dense_right)


def test_recipe_columns_are_those_asked_for_in_both(table, predictions):
    asked = {
        "context": "query", "detokenize": "ptb", "pattern": "unstructured",
        "scope": "matrix", "allocation": "uniform", "statistics": "",
        "prunable": "blocks", "dtype": "float32", "finetuned": "False", "split": "test",
    }  # fmt: skip
    assert all(asked.items() <= row.items() for row in table)
    seeds = {(row["method"], row["seed"]) for row in table}
    assert seeds == {("magnitude", ""), ("random", "0")}  # the one draws nothing
    grouped = by_row(predictions)
    recipe = list(table[0])[:19]
    assert recipe == list(predictions[0])[:19]
    for row in table:
        for one in grouped[*point_of(row), row["word_class"]]:
            for name in set(recipe) - {"word_class"}:
                assert ("" if one[name] is None else str(one[name])) == row[name]


def test_seconds_add_up_and_sparsities_are_achieved(table):
    for start in range(0, len(table), 5):
        *classes, pooled = table[start : start + 5]
        total = sum(float(row["seconds"]) for row in classes)
        assert float(pooled["seconds"]) == pytest.approx(total)
        speed = int(pooled["questions"]) / float(pooled["seconds"])
        assert float(pooled["questions_per_second"]) == pytest.approx(speed)
        asked = float(pooled["sparsity"])
        assert float(pooled["achieved_sparsity"]) == pytest.approx(asked, abs=1e-3)
        assert bool(asked) == (0 < float(pooled["total_sparsity"]) < asked)


def test_dense_is_the_same_under_every_method(predictions):
    dense = [row for row in predictions if row["sparsity"] == 0]
    magnitude = [row["scores"] for row in dense if row["method"] == "magnitude"]
    random = [row["scores"] for row in dense if row["method"] == "random"]
    assert magnitude == random
    assert len(magnitude) == 6 * 3 * 2


def test_models_of_one_name_are_told_apart(predictions):
    scores = {
        name: [row["scores"] for row in predictions if row["model"] == name]
        for name in ("gpt2", "gpt2-2")
    }
    assert len(scores["gpt2"]) == len(scores["gpt2-2"])
    assert not np.any(np.array(scores["gpt2"]) == np.array(scores["gpt2-2"]))


def test_the_report_says_what_the_table_says(ended, table, place):
    text = (place / "first/report.md").read_text(encoding="utf-8")
    found = statistics(read(place / "first").points)
    verbose = terminal(found, verbose=True)
    assert terminal(found) in ended.stdout
    assert "./run.sh --model=gpt2,electra,other/gpt2/ --data=data" in text
    pooled = iter(row for row in table if row["word_class"] == "all")
    overview, costs, *rest, columns = text.split("\n## ")[1:]
    sections, (compared, also), originals = rest[:6], rest[6:8], rest[8:]
    assert overview.startswith("Accuracy at each sparsity")
    assert costs.startswith("What pruning costs")
    assert compared.startswith("Models compared · cloze")
    assert also.startswith("Models compared · append")
    assert len(originals) == 2 * 2  # a protocol and a method each
    for original in originals:
        assert original.startswith("In the layout of the original experiments")
    assert columns.startswith("Columns")
    assert len(sections) == 3 * 2
    for section in sections:
        title, *lines = section.splitlines()
        model, protocol = title.split(" · ")
        cells = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
        header, *rows = cells
        shown = [dict(zip(header, row, strict=True)) for row in rows]
        for method in ("magnitude", "random"):
            for sparsity in ("0", "0.5", "0.9"):
                row = next(pooled)
                assert (model, protocol) == (row["model"], row["protocol"])
                named = "dense" if sparsity == "0" else method
                (line,) = [
                    one
                    for one in shown
                    if (one["method"], one["sparsity"]) == (named, sparsity)
                ]
                assert line["all"] == f"{100 * float(row['accuracy']):.1f}"
                # The terminal shows some of the same numbers, in the same order.
                shorter = [
                    cell
                    for name, cell in line.items()
                    if cell and name not in NOT_IN_TERMINAL
                ]
                assert re.search(" +".join(map(re.escape, shorter)), verbose)


def test_run_json_says_how_to_make_it_again(ended, place):
    facts = json.loads((place / "first/run.json").read_text(encoding="utf-8"))
    assert facts["command"].startswith("./run.sh --model=gpt2,electra,other/gpt2/ --")
    assert facts["settings"]["sparsities"] == [0.5, 0.9]
    assert facts["settings"]["protocols"] == ["cloze", "append"]
    assert list(facts["models"]) == ["gpt2", "electra", "gpt2-2"]
    second = facts["models"]["gpt2-2"]
    assert second["family"] == "gpt2"
    assert second["directory"] == str(place / "other" / "gpt2")
    assert second["digest"] == load_model(second["directory"]).digest
    assert second["digest"] != facts["models"]["gpt2"]["digest"]
    for model in facts["models"].values():
        assert model["batch_tokens"] > 0  # what it was, not "what suits"
        for computed in model["computed"].values():
            assert computed["levels_at_once"] == 1
            assert computed["compilations"] == computed["shapes"] > 0
    assert (facts["questions"], facts["malformed"]) == (6, [])
    assert {"jax", "flax", "transformers"} <= facts["versions"].keys()
    assert facts["devices"]
    assert re.fullmatch("[0-9a-f]{40}|None", str(facts["git_commit"]))


def test_one_model_alone_has_the_same_scores_in_a_directory_of_its_own_name(
    place, predictions, monkeypatch
):
    monkeypatch.chdir(place)
    flags = ("--model=other/gpt2", "--data=data", *SWEEP, "--protocol=append")
    alone = binary.run(sweep, *flags, "--levels_at_once=2", "--method=random")
    assert alone.status == 0
    (out,) = (place / "results").iterdir()
    assert re.fullmatch("gpt2-[0-9a-f]{8}", out.name)
    assert f"Written to results/{out.name}: " in alone.stdout
    rows = pyarrow.parquet.read_table(out / "predictions.parquet").to_pylist()
    expected = [
        row
        for row in predictions
        if (row["model"], row["protocol"], row["method"])
        == ("gpt2-2", "append", "random")
    ]
    assert {row["model"] for row in rows} == {"gpt2"}
    assert [row["question_id"] for row in rows] == [
        row["question_id"] for row in expected
    ]
    np.testing.assert_allclose(
        [row["scores"] for row in rows],
        [row["scores"] for row in expected],
        rtol=1e-5,
    )


# Which questions


def ids(*flags):
    settings = binary.settings("--model=gpt2", *flags)
    return [question.id for question in inputs.read_inputs(settings).questions]


def test_split_word_classes_and_num_examples_choose_questions(place, monkeypatch):
    monkeypatch.chdir(place)
    binary.write_directory(place / "both", each=2)
    binary.write_directory(place / "both", each=1, split="valid_2000ex")
    assert ids("--data=both", "--split=validation") == [
        f"{name}-validation-1" for name in WORD_CLASSES
    ]
    data = "--data=both"
    assert ids(data, "--word_classes=P,CN") == [
        *("P-test-1", "P-test-2", "CN-test-1", "CN-test-2")
    ]
    assert len(ids(data)) == len(ids(data, "--num_examples=100")) == 8
    assert ids(data, "--word_classes=V,NE", "--num_examples=3") == [
        *("V-test-1", "V-test-2", "NE-test-1")
    ]
    assert ids("--data=both/cbtest_V_valid_2000ex.txt") == ["V-validation-1"]


def test_questions_are_drawn_by_seed_where_asked(place, monkeypatch):
    monkeypatch.chdir(place)
    binary.write_directory(place / "many", each=9)
    asked = ("--data=many", "--num_examples=8")
    first = ids(*asked)
    drawn = {
        seed: ids(*asked, "--sample=random", f"--seed={seed}") for seed in (0, 0, 1)
    }
    assert ids(*asked, "--sample=first", "--seed=1") == first
    assert len({tuple(one) for one in (first, *drawn.values())}) == 3
    for chosen in drawn.values():
        assert Counter(name[: name.index("-")] for name in chosen) == dict.fromkeys(
            WORD_CLASSES, 2
        )
    settings = binary.settings("--model=gpt2", *asked, "--sample=random", "--seed=1")
    (said,) = facts.notes(settings, inputs.read_inputs(settings))
    assert said == "8 of 36 questions were asked: drawn from each class by seed 1"
    settings = binary.settings("--model=gpt2", *asked)
    (said,) = facts.notes(settings, inputs.read_inputs(settings))
    assert said == (
        "8 of 36 questions were asked: the first of each class (--sample=random draws "
        "at random)"
    )


def test_names_of_models_are_unique_within_a_run(place, monkeypatch):
    monkeypatch.chdir(place)
    shutil.copytree(place / "electra", place / "third" / "gpt2")
    names = ("other/gpt2", "gpt2", "third/gpt2", "electra")
    opened = [model.name for model in inputs.open_models(names)]
    assert opened == ["gpt2", "gpt2-2", "gpt2-3", "electra"]
