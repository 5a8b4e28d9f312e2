"""What a pruned model takes that is loaded to be executed sparsely."""

import json

import pytest

from experiments import random_weights
from jaxsparse import load_model, prune, save
from tests.experiments import binary


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("sparsity", [0.5, 0.8])
def test_loading_and_scoring_peaks_below_dense(saved, tmp_path, sparsity):
    """In processes of their own; the dense model's file is read as it comes."""
    random_weights.write("gpt2-small", saved("gpt2"), tmp_path / "dense", 0)
    pruned = prune(load_model(str(tmp_path / "dense")), "magnitude", sparsity)
    save(pruned, tmp_path / "sparse", format="bitmask")
    peaks = {}
    for execution in "dense", "sparse":
        asked = [str(tmp_path / execution), execution, None, 1, 500, 0]
        ended = binary.start(
            "-m", "experiments.benchmark.loaded", json.dumps(asked), cwd=tmp_path
        )
        assert ended.status == 0, ended.stderr
        peaks[execution] = int(ended.stdout.split()[-1])
    assert peaks["sparse"] < peaks["dense"]
