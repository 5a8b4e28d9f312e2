"""Array and tree aliases, and the one exception that means "the input is at fault".

Axis names, as they appear in shape annotations throughout:

    question option    the ten options of a question
    row position       tokens of one row of a batch; a question has one or more rows
    scored             the positions of a row whose outputs are asked for
    layer in out       a stacked kernel: layers on axis 0, inputs on -2, outputs on -1
    hidden heads head_dim ffn vocab    the usual sizes of a transformer

Einsum letters: b batch, q k positions, h heads, d head_dim, m hidden, f ffn, v vocab.
"""

from collections.abc import Mapping

import jax
import numpy as np

Array = jax.Array | np.ndarray
Leaves = Mapping[str, Array]  # path -> leaf; layers are stacked on axis 0 of a leaf


def brief(error: BaseException) -> str:
    """Another library's exception in one line, for an error message of ours."""
    said = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class InputError(ValueError):
    """What the user gave cannot be used; one line says what, where and what to do.

    The binaries print it and exit with status 2. Any other exception is our own fault
    and keeps its traceback.
    """
