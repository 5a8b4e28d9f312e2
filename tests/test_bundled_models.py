"""The models that ship with the package: small, whole, and better than guessing."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from jaxsparse import cbt, load_model
from jaxsparse.assets import MODELS
from jaxsparse.models.gpt2 import CausalInputs
from jaxsparse.sweep import sweep
from jaxsparse.weights.hub import BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
def test_a_model_takes_6_mb_at_most_with_its_tokenizer_in_float16(name):
    files = list((MODELS / name).iterdir())
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    with safe_open(MODELS / name / "model.safetensors", "np") as tensors:
        dtypes = {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
    assert dtypes == {"F16"}


def test_transformers_gives_tiny_gpt2_the_same_logits():
    ours = load_model("tiny-gpt2")
    theirs = AutoModelForCausalLM.from_pretrained(MODELS / "tiny-gpt2")
    assert theirs.dtype == torch.float32
    text = 'The fox looked at the goose. "Where is my lantern?" said the fox.'
    ids = np.array(ours.tokenizer(text)["input_ids"], np.int32)[None]
    places = np.arange(ids.shape[1], dtype=np.int32)[None]
    inputs = CausalInputs(ids, places, np.zeros_like(ids), places)
    with torch.no_grad():
        expected = theirs(torch.tensor(ids, dtype=torch.int64)).logits.numpy()
    np.testing.assert_allclose(ours.apply(ours.params, inputs), expected, atol=1e-4)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_model_knows_more_than_chance_until_it_is_cut_too_far(name):
    """Of 40 questions chance gets 4, and more than 10 once in 500 times."""
    reading = cbt.read("bundled", "validation", None)
    questions = cbt.select(reading.questions, 40)
    dense, _, last = sweep(load_model(name), questions, ["magnitude"], [0.5, 0.99])
    assert dense.scores.correct(questions).sum() > 10
    assert last.scores.correct(questions).sum() < dense.scores.correct(questions).sum()
