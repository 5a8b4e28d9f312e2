"""Smaller models in a sweep: scored as they are, known by the journal, reported."""

import numpy as np
import pytest

from jaxsparse import execution, report, sparse
from jaxsparse.journal import Journal, opened
from jaxsparse.model import load_model
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import Recipe
from jaxsparse.smaller import layers
from jaxsparse.sweep import sweep
from jaxsparse.texts import Text
from jaxsparse.variants import save
from tests.one_shot.test_pruner import calibration_of
from tests.test_variants import QUERY, QUESTIONS

RECIPES = [
    Recipe("magnitude"),
    Recipe("magnitude", pattern="neurons"),
    Recipe("wanda", pattern="neurons"),
    Recipe("wanda", pattern="layers"),
    Recipe("magnitude", pattern="layers"),  # the same
]
TEXT = Text("a story", "The fox and the hen sat by the mill . " * 20)


def swept(model, **options):
    """The last two are one."""
    return list(
        sweep(
            model, QUESTIONS, RECIPES, (0.25, 0.5), [QUERY],
            calibration=calibration_of(model), texts=[TEXT], text_tokens=30, **options,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def points(loaded):
    return swept(loaded("gpt2"))


def test_points_are_those_of_the_models_that_are_exported(points, loaded, tmp_path):
    model = loaded("gpt2")
    assert len(points) == 4 * 3
    pruner = OneShot(model, calibration_of(model))
    for number, recipe in enumerate(RECIPES[1:4], start=1):
        dense, _, half = points[3 * number : 3 * number + 3]
        (variant,) = pruner.variants(recipe, [0.5])
        save(variant, tmp_path / str(number))
        alone = load_model(str(tmp_path / str(number)))
        (expected,) = sweep(
            alone, QUESTIONS, sparsities=(), presentations=[QUERY],
            texts=[TEXT], text_tokens=30,
        )  # fmt: skip
        np.testing.assert_allclose(
            half.answers.scores, expected.answers.scores, rtol=1e-5
        )
        assert not np.allclose(half.answers.scores, dense.answers.scores, rtol=1e-3)
        np.testing.assert_allclose(
            half.texts[0].nats, expected.texts[0].nats, rtol=1e-5
        )
        assert (half.parameters, half.bytes) == (variant.parameters, variant.bytes)
        assert half.parameters == expected.parameters < dense.parameters
        assert dense.parameters == points[2].parameters  # zeros are parameters
        assert half.total_sparsity == variant.total_sparsity
        assert half.digest == model.digest


def test_variants_of_one_shape_share_what_is_compiled(loaded, scorers):
    swept(loaded("gpt2"))
    # Dense shapes; a quarter and half of the neurons, by either method; and of layers.
    assert scorers[-1].compilations == 1 + 2 + 2


def test_a_journal_knows_them(loaded, points, tmp_path, monkeypatch):
    model = loaded("gpt2")
    with opened(tmp_path, {}) as journal:
        first = swept(model, journal=journal)
        recorded = journal.recorded
        assert recorded == len(QUESTIONS) * (1 + 2 + 2 + 2 + 2)
        assert journal.losses.recorded
    monkeypatch.setattr(layers.Walk, "influence", None)  # and the file of influences
    with opened(tmp_path, {}) as journal:
        again = swept(model, journal=journal)
        assert (journal.recorded, journal.losses.recorded) == (0, 0)
    for one, known, other in zip(first, again, points, strict=True):
        np.testing.assert_array_equal(one.answers.scores, known.answers.scores)
        np.testing.assert_allclose(one.answers.scores, other.answers.scores, rtol=1e-5)
        assert one.texts[0].nats == known.texts[0].nats


def test_the_pattern_and_the_rows_tell_the_journal_what_is_scored(loaded):
    model = loaded("gpt2")
    journal = Journal()
    one = list(sweep(model, QUESTIONS, RECIPES[0], [0.5], [QUERY], journal=journal))
    before = journal.recorded
    other = list(sweep(model, QUESTIONS, RECIPES[1], [0.5], [QUERY], journal=journal))
    assert journal.recorded == before + len(QUESTIONS)
    assert not np.array_equal(one[1].answers.scores, other[1].answers.scores)
    pruner = [OneShot(model, calibration_of(model, seed=seed)) for seed in (0, 1)]
    first, second = (each.variants(RECIPES[3], [0.5])[0].identity for each in pruner)
    assert first["calibration"] != second["calibration"]
    assert (first["method"], first["pattern"]) == ("influence", "layers")


def test_a_report_says_what_they_are_and_is_read_again(points, tmp_path):
    run = {
        "command": "./run.sh", "notes": [], "settings": {},
        "models": {"gpt2": {"digest": points[0].digest}},
    }  # fmt: skip
    report.write(tmp_path, report.statistics(points), run)
    read = report.read(tmp_path).points
    for point, again in zip(points, read, strict=True):
        assert again.curve == point.curve
        assert (again.parameters, again.bytes) == (point.parameters, point.bytes)
        assert again.matrices == point.matrices
    shown = (tmp_path / "report.md").read_text("utf-8")
    for label in "magnitude neurons", "wanda neurons", "influence (layers)":
        assert f"| gpt2 · cloze, {label} |" in shown
        assert f"| gpt2 · cloze, {label} |" in shown.partition("## Smaller models")[2]
    smaller, whole = points[5].parameters, points[0].parameters
    assert f" | 0.5 | {smaller:,} | 0.2 | {smaller / whole:.3f} | " in shown
    assert "Smaller models" in (tmp_path / "report.html").read_text("utf-8")


def test_errors_of_reconstruction_are_of_the_others_alone(points, loaded):
    model = loaded("gpt2")
    pruner = OneShot(model, calibration_of(model))
    variants = [v for recipe in RECIPES[:4] for v in pruner.variants(recipe, [0.5])]
    measured = pruner.measured(variants)
    assert [v.identity for v in measured] == [v.identity for v in variants]
    assert all(m.error is not None for m in measured[0].matrices)
    for variant in measured[1:]:
        assert variant.matrices
        assert all(m.error is None for m in variant.matrices)


def test_sparse_execution_leaves_smaller_shapes_dense(loaded):
    """There is nothing in them to leave out."""
    pruner = OneShot(loaded("gpt2"), calibration_of(loaded("gpt2")))
    for recipe in RECIPES[1:4]:
        (variant,) = pruner.variants(recipe, [0.5])
        (executed,) = execution.executed([variant], sparse.Execution("sparse"))
        assert (executed.execution, executed.identity) == ("sparse", variant.identity)
        for path in variant.shapes:
            np.testing.assert_array_equal(executed.leaf(path), variant.leaf(path))
