"""Where sparse execution becomes the faster: measured once, and kept."""

import json

import pytest

from jaxsparse import sparse
from jaxsparse.sparse import crossover, execution

pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """An empty cache; the shapes that are measured, which takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "jaxsparse" / "sparse").mkdir(parents=True)
    shapes = []

    def measure(inputs, outputs):
        shapes.append((inputs, outputs))
        return 0.25 * (outputs - 1)

    monkeypatch.setattr(crossover, "measure", measure)
    return shapes


def cached(tmp_path):
    (path,) = tmp_path.glob("jaxsparse/sparse/*")
    return path


def test_a_shape_is_measured_once(measured, tmp_path):
    for outputs, expected in [(1, 0.0), (2, 0.25), (1, 0.0), (2, 0.25)]:
        assert crossover.crossover(3, outputs) == expected
    assert measured == [(3, 1), (3, 2)]
    assert json.loads(cached(tmp_path).read_text()) == {"3x1": 0.0, "3x2": 0.25}


@pytest.mark.parametrize(
    "damaged",
    [
        b"", b"[1]", b"3", b'{"3x2": NaN}', b'{"3x2": "0.5"}', b'{"3x2": 7}',
        b'{"3x2": null}', b'{"3x2": 0.', b"\xff\xfe", b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_damaged_is_measured_anew(measured, tmp_path, damaged):
    crossover.crossover(3, 2)
    cached(tmp_path).write_bytes(damaged)
    assert crossover.crossover(3, 2) == 0.25
    assert measured == [(3, 2)] * 2
    assert json.loads(cached(tmp_path).read_text()) == {"3x2": 0.25}


def test_what_cannot_be_kept_is_measured_all_the_same(measured, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert crossover.crossover(3, 2) == crossover.crossover(3, 2) == 0.25
    assert len(measured) == 2


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([1, 2, 0.8], 0.25),  # dense, sparse at 0.5, at 0.2
        ([1, 0.5, 0.25], 1),  # it gains whatever is kept
        ([1, 10, 9], 0),
        ([1, 0.5, 0.6], 0.5),  # no line: noise
        ([1, 1.5, 1.6], 0),
    ],
)
def test_times_of_two_densities_tell_where_dense_is_met(monkeypatch, seconds, expected):
    def of_functions(*functions):
        for function in functions:
            assert function().shape == (64, 5)
        return seconds

    monkeypatch.setattr(crossover, "_seconds", of_functions)
    monkeypatch.setattr(crossover, "TOKENS", 64)
    assert crossover.measure(7, 5) == pytest.approx(expected)


def test_a_density_comes_out_of_real_times(monkeypatch):
    monkeypatch.setattr(crossover, "TOKENS", 64)
    assert 0 <= crossover.measure(40, 50) <= 1


def test_auto_says_what_it_found_once(monkeypatch):
    found = {(3, 2): 0.4, (9, 9): 0.0}
    monkeypatch.setattr(execution, "crossover", lambda *shape: found[shape])
    auto = sparse.Execution("auto")
    assert auto.is_sparse((3, 2), 0.39)
    assert not auto.is_sparse((7, 3, 2), 0.4)
    assert not auto.is_sparse((9, 9), 0.0)
    assert auto.notes == [
        "sparse execution of 3 → 2 gains above 60% sparsity here",
        "sparse execution of 9 → 9 gains nowhere here",
    ]
    assert sparse.Execution("sparse").is_sparse((9, 9), 1.0)
    assert not sparse.Execution().is_sparse((9, 9), 0.0)
