"""Outputs and gradients equal those of torch transformers, for every variant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxsparse.models import layers
from jaxsparse.models.inputs import CausalInputs, Seq2SeqInputs
from jaxsparse.models.relative_bias import bucket_table
from jaxsparse.weights import rules
from tests import rows, tiny
from tests.oracle import ACT2FN, T5Attention, torch
from tests.slices import slow

FAMILIES = {
    "gpt2": "gpt2-untied",
    "generator": "electra-generator-projected",
    "discriminator": "electra-discriminator-projected",
    "t5": "t5-gated-untied-scaled",
}
LATER = (  # each family, and both of Llama's kinds of heads
    *("llama-biased", "qwen3", "pythia", "opt-norm-behind", "bert-untied", "roberta"),
)
# Of T5's three choices every two meet in what is left.
SLOW_OUTPUTS = ("t5-gated", "t5-unscaled-tied", "t5-untied-scaled", "t5-gated-untied")
SLOW_GRADIENTS = ("electra-generator-projected",)
BRANCHED = ("gpt2-untied", "t5-untied")  # no gradient through the head
LATER_BRANCHED = ("llama", "pythia", "opt")


def output(model, made):
    return np.asarray(jax.jit(model.apply)(model.params, made))


def plain(model, length, **options):
    return rows.random_rows(model.config.vocab, length, **options)


@torch.no_grad()
@pytest.mark.parametrize("variant", slow(tiny.EVERY, SLOW_OUTPUTS))
def test_outputs_equal_torchs(variant, loaded):
    model = loaded(variant)
    made = plain(model, 150 if model.family == "t5" else 70)  # T5: the last buckets too
    expected = rows.torch_output(tiny.torch_model(variant), made).numpy()
    got = output(model, rows.inputs(model.family, made))
    assert got.dtype == np.float32
    assert np.std(expected) > 0.5  # of logits far from uniform
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", slow((*FAMILIES.values(), *LATER), SLOW_GRADIENTS))
def test_gradients_equal_torchs(variant, loaded):
    model, oracle = loaded(variant), tiny.torch_model(variant)
    made = plain(model, 12)
    softplus = torch.nn.functional.softplus(rows.torch_output(oracle, made))
    weights = np.random.default_rng(0).normal(size=softplus.shape).astype(np.float32)
    (torch.tensor(weights) * softplus).mean().backward()

    def loss(params):
        logits = model.apply(params, rows.inputs(model.family, made))
        return jnp.mean(weights * jax.nn.softplus(logits))

    leaves = jax.jit(jax.grad(loss))(model.params)
    leaves = {path: np.asarray(leaf) for path, leaf in leaves.items()}
    got = rules.to_hf(model.blueprint.plan.rules, leaves)
    current = model.blueprint.family.table.current_name
    theirs = {
        current(name): torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in oracle.named_parameters()
    }
    assert got.keys() == theirs.keys()
    largest = max(gradient.abs().max().item() for gradient in theirs.values())
    for name, gradient in theirs.items():
        expected = gradient.numpy()
        # Which moves all scores of a query alike.
        if name.endswith(("key.bias", "k_proj.bias")) and model.family != "llama":
            for noise in got[name](), expected:
                assert np.abs(noise).max() <= 1e-6 * largest, name
            continue
        scale = max(np.abs(expected).max(), 1e-2 * largest)
        np.testing.assert_allclose(
            got[name]() / scale, expected / scale, rtol=0, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("variant", [*FAMILIES.values(), *LATER])
def test_padding_never_changes_an_output(variant, loaded):
    """Bit for bit when it is other padding, to rounding when there is none."""
    model, short = loaded(variant), plain(loaded(variant), 21)
    got = []
    for seed in range(2):
        padded = plain(model, 32, seed=seed + 1)
        padded.tokens[:, :21], padded.targets[:, :18] = short.tokens, short.targets
        padded = rows.Rows(padded.tokens, padded.targets, (21, 0))
        got.append(output(model, rows.inputs(model.family, padded)))
    kept = 18 if model.family == "t5" else 21
    np.testing.assert_array_equal(got[0][0, :kept], got[1][0, :kept])
    alone = output(model, rows.inputs(model.family, short))
    np.testing.assert_allclose(got[0][0, :kept], alone[0], rtol=0, atol=1e-5)
    assert np.isfinite(got).all()  # a row that is all padding too


@pytest.mark.parametrize("variant", [*FAMILIES.values(), *LATER])
def test_only_scored_positions_are_computed_and_in_their_order(variant, loaded):
    model = loaded(variant)
    whole = rows.inputs(model.family, plain(model, 21))
    scored = jnp.array([[4, 0, 4], [5, 2, 1]])
    every = output(model, whole)
    some = output(model, type(whole)(**(vars(whole) | {"scored": scored})))
    expected = np.stack([every[i, scored[i]] for i in range(2)])
    np.testing.assert_allclose(some, expected, rtol=0, atol=1e-5)


def branched(model, prefix, branches, width=40, tokens=()):
    """One row of a prefix, its branches and padding.

    Returns its inputs, and for each branch where it stands in the row.
    """
    layout = [(0, i) for i in range(prefix)]
    spans = []
    for number, size in enumerate(branches, start=1):
        spans.append(range(len(layout), len(layout) + size))
        layout += [(number, prefix + i) for i in range(size)]
    layout += [(-1, 0)] * (width - len(layout))
    ids, positions = np.array(layout, np.int32).T[:, None]
    order = np.arange(width, dtype=np.int32)[None]
    row = order + 1  # every token another
    row[0, : len(tokens)] = tokens
    if model.config.reading == "causal":
        return CausalInputs(row, positions, ids, order), spans
    text = np.arange(width + 1, width + 31, dtype=np.int32)[None]
    everywhere = np.ones_like(text, bool)
    return Seq2SeqInputs(text, everywhere, row, positions, ids, order), spans


@pytest.fixture(scope="module")
def branch_models(loaded):
    """The models that read branches, their `apply` compiled once for all layouts."""
    names = (*BRANCHED, *LATER_BRANCHED)
    return [(loaded(name), jax.jit(loaded(name).apply)) for name in names]


@given(prefix=st.integers(0, 15), branches=st.lists(st.integers(1, 8), max_size=3))
@example(prefix=0, branches=[3, 3])
@example(prefix=15, branches=[8, 1, 8])
@settings(max_examples=8)
def test_a_branch_reads_as_the_full_row_it_stands_for(branch_models, prefix, branches):
    for model, apply in branch_models:
        packed, spans = branched(model, prefix, branches)
        got = np.asarray(apply(model.params, packed))[0]
        for span in [range(0), *spans]:
            there = [*range(prefix), *span]
            tokens = packed.tokens[0, there]
            full, _ = branched(model, len(there), [], tokens=tokens)
            alone = np.asarray(apply(model.params, full))[0, : len(there)]
            np.testing.assert_allclose(got[there], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", BRANCHED)
def test_a_position_depends_on_what_precedes_it_in_its_branch_and_nothing_else(
    variant, loaded
):
    """By the gradient of its logits in the embedding of every other token."""
    model = loaded(variant)
    made, _ = branched(model, 5, [3, 4], width=14)
    path = {"gpt2": "wte/embedding", "t5": "shared/embedding"}[model.family]

    def summed(embedding):
        params = {**model.params, path: embedding}
        return jnp.abs(model.apply(params, made)[0]).sum(-1)

    gradients = jax.jit(jax.jacrev(summed))(model.params[path])
    depends = np.abs(gradients).sum(-1)[:12, made.tokens[0]] > 0
    branch = made.branches[0]
    expected = [
        [k <= q and branch[k] in (0, branch[q]) for k in range(14)] for q in range(12)
    ]
    np.testing.assert_array_equal(depends, expected)


def test_electra_depends_on_both_sides_and_never_on_padding(loaded):
    model = loaded(FAMILIES["discriminator"])
    tokens = np.arange(1, 13, dtype=np.int32)[None]
    made = rows.inputs("electra", rows.Rows(tokens, tokens, (9,)))

    def outputs(word):
        return model.apply({**model.params, path: word}, made)[0]

    path = "embeddings/word/embedding"
    word = model.params[path]
    gradients = jax.jit(jax.jacrev(outputs))(word)
    depends = np.abs(gradients).sum(-1)[:9, tokens[0]] > 0
    np.testing.assert_array_equal(depends, np.tile(np.arange(12) < 9, (9, 1)))


def assert_buckets_are_torchs(buckets, max_distance):
    """In both directions, and beyond the largest distance."""
    distance = torch.arange(2 * max_distance)
    within = np.minimum(distance.numpy(), max_distance)
    for both in False, True:
        theirs = T5Attention._relative_position_bucket(
            -distance, both, buckets, max_distance
        )
        one_way = buckets // 2 if both else buckets
        table = bucket_table(one_way, max_distance)[within]
        apart = np.flatnonzero(table != theirs.numpy())
        np.testing.assert_allclose(table, theirs.numpy(), rtol=0, atol=1)
        # Torch's logarithms differ between CPUs by a unit in the last place.
        exact = one_way // 2
        place = np.log(within[apart] / exact) / np.log(max_distance / exact)
        place *= one_way - exact
        np.testing.assert_allclose(place, np.round(place), rtol=0, atol=2e-5)


@pytest.mark.parametrize("buckets", range(4, 129))
def test_buckets_are_torchs(buckets):
    """Also 32 of 128 distances, which published models have."""
    for max_distance in {*range(buckets // 2 + 1, 513, 41), 128}:
        if max_distance > buckets // 2:
            assert_buckets_are_torchs(buckets, max_distance)


@pytest.mark.parametrize(
    "configuration",
    [
        *((51, 81), (100, 162), (17, 27), (17, 343), (19, 49), (36, 98), (48, 81)),
        *((51, 49), (51, 676), (54, 343), (55, 147), (65, 108), (72, 196), (91, 245)),
        *((96, 162), (99, 121), (100, 98), (108, 294), (113, 189), (117, 408)),
        *((127, 343), (128, 169)),
    ],
    ids=str,
)
def test_buckets_are_torchs_where_rounding_decides(configuration):
    """Or the neighbours of torch's, at the edge of a range: its CPUs do not agree."""
    assert_buckets_are_torchs(*configuration)


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_an_activation_is_what_transformers_calls_so(name):
    x = np.linspace(-6, 6, 200, dtype=np.float32)
    got = layers.ACTIVATIONS[name](jnp.asarray(x))
    np.testing.assert_allclose(got, ACT2FN[name](torch.tensor(x)), rtol=0, atol=1e-6)
