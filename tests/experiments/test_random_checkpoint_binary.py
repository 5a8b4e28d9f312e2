"""Random checkpoints load like any other."""

import numpy as np
import pytest

from experiments import random_weights
from jaxsparse import trees
from jaxsparse.model import load_model
from jaxsparse.types import InputError
from tests.experiments import binary


def write(saved, place, shape, **flags):
    family, *_ = shape.split("-")
    source = {"gpt2": "gpt2", "electra": "electra-discriminator", "t5": "t5"}[family]
    values = {"shape": shape, "tokenizer": saved(source), "export": "made"} | flags
    argv = [f"--{name}={value}" for name, value in values.items()]
    return binary.start("-m", "experiments", "random_checkpoint", *argv, cwd=place)


def test_a_random_checkpoint_loads_and_has_the_parameters_it_says(saved, tmp_path):
    ended = write(saved, tmp_path, "t5-tiny", seed=3)
    assert (ended.status, ended.stderr) == (0, "")
    model = load_model(str(tmp_path / "made"))
    size = trees.size(model.params)
    assert ended.stdout == f"made: t5-tiny, {size:,} random parameters, float32\n"
    for path, leaf in model.params.items():
        if path.endswith("scale"):
            assert np.all(leaf == 1)
        else:
            assert np.std(leaf) == pytest.approx(0.02, rel=0.1)


def test_bad_flags_are_one_line_each(saved, tmp_path):
    ended = write(saved, tmp_path, "t5-tiny", tokenizer="nowhere")
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr == "error: --tokenizer=nowhere: no such directory\n"
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_of_another_family_is_refused_and_nothing_written(saved, tmp_path):
    with pytest.raises(InputError, match=r"the tokenizer has no <pad>") as caught:
        random_weights.write("t5-small", saved("gpt2"), tmp_path / "made", 0)
    assert str(saved("gpt2")) in str(caught.value)
    assert not list(tmp_path.iterdir())
