"""Random layers: weights, and the Gram matrix of inputs that go together."""

import numpy as np


def layer(inputs, outputs, seed=0, tokens=1000, zeros=0.0, dead=()):
    """Weights (in, out) and the Gram matrix, float32, of inputs of unlike sizes."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(inputs, inputs)) * rng.gamma(1, size=inputs)
    hidden = rng.normal(size=(tokens, inputs)) @ mixing
    hidden[:, list(dead)] = 0
    weights = rng.normal(size=(inputs, outputs)).astype(np.float32)
    weights[rng.random(weights.shape) < zeros] = 0
    return weights, (hidden.T @ hidden / 100).astype(np.float32)


def error(weights, values, gram):
    """tr(Δᵀ G Δ)."""
    change = np.asarray(weights, np.float64) - np.asarray(values, np.float64)
    return np.sum(change * (gram.astype(np.float64) @ change))


def assert_close(values, expected):
    """Each weight to 1e-4 of itself, but for two float32 roundings of the largest: it
    moves with weights of that size. (Measured: 7e-6 of itself, but for one rounding.)
    """
    rounding = np.finfo(np.float32).eps * np.abs(expected).max()
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=2 * rounding)
