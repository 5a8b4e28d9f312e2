"""The cross entropy of targets over a vocabulary, without the logits of all of them.

Logits of running text are the largest array of a training step. Here those of a portion
of the targets are computed at a time, and their gradient with them, which the summed
loss allows: it is the same but for a factor whatever comes of the sum.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxsparse.device import Form
from jaxsparse.models.attention import log_sum_exp, sum_of_last
from jaxsparse.types import Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def summed_nats(
    hidden: Float[Array, "row scored hidden"],
    embedding: Float[Array, "vocab hidden"],
    bias: Float[Array, " vocab"] | None,
    targets: Int[Array, "row scored"],
    valid: Bool[Array, "row scored"],
    form: Form,
) -> Float[Array, ""]:
    """-log p of all valid targets, in nats, summed; p is the softmax of float32 logits
    `hidden @ embedding.T + bias`."""

    def of_portion(portion: Any) -> jax.Array:
        hidden, targets, valid = portion
        logits = _logits(hidden, embedding, bias)
        nats = log_sum_exp(logits, form) - _chosen(logits, targets)
        return jnp.sum(nats, where=valid)

    return jnp.sum(jax.lax.map(of_portion, _portions(hidden, targets, valid, form)))


def _forward(hidden, embedding, bias, targets, valid, form):
    """The sum, and its gradient in hidden states, embedding and bias."""

    def of_portion(sums, portion):
        of_embedding, of_bias = sums
        hidden, targets, valid = portion
        logits = _logits(hidden, embedding, bias)
        largest = logits.max(axis=-1)
        exponentials = jnp.exp(logits - largest[:, None])
        total = sum_of_last(exponentials, form)
        nats = largest + jnp.log(total) - _chosen(logits, targets)
        is_target = jnp.arange(len(embedding)) == targets[:, None]
        slope = exponentials / total[:, None] - is_target
        slope = jnp.where(valid[:, None], slope, 0.0)
        if bias is not None:
            of_bias += slope.sum(0)
        slope = slope.astype(hidden.dtype)
        of_embedding += jnp.einsum(
            "nv,nm->vm", slope, hidden, preferred_element_type=jnp.float32
        )
        of_hidden = jnp.einsum("nv,vm->nm", slope, embedding)
        return (of_embedding, of_bias), (jnp.sum(nats, where=valid), of_hidden)

    zeros = (
        jnp.zeros(embedding.shape),
        None if bias is None else jnp.zeros(bias.shape),
    )
    portions = _portions(hidden, targets, valid, form)
    (of_embedding, of_bias), (nats, of_hidden) = jax.lax.scan(
        of_portion, zeros, portions
    )
    of_hidden = of_hidden.reshape(-1, hidden.shape[-1])[: targets.size]
    gradients = of_hidden.reshape(hidden.shape), of_embedding, of_bias
    likes = hidden, embedding, bias
    return jnp.sum(nats), (gradients, likes, targets)


def _backward(form, kept, gradient):
    gradients, likes, targets = kept
    scaled = jax.tree.map(
        lambda found, like: (found * gradient).astype(like.dtype), gradients, likes
    )
    none = np.zeros(targets.shape, jax.dtypes.float0)
    return *scaled, none, none


summed_nats.defvjp(_forward, _backward)


def _portions(hidden, targets, valid, form: Form) -> Any:
    """All targets in equal portions of about as many as the form wants at once; what
    fills up the last is not valid."""
    number = targets.size
    count = math.ceil(number / (form.text_targets or number))
    size = math.ceil(number / count)

    def divided(field: jax.Array) -> jax.Array:
        rows = field.reshape(number, *field.shape[2:])
        missing = [(0, count * size - number)] + [(0, 0)] * (rows.ndim - 1)
        return jnp.pad(rows, missing).reshape(count, size, *rows.shape[1:])

    return tuple(map(divided, (hidden, targets, valid)))


def _logits(hidden, embedding, bias) -> Float[Array, "target vocab"]:
    logits = jnp.einsum(
        "nm,vm->nv", hidden, embedding, preferred_element_type=jnp.float32
    )
    return logits if bias is None else logits + bias


def _chosen(logits, targets) -> Float[Array, " target"]:
    return jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
