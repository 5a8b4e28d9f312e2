"""Linear layers by kernels that hold kept weights only: x @ W + b, then an activation.

XLA's own threads compute them, panel of tokens by panel; see kernel.cc.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32

from jaxsparse.sparse.build import library
from jaxsparse.sparse.kernels import SparseKernel
from jaxsparse.types import Array

# What the kernel applies to outputs while they are in cache, by transformers' names.
ACTIVATIONS = {
    None: 0, "relu": 1, "gelu_new": 2, "gelu_fast": 2, "gelu_pytorch_tanh": 2,
    "gelu": 3, "gelu_python": 3, "silu": 4, "swish": 4,
}  # fmt: skip


def linear(
    x: Float32[Array, "*rows in"],
    kernel: SparseKernel,
    bias: Float32[Array, " out"] | None,
    activation: str | None = None,
) -> Float32[Array, "*rows out"]:
    """One layer.

    Args:
        kernel: of one layer, (in, out), that is stored by its kept weights.
        activation: one of `ACTIVATIONS`.
    """
    return _call(
        "linear",
        x,
        (*_operands(kernel, bias), _number(kernel)),
        kernel.shape[-1],
        activation=np.int64(ACTIVATIONS[activation]),
    )


def feed_forward(
    x: Float32[Array, "*rows in"],
    first: SparseKernel,
    first_bias: Float32[Array, " inner"] | None,
    activation: str | None,
    second: SparseKernel,
    second_bias: Float32[Array, " out"] | None,
) -> Float32[Array, "*rows out"]:
    """Two layers, the second of what the first gives, which never goes to memory."""
    return _call(
        "feed_forward",
        x,
        (
            *_operands(first, first_bias),
            *_operands(second, second_bias),
            _number(first),
        ),
        second.shape[-1],
        activation=np.int64(ACTIVATIONS[activation]),
        inner=np.int64(first.shape[-1]),
    )


def attention(
    query: Float32[Array, "b q h d"],
    key: Float32[Array, "b k h d"],
    value: Float32[Array, "b k h d"],
    mask: Bool[Array, "b #q k"],
    scale: float | Array = 1.0,
    bias: Float32[Array, "#b h q k"] | None = None,
) -> Float32[Array, "b q h d"]:
    """Softmax attention, so that it does not take longer than sparse layers do.

    Args:
        mask: True where a query sees a key. One that sees none gets anything finite.
    """
    if bias is None:
        bias = jnp.zeros((1, 0, 0, 0), jnp.float32)
    return _call("attention", query * scale, (key, value, mask, bias), query.shape[-1])


def _operands(kernel: SparseKernel, bias: Array | None) -> tuple[Any, ...]:
    bias = jnp.zeros(0, jnp.float32) if bias is None else bias
    stored = kernel.starts, kernel.ends, kernel.inputs, kernel.values
    return *stored, bias, kernel.geometry


def _number(kernel: SparseKernel) -> Array:
    return jnp.asarray(kernel.layer).reshape(1)


def _call(
    name: str, x: Array, operands: tuple[Any, ...], outputs: int, **attributes: Any
) -> jax.Array:
    library()  # registers it
    result = jax.ShapeDtypeStruct((*x.shape[:-1], outputs), jnp.float32)
    return jax.ffi.ffi_call(f"jaxsparse_{name}", result)(x, *operands, **attributes)
