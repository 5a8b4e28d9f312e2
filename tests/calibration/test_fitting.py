"""What is kept of a pruned block is fitted: zeros stay, the block's outputs come near
the dense ones, and nothing but block, rows and zeros decides it."""

import dataclasses
import fnmatch
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse import load_model
from jaxsparse.calibration import Walk, fitting
from jaxsparse.models.statistics import Parts
from jaxsparse.types import InputError
from tests import tiny
from tests.calibration import hooks
from tests.slices import slow

VARIANTS = (
    "gpt2",
    "electra-generator-projected",
    "electra-discriminator",
    "t5",
    "t5-gated",
)


def halved(model, stage):
    """A block's kernels with the half of smaller weights zero."""
    pruned = {}
    for path in stage.paths:
        weights = np.asarray(model.params[path])[stage.layer]
        small = np.abs(weights) < np.median(np.abs(weights))
        pruned[path] = np.where(small, 0, weights)
    return pruned


def walks(model, calibration):
    """Of rows through the pruned model, and through the dense one."""
    return [Walk(model, calibration, fits_blocks=True) for _ in range(2)]


def rows_of(model):
    return hooks.calibration_of(model, hooks.made_rows(model, (13, 9, 13, 5, 12)))


def outputs(walk, stage, leaves):
    """What leaves a block at real tokens."""
    stack = walk._stack(stage)
    walk._check_next(stage)  # brings the rows there
    found = []
    for inputs, leaving, hidden in zip(
        walk._batches, walk._leaving, walk._hidden, strict=True
    ):
        own = walk._own(stage, leaves)
        layer = jnp.int32(stage.layer)
        block = stack, walk._params, own, layer, inputs, leaving, hidden
        real = np.asarray(walk._parts.attended(f"{stack.path}/", inputs))
        found.append(np.asarray(walk._parts.block(*block)[0])[real])
    return np.concatenate(found)


@pytest.mark.parametrize("variant", slow(VARIANTS, ["t5", "electra-discriminator"]))
def test_each_block_comes_nearer_to_the_dense_one(variant, loaded):
    """Behind pruned blocks too, whose losses it makes up for."""
    model = loaded(variant)
    walk, dense = walks(model, rows_of(model))
    for stage in walk.stages:
        target = outputs(dense, stage, {})
        pruned = halved(model, stage)
        fitted = walk.fitted(stage, pruned, dense)
        assert fitted.keys() == pruned.keys() == {*stage.paths}
        before, after = (
            np.square(outputs(walk, stage, leaves) - target).sum()
            for leaves in (pruned, fitted)
        )
        assert after < 0.7 * before, (stage.name, before, after)
        for path, values in fitted.items():
            np.testing.assert_array_equal(values == 0, pruned[path] == 0)
            assert values.dtype == np.float32
        walk.advance(stage, fitted)
        dense.advance(stage)


def test_zeros_are_zeros_after_every_step(loaded, monkeypatch):
    model = loaded("t5-gated")
    walk, dense = walks(model, rows_of(model))
    stage, counted = walk.stages[0], []
    functions = fitting.fitting_of(walk._parts, None)

    def step(*args):
        state, loss = functions.step(*args)
        for path, kernel in state[0].items():
            zeros = np.asarray(kernel) == 0
            np.testing.assert_array_equal(zeros, pruned[path] == 0)
            counted.append(np.count_nonzero(zeros))
        return state, loss

    watched = dataclasses.replace(functions, step=step)
    monkeypatch.setattr(fitting, "fitting_of", lambda *of: watched)
    pruned = halved(model, stage)
    walk.fitted(stage, pruned, dense)
    assert len(counted) == fitting.STEPS * len(pruned)
    assert min(counted) > 0


def test_the_same_bits_again_however_the_device_takes_rows(loaded):
    model = loaded("electra-generator-projected")
    form = dataclasses.replace(model.form, batch_tokens=2 * 13)
    found = []
    for one in model, model, dataclasses.replace(model, form=form):
        walk, dense = walks(one, rows_of(one))
        stage = walk.stages[0]
        found.append(walk.fitted(stage, halved(one, stage), dense))
    for other in found[1:]:
        for path, values in found[0].items():
            np.testing.assert_array_equal(values, other[path])


def test_rows_are_passed_once_at_least(loaded, monkeypatch):
    """Batches of one row, more of them than steps."""
    model = loaded("gpt2")
    monkeypatch.setattr(fitting, "TOKENS", 1)
    monkeypatch.setattr(fitting, "STEPS", 2)
    walk = Walk(model, rows_of(model), fits_blocks=True)
    assert len(walk._batches) == 5
    rates, numbers = zip(*fitting._schedule(5), strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    assert max(rates) <= fitting.RATE
    assert min(rates) > 0
    assert [n for _, n in fitting._schedule(1)] == [0, 0]


def test_padding_counts_for_nothing(loaded):
    """Rows that differ at padding alone."""
    model = loaded("electra-generator-projected")
    rows = rows_of(model)
    inputs = rows.examples.inputs
    padding = ~np.asarray(inputs.attended)
    assert padding.any()
    other = dataclasses.replace(
        inputs, tokens=np.where(padding, inputs.tokens + 1, inputs.tokens)
    )
    changed = dataclasses.replace(
        rows, examples=dataclasses.replace(rows.examples, inputs=other)
    )
    found = []
    for given in rows, changed:
        walk, dense = walks(model, given)
        stage = walk.stages[0]
        found.append(walk.fitted(stage, halved(model, stage), dense))
    for path, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][path])


def test_a_bfloat16_block_is_fitted_in_float32(saved):
    model = load_model(str(saved("gpt2")), dtype="bfloat16")
    walk, dense = walks(model, rows_of(model))
    stage = walk.stages[0]
    pruned = halved(model, stage)
    fitted = walk.fitted(stage, pruned, dense)
    for path, values in fitted.items():
        assert values.dtype == np.float32
        assert (values != values.astype(jnp.bfloat16).astype(np.float32)).any()
        np.testing.assert_array_equal(values == 0, np.asarray(pruned[path]) == 0)


def test_outputs_that_are_not_finite_are_refused_by_block(loaded):
    model = loaded("gpt2")
    path = "h/mlp/c_proj/bias"
    broken = np.asarray(model.params[path]).copy()
    broken[1] = np.inf
    model = dataclasses.replace(model, params={**model.params, path: jnp.array(broken)})
    walk, dense = walks(model, rows_of(model))
    for one in walk, dense:
        one.advance(one.stages[0])
    stage = walk.stages[1]
    with pytest.raises(InputError, match=r"^h/1: its outputs .* are not finite"):
        walk.fitted(stage, halved(model, stage), dense)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_each_prunable_kernel_of_a_block_is_of_one_sublayer(variant, loaded):
    model = loaded(variant)
    for stack in model.blueprint.family.stacks(model.config):
        prefix = f"{stack.path}/"
        of_stack = [p for p in model.prunable("blocks") if p.startswith(prefix)]
        assert of_stack
        for path in of_stack:
            inner = path.removeprefix(prefix)
            patterns = [p for of in stack.sublayers for p in of.kernels]
            matching = [p for p in patterns if fnmatch.fnmatchcase(inner, p)]
            assert len(matching) == 1, path


@pytest.mark.parametrize("variant", slow(VARIANTS, ["t5", "electra-discriminator"]))
def test_behind_a_sublayer_stands_what_it_and_those_before_it_made(variant, loaded):
    """The outputs there depend on their kernels, and on no later one's."""
    model = loaded(variant)
    walk = Walk(model, rows_of(model))
    for stage in walk.stages:
        stack = walk._stack(stage)
        walk._check_next(stage)
        own = walk._own(stage, None)
        rest = (
            jnp.int32(stage.layer),
            walk._batches[0],
            walk._leaving[0],
            walk._hidden[0],
        )
        parts: Parts = walk._parts
        seen = set()
        for sublayer in stack.sublayers:

            def size(leaves, sublayer=sublayer, stack=stack, parts=parts, rest=rest):
                behind = parts.behind(sublayer, stack, walk._params, leaves, *rest)
                return jnp.sum(jnp.square(behind) * jnp.arange(behind.shape[-1]))

            gradients = jax.jit(jax.grad(size))(own)
            moving = {path for path in stage.paths if np.any(gradients[path])}
            of_it = {p for p in stage.paths if fitting._is_of(sublayer, stack, p)}
            assert of_it
            assert moving == seen | of_it
            seen |= of_it
        assert seen == {*stage.paths}
        last = functools.partial(parts.behind, stack.sublayers[-1])
        block = stack, walk._params, own, *rest
        np.testing.assert_array_equal(last(*block), parts.block(*block)[0])
        walk.advance(stage)
