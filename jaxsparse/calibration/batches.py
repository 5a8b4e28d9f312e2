"""Calibration rows in batches of one shape, so that each function compiles once."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxsparse import parallel
from jaxsparse.model import Model
from jaxsparse.models.attention import PADDING
from jaxsparse.models.inputs import Seq2SeqInputs
from jaxsparse.running_text import Examples
from jaxsparse.types import Array


def batches(model: Model, examples: Examples, rows: int = 0) -> Iterator[Examples]:
    """All rows in order, in batches of as many as suit the device, on the host; what
    the last one lacks are rows of padding, which never count.

    Args:
        rows: of a batch, where it is not to be as many as the model's form takes; on a
            mesh, of each part of the `data` axis.
    """
    multiple = parallel.rows_multiple(model.mesh)
    number, length = row_shape(examples)
    few = max(rows or model.form.batch_tokens // length, 1) * multiple
    size = -(-number // -(-number // few))  # no batch much smaller than others
    size = -(-size // multiple) * multiple
    for begin in range(0, number, size):
        yield _some_rows(examples, begin, size)


def batches_of_a_step(
    model: Model, examples: Examples, tokens: int
) -> Iterator[Examples]:
    """All rows in order, in batches of about so many tokens whatever the device: the
    rows of a gradient step. On a mesh, rows of padding fill them up.
    """
    multiple = parallel.rows_multiple(model.mesh)
    number, length = row_shape(examples)
    size = -(-number // -(-number // max(tokens // length, 1)))
    for begin in range(0, number, size):
        some = _some_rows(examples, begin, size)
        yield _some_rows(some, 0, -(-size // multiple) * multiple)


def row_shape(examples: Examples) -> tuple[int, int]:
    """How many rows, and the tokens of one; T5's, of encoder and decoder together."""
    inputs = examples.inputs
    rows, length = inputs.tokens.shape
    if isinstance(inputs, Seq2SeqInputs):
        length += inputs.encoder_tokens.shape[1]
    return rows, length


def _some_rows(examples: Examples, begin: int, size: int) -> Examples:
    def filled(values: Array, padding: int = 0) -> np.ndarray:
        some = np.asarray(values)[begin : begin + size]
        missing = [(0, size - len(some))] + [(0, 0)] * (some.ndim - 1)
        return np.pad(some, missing, constant_values=padding)

    inputs: Any = examples.inputs
    fields = {
        field.name: filled(
            getattr(inputs, field.name), PADDING if field.name == "branches" else 0
        )
        for field in dataclasses.fields(inputs)
    }
    return Examples(
        inputs=type(inputs)(**fields),
        targets=filled(examples.targets),
        valid=filled(examples.valid),
    )
