"""Gradients of calibration rows, and their squares, against torch's autograd."""

import importlib

import jax
import numpy as np
import pytest

from jaxsparse import calibration as rooms
from jaxsparse import load_model
from jaxsparse.types import InputError
from jaxsparse.weights import rules
from tests import rows, tiny
from tests.calibration import hooks
from tests.oracle import torch

module = importlib.import_module("jaxsparse.calibration.gradients")


def torch_gradients(oracle, model, calibration, made):
    """Name of a weight -> the mean over rows of a row's gradient, and of its square."""
    examples = calibration.examples
    targets = torch.tensor(examples.targets, dtype=torch.long)
    valid = torch.tensor(examples.valid)
    names = dict(oracle.named_parameters())
    means = {name: [0.0, 0.0] for name in names}
    for row in range(len(targets)):
        oracle.zero_grad()
        logits = rows.torch_output(oracle, made)[row][valid[row]]
        torch.nn.functional.cross_entropy(logits, targets[row][valid[row]]).backward()
        for name, parameter in names.items():
            if parameter.grad is not None:
                means[name][0] += parameter.grad.numpy() / len(targets)
                means[name][1] += parameter.grad.numpy() ** 2 / len(targets)
    return means


@pytest.mark.parametrize(
    ("variant", "prunable"),
    [
        ("gpt2-untied", "all"),
        ("electra-generator-untied", "linear"),
        ("t5-gated-untied", "blocks"),
    ],
)
def test_gradients_and_squares_are_torchs(variant, prunable, loaded):
    model, oracle = loaded(variant), tiny.torch_model(variant)
    made = hooks.made_rows(model)
    calibration = hooks.calibration_of(model, made)
    expected = torch_gradients(oracle, model, calibration, made)
    found = rooms.gradients(model, calibration, prunable, ("gradient", "fisher"))
    paths = set(model.prunable(prunable))
    plan = [rule for rule in model.blueprint.plan.rules if rule.path in paths]
    for number, need in enumerate(("gradient", "fisher")):
        assert found[need].keys() == paths
        for name, values in rules.to_hf(plan, found[need]).items():
            theirs = expected[name][number]
            scale = np.abs(theirs).max()
            assert scale > 0
            np.testing.assert_allclose(
                values() / scale, theirs / scale, rtol=0, atol=1e-5, err_msg=name
            )


def test_without_squares_rows_go_together_to_the_same_gradient(loaded):
    model = loaded("gpt2")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    alone = rooms.gradients(model, calibration, "blocks", ("gradient", "fisher"))
    together = rooms.gradients(model, calibration, "blocks", ("gradient",))
    assert together.keys() == {"gradient"}
    for path, leaf in together["gradient"].items():
        scale = np.abs(leaf).max()
        expected = alone["gradient"][path] / scale
        np.testing.assert_allclose(leaf / scale, expected, rtol=0, atol=1e-5)


def test_in_bfloat16_each_row_is_widened_by_itself(saved, monkeypatch):
    model = load_model(str(saved("gpt2")), dtype="bfloat16")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    found = []
    for tokens in (1, 10_000):  # rows that may go together: one, and all
        monkeypatch.setattr(module, "TOKENS", tokens)
        found.append(rooms.gradients(model, calibration, "blocks", ("gradient",)))
    for path, leaf in found[0]["gradient"].items():
        np.testing.assert_array_equal(leaf, found[1]["gradient"][path], path)


def test_a_gradient_that_is_not_finite_is_told_by_matrix_and_layer(loaded, monkeypatch):
    def spoil(apply, by_row, sums, *others):
        return jax.tree.map(lambda total: total.at[1:, 2, 3].set(np.inf), sums)

    monkeypatch.setattr(module, "_add", spoil)
    model = loaded("gpt2")
    calibration = hooks.calibration_of(model, hooks.made_rows(model))
    match = r"^h/attn/\w+/kernel, layer 1: the gradient of the loss .* is not finite"
    with pytest.raises(InputError, match=match):
        rooms.gradients(model, calibration, "blocks", ("gradient",))


def test_a_discriminator_has_none(loaded):
    model = loaded("electra-discriminator")
    text = "Once upon a time a fox said to the king that he would sing. " * 20
    calibration = rooms.calibrate(model, [text], rows=2, tokens=8)
    with pytest.raises(InputError, match="predicts no token of a text"):
        rooms.gradients(model, calibration, "blocks", ("gradient",))
