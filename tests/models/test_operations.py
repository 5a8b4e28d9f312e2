"""Operations stated are operations made: by torch, by our own program, by hand."""

import jax
import numpy as np
import pytest

from jaxsparse.models.attention import branch_mask
from jaxsparse.models.operations import Operations
from jaxsparse.models.shapes import SHAPES, published
from tests import rows, tiny
from tests.oracle import FlopCounterMode

LENGTH = 20
VARIANTS = (
    "gpt2",
    "gpt2-inner",
    "electra-generator",
    "electra-generator-projected",
    "electra-discriminator-projected",
    "t5",
    "t5-gated-untied-scaled",
    *("llama-biased", "qwen3", "pythia", "pythia-sequential", "opt-norm-behind"),
    *("bert", "roberta"),
)


def stated(model, made):
    """Of rows in which every position is scored and, as programs have it, computed
    against every other: what a mask hides is multiplied all the same."""
    operations = model.blueprint.family.operations(model.config)
    tokens, every = made.tokens[0], np.arange(made.tokens.shape[1])
    row = {"tokens": tokens, "scored": every}
    if model.family == "t5":
        tokens, every = made.targets[0], np.arange(made.targets.shape[1])
        row = {"tokens": tokens, "scored": every, "encoder_tokens": made.tokens[0]}
    row["positions"] = np.full(len(every), len(every) - 1)
    return len(made.tokens) * operations.of_row(row)


def counted(jaxpr):
    """Operations of all matrix products, those in a scan as often as it runs."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = np.prod([shape[axis] for axis in contracted], dtype=int)
            total += 2 * inner * equation.outvars[0].aval.size
        times = equation.params.get("length", 1)
        for value in equation.params.values():
            inside = getattr(value, "jaxpr", value)
            if hasattr(inside, "eqns"):
                total += times * counted(inside)
    return total


@pytest.mark.parametrize("variant", VARIANTS)
def test_our_program_makes_them(variant, loaded):
    model = loaded(variant)
    made = rows.random_rows(model.config.vocab, LENGTH)
    inputs = rows.inputs(model.family, made)
    jaxpr = jax.make_jaxpr(model.apply)(model.params, inputs)
    assert counted(jaxpr.jaxpr) == stated(model, made)


@pytest.mark.parametrize("variant", VARIANTS)
def test_torchs_makes_them(variant, loaded):
    oracle, model = tiny.torch_model(variant), loaded(variant)
    oracle.set_attn_implementation("eager")
    made = rows.random_rows(model.config.vocab, LENGTH)
    with FlopCounterMode(display=False) as counter:
        rows.torch_output(oracle, made)
    assert counter.get_total_flops() == stated(model, made)


def test_a_row_with_branches_is_counted_as_its_mask_shows():
    branches = np.array([0, 0, 0, 1, 1, 2])
    row = {
        "tokens": np.arange(6),
        "positions": np.array([0, 1, 2, 3, 4, 3]),
        "branches": branches,
        "scored": np.array([2, 4]),
    }
    mask = np.asarray(branch_mask(branches[None]))[0]
    costs = Operations(token=0, pair=1, scored=0, scored_pair=1000)
    assert costs.of_row(row) == mask.sum() + 1000 * mask[[2, 4]].sum()


def test_a_masked_row_sees_all_of_itself():
    row = {"tokens": np.arange(5), "scored": np.array([3])}
    costs = Operations(token=1, pair=10**2, scored=10**5, scored_pair=10**6)
    assert costs.of_row(row) == 5 + 25 * 10**2 + 10**5 + 5 * 10**6


def test_a_decoder_row_counts_its_encoder():
    row = {
        "encoder_tokens": np.arange(7),
        "tokens": np.arange(3),
        "positions": np.arange(3),
        "scored": np.array([1, 2]),
    }
    costs = Operations(
        token=1, pair=10, scored=10**3, encoder_token=10**5, encoder_pair=10**7,
        cross_pair=10**10,
    )  # fmt: skip
    parts = 3, 6 * 10, 2 * 10**3, 7 * 10**5, 49 * 10**7, 21 * 10**10
    assert costs.of_row(row) == sum(parts)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_layers_worth_of_operations_is_twice_its_weights(shape):
    """A token through all layers and the head meets every kernel once, and a tied head
    the embedding."""
    family, config = published(shape)
    costs = family.operations(config)
    leaves = family.shapes(config)
    kernels = sum(
        np.prod(leaf, dtype=int) for path, leaf in leaves.items() if "kernel" in path
    )
    head = np.prod(leaves[family.head[1]], dtype=int) if config.tied else 0
    assert costs.token + costs.encoder_token + costs.scored == 2 * (kernels + head)
