"""Several runs in one report: same questions, whose models, and files whole or not."""

import csv
import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from jaxsparse import plots, report
from jaxsparse.answers import Answers
from jaxsparse.pruning import Recipe
from jaxsparse.report.labels import Labels
from jaxsparse.report.reading import RunFiles
from jaxsparse.training.training import Training
from jaxsparse.types import InputError
from jaxsparse.whole import locked
from tests.report.made import QUESTIONS, curve, questions_of

PICTURES = {"accuracy.png", "accuracy.svg", "classes.png", "classes.svg"}


def run(name, *curves, notes=(), margin=None, **facts):
    results = tuple(point for one in curves for point in one)
    facts = {
        "command": f"./run.sh --out={name}",
        "notes": list(notes),
        "settings": {"margin": margin},
        **facts,
    }
    return RunFiles(Path("runs") / name, facts, results)


def write(out, merged, command, runs):
    found = report.statistics(merged.points, merged.margin)
    return report.write_merged(out, found, merged, command, runs, 0)


def keys(merged):
    return [
        (
            one.setup.model, one.setup.presentation.protocol, one.curve.recipe.method,
            one.curve.finetuned, one.sparsity, one.pooled.correct,
        )
        for one in merged.points
    ]  # fmt: skip


def test_points_of_one_curve_come_together_in_order():
    merged = report.merge(
        [
            run("a", curve({0.0: 5, 0.9: 2}), notes=["one left out"]),
            run("b", curve({0.0: 5, 0.5: 4, 0.99: 1})),
            run("c", curve({0.0: 5, 0.5: 3}, method="random")),
            run("d", curve({0.0: 5, 0.5: 5}, training=Training())),
        ]
    )
    assert keys(merged) == [
        ("one", "cloze", "magnitude", False, 0.0, 5),
        ("one", "cloze", "magnitude", False, 0.5, 4),
        ("one", "cloze", "magnitude", False, 0.9, 2),
        ("one", "cloze", "magnitude", False, 0.99, 1),
        ("one", "cloze", "random", False, 0.0, 5),
        ("one", "cloze", "random", False, 0.5, 3),
        ("one", "cloze", "magnitude", True, 0.0, 5),
        ("one", "cloze", "magnitude", True, 0.5, 5),
    ]
    assert merged.notes == (
        "one left out", "points in more than one run, taken from the first: 1",
    )  # fmt: skip


def test_points_of_other_execution_are_other_points():
    merged = report.merge(
        [
            run("a", curve({0.0: 5, 0.5: 4})),
            run("b", curve({0.0: 5, 0.5: 4, 0.9: 2}, execution="sparse")),
        ]
    )
    assert [(one.curve.execution, one.sparsity) for one in merged.points] == [
        ("dense", 0.0), ("dense", 0.5), ("sparse", 0.0), ("sparse", 0.5),
        ("sparse", 0.9),
    ]  # fmt: skip
    assert merged.notes == ()


def test_points_of_longer_rows_are_other_points_and_named_so():
    merged = report.merge(
        [
            run("a", curve({0.0: 5, 0.5: 4})),
            run("b", curve({0.0: 5, 0.5: 4}, context_tokens=8192)),
            run("c", curve({0.0: 5}, context_tokens=4096)),
        ]
    )
    labels = Labels(merged.points)
    named = [(labels.setup(one.setup), one.sparsity) for one in merged.points]
    assert named == [
        ("one · cloze, rows of the usual limit", 0.0),
        ("one · cloze, rows of the usual limit", 0.5),
        ("one · cloze, rows of at most 8,192 tokens", 0.0),
        ("one · cloze, rows of at most 8,192 tokens", 0.5),
        ("one · cloze, rows of at most 4,096 tokens", 0.0),
    ]


def test_a_report_has_its_own_margin_or_that_of_all_its_runs():
    one, same = (run(name, curve({0.0: 5}), margin=0.05) for name in "ab")
    other, none = run("c", curve({0.0: 5}), margin=0.02), run("d", curve({0.0: 5}))
    assert report.merge([one, same]).margin == 0.05
    assert report.merge([one, other], 0.1).margin == 0.1
    for runs, said in (([one, other], "5, 2"), ([one, none], "5, none")):
        merged = report.merge(runs)
        assert merged.margin is None
        note = f"the runs have different margins ({said}), so that none is applied"
        assert note in merged.notes[-1]


def test_seeds_of_a_method_that_draws_nothing_are_one():
    runs = [
        run(str(seed), curve({0.0: 5, 0.5: 3}, seed=seed),
            curve({0.0: 5, 0.5: 2}, method="random", seed=seed))
        for seed in (3, 4)
    ]  # fmt: skip
    merged = report.merge(runs)
    seeds = [(one.curve.recipe.method, one.curve.recipe.seed) for one in merged.points]
    assert (
        seeds == [("magnitude", None)] * 2 + [("random", 3)] * 2 + [("random", 4)] * 2
    )


def test_models_are_told_by_their_content():
    merged = report.merge(
        [
            run("a", curve({0.0: 5})),
            run("b", curve({0.0: 4}, digest="4567"), curve({0.0: 3}, model="two")),
            run("c", curve({0.0: 4, 0.5: 2}, digest="4567")),
            run("d", curve({0.0: 1}, digest="89ab")),
        ]
    )
    assert [(key[0], key[4], key[5]) for key in keys(merged)] == [
        ("one", 0, 5), ("one (b)", 0, 4), ("one (b)", 0.5, 2),
        ("two", 0, 3), ("one (d)", 0, 1),
    ]  # fmt: skip
    assert merged.notes[0].startswith("one of b is called one (b) here: another run")


def calibrated(name, rows, *methods, **how):
    """A run that calibrated its model on these rows, or does not say so."""
    curves = [curve({0.0: 5, 0.5: 3}, method=method, **how) for method in methods]
    facts = {"calibration": {"one": {"digest": rows}}} if rows else {}
    return run(name, *curves, **facts)


def methods_of(merged):
    return [point.recipe.method for point in merged.points if point.sparsity]


def test_methods_are_told_by_the_rows_that_they_were_calibrated_on():
    merged = report.merge(
        [
            calibrated("a", "aa", "wanda", "magnitude"),
            calibrated("b", "bb", "wanda", "magnitude"),
            calibrated("x/b", "cc", "wanda"),
            calibrated("c", "bb", "wanda", "ria"),
            calibrated("d", "dd", "wanda", seed=8),
        ]
    )
    assert methods_of(merged) == [
        "wanda", "magnitude", "wanda (b)", "wanda (b 2)", "ria", "wanda",
    ]  # fmt: skip
    assert merged.notes == (
        "wanda of b is called wanda (b) here: another run calibrated it on other rows, "
        "or has another file of that name",
        "wanda of b is called wanda (b 2) here: another run calibrated it on other "
        "rows, or has another file of that name",
        "points in more than one run, taken from the first: 4",
    )
    found = report.statistics(merged.points)
    labels = [found.labels.line(point.curve) for point in merged.points]
    assert len(set(labels)) == 6
    assert {label for label in labels if "(" in label} == {
        "cloze, wanda (b), seed 7", "cloze, wanda (b 2), seed 7",
    }  # fmt: skip


def test_all_patterns_of_a_method_get_the_same_name():
    patterned = curve({0.0: 5, 0.5: 2}, method="wanda", pattern="2:4")
    first = calibrated("a", "aa", "wanda")
    second = run("b", curve({0.0: 5, 0.5: 2}, method="wanda"), patterned,
                 calibration={"one": {"digest": "bb"}})  # fmt: skip
    assert methods_of(report.merge([first, second])) == ["wanda", *["wanda (b)"] * 2]


def test_runs_that_do_not_say_what_they_were_calibrated_on_are_still_merged():
    olds = [calibrated(name, None, "wanda") for name in "ab"]
    assert methods_of(report.merge(olds)) == ["wanda"]
    new = calibrated("c", "cc", "wanda")
    assert methods_of(report.merge([*olds, new])) == ["wanda", "wanda (c)"]


def of_a_file(name, source):
    """A run by a method of a user's file, which is not there any more."""
    method = "gone.py:by_size"
    points = [
        dataclasses.replace(
            point,
            curve=dataclasses.replace(
                point.curve,
                recipe=Recipe.written(
                    **{**dataclasses.asdict(point.recipe), "method": method}
                ),
            ),
        )
        for point in curve({0.0: 5, 0.5: 3})
    ]
    return run(name, points, methods={method: source} if source else {})


def test_methods_are_told_by_the_file_that_they_are_from():
    runs = [of_a_file("a", "12"), of_a_file("b", "34"), of_a_file("c", "12")]
    merged = report.merge(runs)
    assert methods_of(merged) == ["gone.py:by_size", "gone.py:by_size (b)"]
    olds = report.merge([of_a_file("a", None), of_a_file("b", None)])
    assert methods_of(olds) == ["gone.py:by_size"]


def trained(name, digest, right, seed=0, objective="lm"):
    """A run whose model was trained by numbers of this digest."""
    training = Training(objective, seed=seed)
    return run(
        name,
        curve({0.0: 5, 0.5: 2}),
        curve({0.5: right}, training=training, dense=5),
        training={"digests": {"one": digest}} if digest else {},
    )


def test_trainings_are_told_by_their_numbers():
    runs = [
        trained("a", "12", 3), trained("b", "34", 4), trained("c", "12", 5, seed=1),
        trained("d", "34", 6, objective="both"),
    ]  # fmt: skip
    merged = report.merge(runs)
    found = [
        (one.curve.training.objective, one.curve.training.seed, one.pooled.correct)
        for one in merged.points
        if one.curve.training
    ]
    assert found == [("lm", 0, 3), ("lm (b)", 0, 4), ("lm", 1, 5), ("both", 0, 6)]
    said = "lm of b is called lm (b) here: another run trained by other numbers"
    assert any(note.startswith(said) for note in merged.notes)
    table = report.statistics(merged.points)
    labels = {table.labels.line(p.curve) for p in merged.points if p.curve.training}
    assert len(labels) == 4
    olds = report.merge([trained("a", None, 3), trained("b", None, 4)])
    assert [p.pooled.correct for p in olds.points if p.curve.training] == [3]


def test_models_of_one_run_may_be_trained_by_numbers_of_their_own():
    """Rates are the family's."""
    points = [
        point
        for model in ("one", "other")
        for made in (
            curve({0.0: 5, 0.5: 2}, model=model, digest=model),
            curve({0.5: 4}, model=model, digest=model, training=Training(), dense=5),
        )
        for point in made
    ]
    merged = report.merge(
        [run("a", points, training={"digests": {"one": "12", "other": "34"}})]
    )
    objectives = {p.curve.training.objective for p in merged.points if p.curve.training}
    assert objectives == {"choice"}
    assert not merged.notes


def test_answers_are_put_in_the_order_of_the_first_runs_questions():
    first = run("a", curve({0.0: 5}))
    (point,) = curve({0.0: 3}, protocol="append")
    order = np.array([3, 0, 7, 1, 2, 6, 5, 4])
    mixed = dataclasses.replace(
        point,
        answers=Answers(
            tuple(QUESTIONS[number] for number in order), point.answers.scores[order]
        ),
        option_tokens=tuple(point.option_tokens[number] for number in order),
        accuracies=(*point.accuracies[:-1][::-1], point.pooled),
    )
    _, again = report.merge([first, run("b", [mixed])]).points
    assert again.questions == QUESTIONS
    np.testing.assert_array_equal(again.answers.scores, point.answers.scores)
    np.testing.assert_array_equal(again.answers.correct, point.answers.correct)
    assert again.accuracies == point.accuracies


def test_runs_over_different_questions_are_not_compared():
    other = run("b", curve({0.0: 3}, questions=questions_of(3)))
    with pytest.raises(InputError, match=r"runs/a and runs/b asked different"):
        report.merge([run("a", curve({0.0: 3})), other])
    with pytest.raises(InputError, match=r"\(8 and 12, 8 in common\); compare runs"):
        report.merge([run("a", curve({0.0: 3})), other])
    one, two, *rest = QUESTIONS
    twice = [
        run(name, curve({0.0: 3}, questions=(*asked, *rest)))
        for name, asked in (("a", (one, one, two)), ("b", (one, two, two)))
    ]
    with pytest.raises(InputError, match=r"\(9 and 9, 8 in common\)"):
        report.merge(twice)
    other_class = dataclasses.replace(one, word_class="V")
    filed = run("b", curve({0.0: 3}, questions=(other_class, two, *rest)))
    with pytest.raises(InputError, match=r"\(8 and 8, 7 in common\)"):
        report.merge([run("a", curve({0.0: 3})), filed])
    changed = [*QUESTIONS[:-1], dataclasses.replace(QUESTIONS[-1], query="B XXXXX .")]
    other = run("b", curve({0.0: 3}, questions=tuple(changed)))
    with pytest.raises(InputError, match=r"\(8 and 8, 7 in common\)"):
        report.merge([run("a", curve({0.0: 3})), other])


@pytest.fixture
def written(tmp_path):
    runs = [
        run("a", curve({0.0: 6, 0.5: 4, 0.9: 1}), curve({0.0: 5}, protocol="append")),
        run("b", curve({0.5: 5, 0.9: 3}, training=Training())),
    ]
    out = tmp_path / "out"
    merged = report.merge(runs)
    names = write(out, merged, "./run.sh report --runs=a,b", runs)
    assert {path.name for path in out.iterdir()} == set(names)
    return out, merged, runs


def test_every_file_of_a_report_is_there_and_says_the_same(written):
    out, merged, _ = written
    absent = {"text.csv"}  # no run has texts, and none another execution
    absent |= {
        f"{name}.{kind}"
        for name in ("text", "accuracy_seconds")
        for kind in ("png", "svg")
    }
    made = {path.name for path in out.iterdir()}
    assert made == set(report.MERGED_FILES) - absent
    with (out / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["word_class"] == "all"]
    assert [float(row["accuracy"]) for row in rows] == [
        point.pooled.accuracy for point in merged.points
    ]
    text = (out / "report.md").read_text()
    for name in "accuracy", "classes", "finetuned", "layers":
        assert f"]({name}.png)" in text
        picture = ElementTree.parse(out / f"{name}.svg").getroot()
        assert picture.tag.endswith("svg")
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    for command in "./run.sh report --runs=a,b", "./run.sh --out=a", "./run.sh --out=b":
        assert command in text or command in page
    assert "one-shot" in (out / "finetuned.svg").read_text()


def test_the_same_runs_make_the_same_bytes(written, tmp_path):
    out, merged, runs = written
    again = tmp_path / "again"
    write(again, merged, "./run.sh report --runs=a,b", runs)
    for path in out.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_is_not_there_is_not_drawn(tmp_path):
    runs = [run("a", curve({0.0: 6}))]
    names = write(tmp_path, report.merge(runs), "command", runs)
    assert set(names) == PICTURES | {"report.md", "report.html", "results.csv"}


def test_pictures_of_an_earlier_report_do_not_stay(written):
    out, *_ = written
    runs = [run("a", curve({0.0: 6}))]
    names = write(out, report.merge(runs), "command", runs)
    assert {path.name for path in out.iterdir()} == set(names)
    assert "finetuned.png" not in names


def test_files_that_no_report_of_ours_wrote_stay(tmp_path):
    own = {"text.csv": "mine", "layers.png": "also mine"}
    for name, content in own.items():
        (tmp_path / name).write_text(content)
    runs = [run("a", curve({0.0: 6}))]
    names = write(tmp_path, report.merge(runs), "command", runs)
    assert not set(own) & set(names)
    assert {name: (tmp_path / name).read_text() for name in own} == own


@pytest.mark.parametrize("name", ["run.json", "predictions.parquet", "journal.sqlite"])
def test_a_report_does_not_replace_a_run(tmp_path, name):
    (tmp_path / name).touch()
    runs = [run("a", curve({0.0: 6}))]
    with pytest.raises(InputError, match=f"holds a run's {name}"):
        write(tmp_path, report.merge(runs), "command", runs)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_two_reports_do_not_go_to_one_place_at_once(tmp_path):
    runs = [run("a", curve({0.0: 6}))]
    with locked(tmp_path), pytest.raises(InputError, match="another process"):
        write(tmp_path, report.merge(runs), "command", runs)


def test_a_report_that_cannot_be_written_leaves_the_old_one(written, monkeypatch):
    out, merged, runs = written
    before = {path: path.read_bytes() for path in out.iterdir()}

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots, "save", fail)
    with pytest.raises(OSError, match="No space"):
        write(out, merged, "another command", runs)
    assert {path: path.read_bytes() for path in out.iterdir()} == before
