"""Forward hooks of torch: the oracle of what enters linear layers; rows for both."""

import dataclasses

import numpy as np

from jaxsparse.calibration import Calibration
from jaxsparse.running_text import Examples
from tests import rows
from tests.oracle import Conv1D, torch

DECODER_PADDING = 2  # positions at the end of T5's first decoder row


def made_rows(model, lengths=(13, 9, 13)):
    made = rows.random_rows(model.config.vocab, max(lengths), rows=len(lengths))
    return dataclasses.replace(made, lengths=tuple(lengths))


def inputs_of(model, made):
    inputs = rows.inputs(model.family, made)
    if model.family == "t5":
        branches = inputs.branches.at[0, -DECODER_PADDING:].set(-1)
        inputs = dataclasses.replace(inputs, branches=branches)
    values = {name: np.asarray(field) for name, field in vars(inputs).items()}
    return type(inputs)(**values)


def calibration_of(model, made):
    inputs = inputs_of(model, made)
    targets = np.random.default_rng(1).integers(
        1, model.config.vocab, (inputs.scored.shape)
    )
    attended = np.asarray(inputs.attended)
    valid = attended & np.random.default_rng(2).integers(0, 2, targets.shape).astype(
        bool
    )
    examples = Examples(inputs, targets.astype(np.int32), valid)
    return Calibration(examples, "made", max(made.lengths), False, 0, 0)


@torch.no_grad()
def hooked(oracle, model, made):
    """Name of each linear layer's weight -> its inputs at real tokens, (token, in)."""
    seen = {}
    inputs = inputs_of(model, made)
    real = torch.tensor(np.asarray(inputs.attended))
    encoder = torch.tensor(made.attention_mask)

    def hook(name):
        at_encoder = name.startswith("encoder.") or any(
            part in name for part in ("EncDecAttention.k", "EncDecAttention.v")
        )
        mask = encoder if at_encoder and model.family == "t5" else real

        def keep(_, args):
            inputs = args[0].reshape(*mask.shape, -1)  # of OPT without rows
            seen[f"{name}.weight"] = inputs[mask].double().numpy()

        return keep

    handles = [
        module.register_forward_pre_hook(hook(name))
        for name, module in oracle.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
    ]
    rows.torch_output(oracle, made)
    for handle in handles:
        handle.remove()
    return seen


def torch_name(model, path, layer):
    """The weight of a matrix as torch calls it."""
    (rule,) = [rule for rule in model.blueprint.plan.rules if rule.path == path]
    name = rule.names(model.params[path].shape)[layer or 0]
    return {"embed_out.weight": "lm_head.weight"}.get(name, name)  # GPT-NeoX's in files


def assert_as_seen(statistics, seen, what):
    tokens = len(seen)
    assert statistics.tokens == tokens, what
    compare = {
        "mean": seen.mean(axis=0),
        "squares": (seen**2).sum(axis=0),
        "gram": seen.T @ seen,
    }
    for need, expected in compare.items():
        got = getattr(statistics, need)
        if got is None:
            continue
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            np.asarray(got) / scale,
            expected / scale,
            rtol=0,
            atol=2e-5,
            err_msg=f"{what} {need}",
        )
