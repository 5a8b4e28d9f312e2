"""Statistics of the dense model, in memory and in files that are found again."""

import importlib
import json

import numpy as np
import pytest

from jaxsparse.calibration import Walk, dense_statistics
from jaxsparse.pruning.statistics import NEEDS
from tests.calibration import hooks

dense = importlib.import_module("jaxsparse.calibration.dense")


@pytest.fixture
def given(loaded):
    model = loaded("gpt2")
    return model, hooks.calibration_of(model, hooks.made_rows(model)), "blocks"


@pytest.fixture
def computed(monkeypatch):
    """The needs that were not found, call by call."""
    asked, compute = [], dense._computed

    def computing(model, calibration, prunable, needs, progress):
        asked.append(tuple(needs))
        return compute(model, calibration, prunable, needs, progress)

    monkeypatch.setattr(dense, "_computed", computing)
    return asked


def matrices(model):
    return [
        (path, layer)
        for path in model.prunable("blocks")
        for layer in range(model.params[path].shape[0])
    ]


def assert_equal(found, expected, model, needs=NEEDS):
    for path, layer in matrices(model):
        one, other = found.of(path, layer), expected.of(path, layer)
        for need in needs:
            np.testing.assert_array_equal(getattr(one, need), getattr(other, need))
        assert one.tokens == other.tokens > 0


def test_in_memory_and_in_files_they_are_those_of_a_walk(given, tmp_path):
    model = given[0]
    memory = dense_statistics(*given, NEEDS)
    files = dense_statistics(*given, NEEDS, tmp_path)
    assert_equal(files, memory, model)
    walk = Walk(*given)
    for stage in walk.stages:
        for path, statistics in walk.statistics(stage, ("gram",)).items():
            of_files = files.of(path, stage.layer)
            assert isinstance(of_files.gram, np.memmap)
            for need in "mean", "squares", "gram":
                np.testing.assert_allclose(
                    getattr(of_files, need), getattr(statistics, need), rtol=1e-6
                )
        walk.advance(stage)
    assert of_files.gradient.shape == of_files.fisher.shape
    assert (of_files.fisher >= of_files.gradient**2 * (1 - 1e-4)).all()  # Jensen


def test_a_second_method_finds_what_the_first_has_gathered(given, tmp_path, computed):
    first = dense_statistics(*given, ("squares", "gram"), tmp_path)
    second = dense_statistics(*given, ("mean", "gram"), tmp_path)
    third = dense_statistics(*given, ("gram",), tmp_path)
    assert computed == [("squares", "gram"), ("mean",), ()]
    assert_equal(second, first, given[0], ("gram",))
    assert_equal(third, first, given[0], ("gram",))


def test_other_rows_or_another_model_find_nothing(given, tmp_path, computed, loaded):
    model, calibration, prunable = given
    dense_statistics(*given, ("squares",), tmp_path)
    other = hooks.calibration_of(model, hooks.made_rows(model, (13, 9, 12)))
    dense_statistics(model, other, prunable, ("squares",), tmp_path)
    dense_statistics(loaded("gpt2-relu"), calibration, prunable, ("squares",), tmp_path)
    assert computed == [("squares",)] * 3


def truncate(home):
    file = sorted(home.glob("*.npy"))[0]
    file.write_bytes(file.read_bytes()[:-4])


def flip(home):
    file = sorted(home.glob("*.npy"))[-1]
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def lose(home):
    sorted(home.glob("*.npy"))[0].unlink()


def half_an_index(home):
    index = home / "index.json"
    index.write_text(index.read_text()[:50])


def another_index(home):
    (home / "index.json").write_text(json.dumps({"checksums": []}))


@pytest.mark.parametrize("damage", [truncate, flip, lose, half_an_index, another_index])
def test_what_is_damaged_is_made_anew(damage, given, tmp_path, computed):
    whole = dense_statistics(*given, ("squares",))
    dense_statistics(*given, ("squares",), tmp_path)
    (home,) = tmp_path.iterdir()
    damage(home)
    again = dense_statistics(*given, ("squares",), tmp_path)
    assert computed == [("squares",)] * 3
    assert_equal(again, whole, given[0], ("squares",))
    dense_statistics(*given, ("squares",), tmp_path)
    assert computed[3:] == [()]


def test_what_fails_half_way_leaves_nothing(given, tmp_path, monkeypatch):
    class Full(OSError):
        pass

    def full(writer, found):
        raise Full

    monkeypatch.setattr(dense._Writer, "add", full)
    with pytest.raises(Full):
        dense_statistics(*given, ("squares",), tmp_path / "out")
    assert not list(tmp_path.iterdir())
