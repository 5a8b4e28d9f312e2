"""The models that ship with the package: small, whole, and better than guessing."""

import jax
import numpy as np
import pytest
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
)

from jaxsparse import cbt, load_model
from jaxsparse.assets import MODELS
from jaxsparse.sweep import sweep
from jaxsparse.weights.hub import BUNDLED
from tests import rows
from tests.oracle import torch

ORACLES = {
    "tiny-gpt2": AutoModelForCausalLM,
    "tiny-electra": AutoModelForMaskedLM,
    "tiny-t5": AutoModelForSeq2SeqLM,
}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_model_takes_6_mb_at_most_with_its_tokenizer_in_float16(name):
    files = list((MODELS / name).iterdir())
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    with safe_open(MODELS / name / "model.safetensors", "np") as tensors:
        dtypes = {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
    assert dtypes == {"F16"}


@pytest.mark.parametrize("name", BUNDLED)
def test_transformers_computes_the_same_logits(name):
    ours = load_model(name)
    oracle = ORACLES[name].from_pretrained(MODELS / name)
    assert oracle.dtype == torch.float32
    made = rows.random_rows(ours.config.vocab, 40)
    with torch.no_grad():
        expected = rows.torch_output(oracle.eval(), made).numpy()
    got = jax.jit(ours.apply)(ours.params, rows.inputs(ours.family, made))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    assert np.std(expected) > 1


@pytest.mark.parametrize("name", BUNDLED)
def test_a_model_knows_more_than_chance_until_it_is_cut_too_far(name):
    """Of 40 questions chance gets 4, and more than 10 once in 500 times."""
    reading = cbt.read("bundled", "validation", None)
    questions = cbt.select(reading.questions, 40)
    dense, _, last = sweep(load_model(name), questions, ["magnitude"], [0.5, 0.99])
    assert dense.pooled.correct > 10
    assert last.pooled.correct < dense.pooled.correct
