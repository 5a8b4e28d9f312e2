"""What the benchmark of pruned models multiplies is the same for all, and its table
adds up."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark import buys, feed_forward_torch
from jaxsparse.one_shot import prune
from tests.experiments import binary
from tests.oracle import torch


@pytest.mark.parametrize("sparsity", [0.5, 0.99])
def test_all_of_them_multiply_the_same(sparsity):
    threads = torch.get_num_threads()
    generator = np.random.default_rng(0)
    x = generator.standard_normal((70, 48), np.float32)
    matrices = [
        generator.standard_normal(size, np.float32) for size in ((48, 96), (96, 48))
    ]
    pruned = [
        np.where(generator.random(m.shape) < sparsity, np.float32(0), m)
        for m in matrices
    ]
    works = {
        **buys._products(jnp.asarray(x), pruned),
        **feed_forward_torch.works(x, pruned),
    }
    found = {who: np.asarray(work()) for who, work in works.items()}
    torch.set_num_threads(threads)
    assert list(found) == ["dense", "sparse", "torch dense", "torch sparse rows"]
    assert np.abs(found["dense"]).max() > 0.1
    for who, outputs in found.items():
        np.testing.assert_allclose(
            outputs, found["dense"], rtol=1e-5, atol=1e-4, err_msg=who
        )


@pytest.mark.parametrize(
    ("pattern", "execution", "file"),
    [
        ("unstructured", "sparse", "model.bitmask.safetensors"),
        ("neurons", "dense", "model.safetensors"),
    ],
)
def test_what_has_no_zeros_is_stored_and_loaded_dense(
    loaded, tmp_path, monkeypatch, pattern, execution, file
):
    """Weights kept take six bytes each in sparse execution, and a dense model four."""
    seen = []

    def run(command, **_):
        directory, asked, *_ = json.loads(command[-1])
        seen.append((asked, [path.name for path in Path(directory).glob("*.safe*")]))
        return SimpleNamespace(stdout="7\n")

    monkeypatch.setattr(subprocess, "run", run)
    settings = SimpleNamespace(data=None, num_examples=1, tokens=9, seed=0)
    variant = prune(loaded("gpt2"), "magnitude", 0.5, pattern=pattern)
    found = buys._alone(variant, tmp_path / "model", settings)
    assert seen == [(execution, [file])]
    assert found["memory"] == 7
    assert found["file"] > 0


def test_the_table_adds_up():
    seconds = {"dense": [2.0, 4.0, 3.0], "sparse": [1.0, 1.0, 2.4]}
    peers = {"torch dense": [2.0, 4.0, 6.0], "torch sparse rows": [8.0, 8.0, 8.0]}
    sizes = {"parameters": 1234, "file": 5e6, "memory": 7e8}
    result = {
        "questions": 6,
        "feed_forward": {"50%": {**seconds, **peers}},
        "models": {
            "dense": {"seconds": seconds["dense"], **sizes},
            "50%": {"seconds": seconds["sparse"], **sizes},
        },
        "sweeps": seconds,
    }
    lines = buys.table("s", result)
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines]
    assert rows[2] == ["sparse", "0.50"]
    assert rows[3] == ["torch", "dense", "1.00"]
    assert rows[4] == ["torch", "sparse", "rows", "2.67"]
    assert rows[7] == [
        *("50%", "0.50", "0.25–0.80", "6.00", "1,234", "5", "MB", "700", "MB")
    ]
    assert lines[-1].endswith("dense 3.0 s, sparse 1.0 s (0.50)")


@pytest.mark.slow
def test_a_shape(tmp_path):
    line = ("--sparse", "--model=gpt2-tiny", "--repeats=1", "--num_examples=4")
    line = (*line, "--sparsities=0.5,0.9")
    ended = binary.start("-m", "experiments.benchmark", *line, cwd=tmp_path)
    assert ended.status == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    names = [line[2:18].strip() for line in ended.stdout.splitlines()]
    for name in ("dense", "50%", "90%", "2:4", "neurons 25%", "layers 50%"):
        assert name in names
