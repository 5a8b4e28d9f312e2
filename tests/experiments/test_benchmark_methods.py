"""The benchmark's methods lose the same in torch as ours, and its table adds up."""

import re

import pytest

from experiments.benchmark import methods
from tests.experiments import binary
from tests.oracle import torch


@pytest.fixture(scope="module")
def matrix():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "ROWS", 8)
        return methods._matrix(96, 40, seed=0)


@pytest.mark.parametrize("method", methods._methods())
def test_torch_s_version_loses_what_ours_loses(matrix, method):
    threads = torch.get_num_threads()
    weights, known = matrix
    works = methods._works(method, weights, known, seed=0)
    seconds, errors = methods._measure(works, weights, known, repeats=1)
    torch.set_num_threads(threads)
    assert {who: len(each) for who, each in seconds.items()} == {"ours": 1, "torch": 1}
    assert 0 < errors["ours"] < 1
    close = 0.1 if method == "random" else 1e-3  # two generators
    assert errors["torch"] == pytest.approx(errors["ours"], rel=close)


def test_the_table_adds_up():
    rows = [
        {
            "size": (4, 8),
            "number": number,
            "seconds": {"ours": [1.0, 2.0, 3.0], "torch": [2.0, 4.0, 9.0]},
            "errors": {"ours": error, "torch": error},
        }
        for number, error in ((3, 0.2), (1, 0.6))
    ]
    _, _, line = methods.table("s", {"matrices": 4, "methods": {"wanda": rows}})
    assert line.split() == [
        *("wanda", "8.00", "s", "16.00", "s", "2.00", "2.00–3.00", "0.3000", "0.3000")
    ]


@pytest.mark.slow
def test_every_method_of_a_shape(tmp_path):
    line = ("--methods", "--model=gpt2-tiny", "--repeats=1")
    ended = binary.start("-m", "experiments.benchmark", *line, cwd=tmp_path)
    assert ended.status == 0, ended.stderr
    title, header, *lines, _ = ended.stdout.splitlines()
    assert title.startswith("gpt2-tiny: 8 matrices, sparsity 0.6")
    assert max(map(len, (header, *lines))) <= 100
    assert [re.split("  +", line)[0] for line in lines] == methods._methods()
