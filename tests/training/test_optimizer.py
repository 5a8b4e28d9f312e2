"""The optimizer by what it does to a tiny tree."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.training.optimizer import Schedule, adamw
from tests.training.regression import SCHEDULE, params


def updates(schedule, *gradients):
    """What the optimizer adds to `params()`, for one gradient after the other."""
    transform = adamw(schedule)
    update = jax.jit(transform.update)
    state, made = transform.init(params()), []
    for gradient in gradients:
        added, state = update(gradient, state, params())
        made.append(added)
    return made


def test_kernels_and_embeddings_decay_scales_and_biases_do_not():
    none = jax.tree.map(jnp.zeros_like, params())
    *_, last = updates(SCHEDULE, none, none, none)
    leaves = params()
    for path in "wte/embedding", "h/kernel":
        expected = -SCHEDULE.learning_rate * SCHEDULE.weight_decay * leaves[path]
        np.testing.assert_allclose(last[path], expected, rtol=1e-6)
    for path in "ln/scale", "ln/bias", "h/bias":
        assert not last[path].any()


def test_relative_steps_are_a_fraction_of_each_leafs_root_mean_square():
    """And of 1e-3 where a leaf is smaller; weight decay does not depend on it."""
    plain, relative = (
        Schedule(1, 0, 0.5, weight_decay=decay, relative=is_relative, clip=1e9)
        for decay, is_relative in ((0.0, False), (0.0, True))
    )
    small = np.array([[0.3, -0.4], [0.0, 0.0]], np.float32)
    leaves = {"a/kernel": small, "b/kernel": 100 * small, "b/bias": 0 * small}
    gradients = jax.tree.map(lambda leaf: np.ones_like(leaf), leaves)
    steps = []
    for schedule in plain, relative:
        transform = adamw(schedule)
        steps.append(transform.update(gradients, transform.init(leaves), leaves)[0])
    scales = {"a/kernel": 0.25, "b/kernel": 25, "b/bias": 1e-3}
    for path, scale in scales.items():
        absolute, scaled = (step[path] for step in steps)
        np.testing.assert_allclose(scaled, scale * absolute, rtol=1e-5)
    decays = dataclasses.replace(relative, weight_decay=0.1)
    transform = adamw(decays)
    decayed = transform.update(gradients, transform.init(leaves), leaves)[0]
    difference = decayed["b/kernel"] - steps[1]["b/kernel"]
    np.testing.assert_allclose(difference, -0.5 * 0.1 * 100 * small, atol=1e-5)


def test_the_learning_rate_warms_up_and_falls_to_its_final_fraction():
    """Read off weight decay, which is proportional to it."""
    schedule = Schedule(steps=20, warmup=5, learning_rate=0.3, final=0.1)
    none = jax.tree.map(jnp.zeros_like, params())
    start = params()["h/kernel"] * schedule.weight_decay
    made = updates(schedule, *[none] * 22)
    rates = [-float((one["h/kernel"] / start).mean()) for one in made]
    np.testing.assert_allclose(rates[:6], [0, 0.06, 0.12, 0.18, 0.24, 0.3], atol=1e-6)
    assert (np.diff(rates[5:21]) < 0).all()
    assert rates[12] + rates[13] == pytest.approx(0.3 + 0.03, abs=1e-6)  # a half cosine
    assert rates[20:] == pytest.approx([0.03, 0.03], abs=1e-6)


def test_a_gradient_counts_with_a_norm_of_one_at_most():
    rng = np.random.default_rng(1)
    gradient = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), params()
    )
    norm = np.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    one = jax.tree.map(lambda leaf: leaf / norm, gradient)
    huge, small = (jax.tree.map(lambda leaf, x=x: x * leaf, one) for x in (1e5, 0.1))
    got, expected = updates(SCHEDULE, huge, small), updates(SCHEDULE, one, small)
    for path, leaf in expected[1].items():
        np.testing.assert_allclose(got[1][path], leaf, rtol=1e-4)
    unclipped = updates(SCHEDULE, small, small)
    assert np.abs(got[1]["h/kernel"] - unclipped[1]["h/kernel"]).max() > 1e-3
