"""Scores: exact magnitudes, random streams of their own, refusals by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.pruning import (
    METHODS,
    ZERO,
    counts,
    effective_seed,
    masks,
    resolve_scope,
    scores,
)
from jaxsparse.trees import flatten
from jaxsparse.types import InputError


def _params(dtype=np.float32, layers=3):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(layers, 4, 6)).astype(dtype)
    return {
        "embed": rng.normal(size=(7, 4)).astype(dtype),
        "h": {"attn": {"kernel": kernel, "bias": kernel[:, 0]}},
    }


@pytest.mark.parametrize("method", METHODS)
def test_scores_mirror_the_parameters(method):
    scored = flatten(scores(_params(), ["h/attn/kernel"], method, 0))
    assert list(scored) == ["embed", "h/attn/bias", "h/attn/kernel"]
    assert scored["embed"] is None
    assert scored["h/attn/bias"] is None
    assert scored["h/attn/kernel"].shape == (3, 4, 6)
    assert scored["h/attn/kernel"].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_magnitude_is_exact_in_the_loaded_dtype(dtype, array):
    params = _params(dtype)
    kernel = array(params["h"]["attn"]["kernel"])
    before = np.array(kernel)
    params["h"]["attn"]["kernel"] = kernel
    scored = scores(params, ["h/attn/kernel"], "magnitude", 0)["h"]["attn"]["kernel"]
    assert isinstance(scored, np.ndarray)
    np.testing.assert_array_equal(scored, abs(before.astype(np.float64)))
    np.testing.assert_array_equal(np.asarray(kernel), before)  # not in place


def test_random_depends_on_seed_path_and_layer_alone():
    def draw(params, paths, seed):
        return flatten(scores(params, paths, "random", seed))

    three = draw(_params(layers=3), ["embed", "h/attn/kernel"], 5)["h/attn/kernel"]
    alone = draw(_params(jnp.bfloat16, 2), ["h/attn/kernel"], 5)["h/attn/kernel"]
    np.testing.assert_array_equal(three[:2], alone)
    assert len(np.unique(three)) > 70  # layers differ
    other_seed = draw(_params(), ["h/attn/kernel"], 6)["h/attn/kernel"]
    assert np.mean(three == other_seed) < 0.1
    twin = {"a": np.ones((9, 9)), "b": np.ones((9, 9))}
    drawn = draw(twin, ["a", "b"], 0)
    assert np.mean(drawn["a"] == drawn["b"]) < 0.1


def test_random_is_the_documented_stream():
    """Fixed for ever: results name a seed, and the seed must mean the same mask."""
    drawn = scores({"w": np.ones((2, 2))}, ["w"], "random", 0)["w"]
    expected = [[1304714, 4353535], [228433, 12743229]]
    np.testing.assert_array_equal(drawn * 2**24, expected)


def test_random_is_uniform():
    drawn = scores({"w": np.ones((200, 500))}, ["w"], "random", 1)["w"]
    assert drawn.min() >= 0
    assert drawn.max() < 1
    shares = np.histogram(drawn, bins=10, range=(0, 1))[0] / drawn.size
    np.testing.assert_allclose(shares, 0.1, atol=0.005)  # 5 standard deviations


@pytest.mark.parametrize("method", METHODS)
def test_what_is_zero_already_goes_first_and_changes_no_other_score(method):
    full = {"w": np.random.default_rng(3).normal(size=(8, 9)).astype(np.float32)}
    holes = np.arange(72).reshape(8, 9) % 3 == 1
    sparse = {"w": np.where(holes, np.float32(-0.0), full["w"])}
    scored = scores(sparse, ["w"], method, 1)["w"]
    assert np.all(scored[holes] == ZERO)
    np.testing.assert_array_equal(
        scored[~holes], scores(full, ["w"], method, 1)["w"][~holes]
    )
    kept = masks({"w": scored}, counts({"w": scored}, 1 / 3, "matrix"))["w"]
    np.testing.assert_array_equal(kept, ~holes)


def test_a_method_that_draws_nothing_has_no_seed():
    assert effective_seed("magnitude", 3) is None
    assert effective_seed("random", 3) == 3


def test_refusals_name_what_is_wrong():
    params = _params()
    with pytest.raises(InputError, match=r"--method=fancy.*magnitude, random"):
        scores(params, ["embed"], "fancy", 0)
    with pytest.raises(KeyError, match="h/mlp"):
        scores(params, ["h/mlp"], "magnitude", 0)
    with pytest.raises(ValueError, match="no parameter is prunable"):
        scores(params, [], "magnitude", 0)
    params["h"]["attn"]["kernel"][1, 2, 3] = np.nan
    with pytest.raises(InputError, match=r"h/attn/kernel, layer 1.*NaN"):
        scores(params, ["h/attn/kernel"], "magnitude", 0)


def test_scope_defaults_to_the_method_and_is_refused_by_name():
    assert resolve_scope("magnitude", None) == "matrix"
    assert resolve_scope("random", "global") == "global"
    message = "--scope=output: method magnitude defines matrix, global"
    with pytest.raises(InputError, match=message):
        resolve_scope("magnitude", "output")
    with pytest.raises(InputError, match="--method=fancy"):
        resolve_scope("fancy", None)
