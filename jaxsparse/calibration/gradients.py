"""How the loss of calibration rows depends on the weights of the dense model."""

import functools
from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float32

from jaxsparse import hosts, parallel, trees
from jaxsparse.calibration.batches import batches, row_shape
from jaxsparse.calibration.rows import Calibration
from jaxsparse.model import Model
from jaxsparse.models.apply import Apply, make_apply
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.running_text import Examples
from jaxsparse.types import InputError, Leaves

OF_THE_LOSS = ("gradient", "fisher")
TOKENS = 2048  # of rows whose gradient is taken at once: their logits take memory
Gradients = dict[str, dict[str, Float32[np.ndarray, "..."]]]


def gradients(
    model: Model,
    calibration: Calibration,
    prunable: str,
    needs: Collection[str],
    progress: Progress = NOBODY,
) -> Gradients:
    """The mean over rows of a row's gradient, and of its square (Kurtic et al. 2022).

    A row's loss is the mean cross entropy (nats) of its targets; a row without any
    counts as one of gradient 0. One row at a time (on a mesh, one for each part of
    `data`), or, of a float32 model without squares, a few. Sums are float32.

    Args:
        needs: which of gradient and fisher.

    Returns:
        need -> path -> an array of the leaf's shape, on the host.

    Raises:
        InputError: nothing is to be predicted, as in a discriminator's rows; a gradient
            is not finite.
    """
    if not np.any(calibration.examples.valid):
        raise InputError(
            f"{model.name} predicts no token of a text, so that its loss has no "
            "gradient; choose a method other than gradient and fisher"
        )
    paths = model.prunable(prunable)
    leaves = {path: model.params[path] for path in paths}
    rest = {p: leaf for p, leaf in model.params.items() if p not in leaves}
    apply = make_apply(
        model.blueprint.family, model.config, model.dtype, model.form, everywhere=True
    )
    wanted = tuple(need for need in OF_THE_LOSS if need in needs)
    # A sum over rows of gradients in bfloat16 would be of bfloat16, too.
    by_row = "fisher" in wanted or model.dtype != "float32"
    step = jax.jit(
        functools.partial(_add, apply, by_row),
        donate_argnums=0,
        compiler_options=model.compiler_options,
    )
    sums = {need: jax.tree.map(_zeros, leaves) for need in wanted}
    progress.stage("calibrating · gradients", calibration.rows, unit="rows")
    left = calibration.rows
    _, length = row_shape(calibration.examples)
    few = 1 if by_row else max(TOKENS // length, 1)
    for batch in batches(model, calibration.examples, few):
        sums = step(sums, leaves, rest, parallel.place_rows(model.mesh, batch))
        progress.done(min(len(batch.targets), left))
        left -= len(batch.targets)
    return {
        need: {
            path: _mean(path, leaf, calibration.rows) for path, leaf in found.items()
        }
        for need, found in sums.items()
    }


def row_losses(
    apply: Apply, params: Leaves, examples: Examples
) -> Float32[jax.Array, " row"]:
    """The mean cross entropy (nats) of each row's targets; 0 of a row without."""
    logits = apply(params, examples.inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, examples.targets)
    sums = jnp.sum(losses, axis=1, where=examples.valid)
    return sums / jnp.maximum(jnp.sum(examples.valid, axis=1), 1)


def _add(
    apply: Apply,
    by_row: bool,
    sums: dict[str, Leaves],
    leaves: Leaves,
    rest: Leaves,
    batch: Examples,
) -> dict[str, Leaves]:
    """The sums with a batch added.

    Args:
        by_row: whether each row's gradient is widened to float32 by itself. If not,
            squares cannot be had.
    """

    def loss(leaves: Leaves, some: Examples) -> jax.Array:
        return jnp.sum(row_losses(apply, {**rest, **leaves}, some))

    if not by_row:
        of_batch = jax.grad(loss)(leaves, batch)
        return {"gradient": jax.tree.map(jnp.add, sums["gradient"], of_batch)}
    rows = jax.tree.map(lambda field: field[:, None], batch)
    of_row = jax.vmap(jax.grad(loss), in_axes=(None, 0))(leaves, rows)
    of_row = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), of_row)
    values = {"gradient": of_row, "fisher": jax.tree.map(jnp.square, of_row)}
    return {
        need: jax.tree.map(lambda total, of: total + of.sum(0), total, values[need])
        for need, total in sums.items()
    }


def _zeros(leaf: jax.Array) -> jax.Array:
    return jnp.zeros_like(leaf, jnp.float32)  # where the leaf is, and divided like it


def _mean(path: str, total: jax.Array, rows: int) -> Float32[np.ndarray, "..."]:
    mean = hosts.gathered(total) / np.float32(rows)
    for layer, matrix in enumerate(trees.matrices(mean)):
        if not np.isfinite(matrix).all():
            raise InputError(
                f"{path}, layer {layer}: the gradient of the loss of calibration rows "
                "is not finite; other text, or float32 weights, may keep it so"
            )
    return mean
