"""Scores: exact magnitudes, random streams of their own, refusals by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.pruning import ZERO, scores
from jaxsparse.types import InputError


def leaves(dtype=np.float32, layers=3):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(layers, 4, 6)).astype(dtype)
    return {"embed": rng.normal(size=(7, 4)).astype(dtype), "h/kernel": kernel}


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_scores_are_float32_of_the_leaves_shapes(method):
    scored = scores(leaves(np.float16), method)
    assert {path: leaf.shape for path, leaf in scored.items()} == {
        "embed": (7, 4),
        "h/kernel": (3, 4, 6),
    }
    assert {leaf.dtype for leaf in scored.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_magnitude_is_exact_in_the_loaded_dtype(dtype, array):
    kernel = array(leaves(dtype)["h/kernel"])
    before = np.array(kernel)
    scored = scores({"h/kernel": kernel}, "magnitude")["h/kernel"]
    assert isinstance(scored, np.ndarray)
    np.testing.assert_array_equal(scored, abs(before.astype(np.float64)))
    np.testing.assert_array_equal(np.asarray(kernel), before)  # not in place


def test_random_depends_on_seed_path_and_layer_alone():
    def draw(leaves, seed):
        return scores(leaves, "random", seed=seed)

    three = draw(leaves(layers=3), 5)["h/kernel"]
    alone = draw({"h/kernel": leaves(jnp.bfloat16, 2)["h/kernel"]}, 5)["h/kernel"]
    np.testing.assert_array_equal(three[:2], alone)
    assert len(np.unique(three)) > 70  # layers differ
    other_seed = draw(leaves(), 6)["h/kernel"]
    assert np.mean(three == other_seed) < 0.1
    twin = {"a": np.ones((9, 9)), "b": np.ones((9, 9))}
    drawn = draw(twin, 0)
    assert np.mean(drawn["a"] == drawn["b"]) < 0.1


def test_random_is_the_documented_stream():
    """Fixed for ever: results name a seed, and the seed must mean the same mask."""
    drawn = scores({"w": np.ones((2, 2))}, "random", seed=0)["w"]
    expected = [[1304714, 4353535], [228433, 12743229]]
    np.testing.assert_array_equal(drawn * 2**24, expected)


def test_random_is_uniform():
    drawn = scores({"w": np.ones((200, 500))}, "random", seed=1)["w"]
    assert drawn.min() >= 0
    assert drawn.max() < 1
    shares = np.histogram(drawn, bins=10, range=(0, 1))[0] / drawn.size
    np.testing.assert_allclose(shares, 0.1, atol=0.005)  # 5 standard deviations


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_what_is_zero_already_goes_first_and_changes_no_other_score(method):
    full = {"w": np.random.default_rng(3).normal(size=(8, 9)).astype(np.float32)}
    holes = np.arange(72).reshape(8, 9) % 3 == 1
    sparse = {"w": np.where(holes, np.float32(-0.0), full["w"])}
    scored = scores(sparse, method, seed=1)["w"]
    assert np.all(scored[holes] == ZERO)
    expected = scores(full, method, seed=1)["w"][~holes]
    np.testing.assert_array_equal(scored[~holes], expected)


def test_refusals_name_what_is_wrong():
    with pytest.raises(InputError, match=r"`method=fancy`.*magnitude, random"):
        scores(leaves(), "fancy")
    damaged = leaves()
    damaged["h/kernel"][1, 2, 3] = np.nan
    with pytest.raises(InputError, match=r"h/kernel, layer 1.*NaN"):
        scores(damaged, "magnitude")
