"""The mask is what an update ends on; and how fast sparsity grows."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.finetuning.holding import GROWING, at_rate, cubic, decisions, keep_zeros
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.step import _update, transform_of


def grows_everything(size=1e30):
    """The worst that can stand before the mask."""

    def update(updates, state, params=None, **_):
        return jax.tree.map(lambda leaf: leaf + size, updates), state

    return optax.GradientTransformationExtraArgs(
        lambda params: optax.EmptyState(), update
    )


TRANSFORMS = {
    "adamw": optax.adamw(0.1, weight_decay=10.0),
    "momentum": optax.sgd(0.1, momentum=0.99, nesterov=True),
    "hostile": grows_everything(),
}


def leaves():
    rng = np.random.default_rng(0)
    drawn = {
        "h/kernel": rng.normal(size=(2, 3, 5)),
        "wte/embedding": rng.normal(size=(7, 3)),
        "h/bias": rng.normal(size=5),
    }
    return {path: jnp.asarray(leaf, jnp.float32) for path, leaf in drawn.items()}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_whatever_stands_before_it_the_mask_is_last(name):
    """Zeros that are there stay, and what a new mask takes away goes at once; never a
    zero with a sign."""
    transform = optax.chain(TRANSFORMS[name], keep_zeros())
    params = leaves()
    masks = {p: jnp.abs(params[p]) > 0.5 for p in ("h/kernel", "wte/embedding")}
    state = transform.init(params)
    for _ in range(4):
        updates, state = transform.update(leaves(), state, params, masks=masks)
        params = optax.apply_updates(params, updates)
        for path, mask in masks.items():
            away = np.asarray(params[path])[~np.asarray(mask)]
            assert len(away)
            assert away.tobytes() == np.zeros_like(away).tobytes()
            assert np.all(np.asarray(params[path])[np.asarray(mask)] != 0)
        assert not np.array_equal(params["h/bias"], leaves()["h/bias"])


def test_a_mask_of_what_is_not_trained_is_no_update():
    params = {"h/bias": leaves()["h/bias"]}
    masks = {"h/kernel": jnp.zeros((2, 3, 5), bool)}
    updates, _ = keep_zeros().update(params, optax.EmptyState(), params, masks=masks)
    assert updates.keys() == params.keys()
    np.testing.assert_array_equal(updates["h/bias"], params["h/bias"])


def test_the_rate_is_told_at_every_step():
    updates, _ = at_rate().update(leaves(), optax.EmptyState(), rate=0.25)
    for path, leaf in leaves().items():
        np.testing.assert_array_equal(updates[path], -0.25 * leaf)


def zhu_gupta(t, final, begin, span, initial=0.0):
    """Equation 1: s_t = s_f + (s_i - s_f)(1 - (t - t_0) / (n Δt))^3."""
    return final + (initial - final) * (1 - (t - begin) / span) ** 3


@given(
    sparsity=st.floats(0.01, 0.99), steps=st.integers(2, 500), every=st.integers(1, 50)
)
def test_sparsity_grows_by_the_papers_equation_to_exactly_what_was_asked(
    sparsity, steps, every
):
    number = decisions(steps, every)
    assert 0 <= GROWING * steps - number * every < every + 1
    grown = [cubic(sparsity, n, number) for n in range(1, number + 1)]
    span = number * every
    for decision, got in enumerate(grown, start=1):
        t = decision * every
        assert got == pytest.approx(zhu_gupta(t, sparsity, 0, span), abs=1e-12)
    assert grown == sorted(grown)
    assert grown[-1:] == [sparsity] * bool(number)


def test_what_pruned_weights_want_counts_for_nothing():
    """Neither for the norm that is clipped, nor for the moments."""
    params = leaves()
    masks = {"h/kernel": jnp.abs(params["h/kernel"]) > 0.5}
    params["h/kernel"] = jnp.where(masks["h/kernel"], params["h/kernel"], 0.0)
    transform = transform_of(Settings(clip=0.1), relative=False)
    state = {
        "trained": params, "optimizer": transform.init(params), "masks": masks,
    }  # fmt: skip
    gradient = leaves()
    wild = {
        **gradient,
        "h/kernel": jnp.where(masks["h/kernel"], gradient["h/kernel"], 1e30),
    }
    updated = [
        _update(transform, None, state, {"gradient": each}, 0.1)
        for each in (gradient, wild)
    ]
    for one, other in zip(*map(jax.tree.leaves, updated), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert not np.array_equal(updated[0][0]["trained"]["h/kernel"], params["h/kernel"])
