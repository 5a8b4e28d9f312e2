"""Groups: the weights that compete with one another, and how many of each are pruned.

Scope, pattern and allocation are decided here and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from jaxsparse.trees import matrices
from jaxsparse.types import InputError

UNSTRUCTURED = "unstructured"
SCOPES = ("matrix", "output", "global")

# Views of host arrays. The weights of a group lie along the last axis; all other axes
# number groups of one size. A group that spans matrices goes on in the next array.
Group = tuple[np.ndarray, ...]


def groups(
    leaves: Mapping[str, np.ndarray], scope: str, pattern: str = UNSTRUCTURED
) -> Iterator[tuple[Group, int]]:
    """Puts the weights that compete on the last axis.

        matrix    (1, in · out)      each matrix by itself
        output    (out, in)          the inputs of one output unit
        global    (1, size), …       everything: sorted path, then layer, then index
        N:M       (out, in / M, M)   M consecutive inputs of one output unit

    Within a group the order is row-major (in, out). Arrays are views: what is written
    to them is written to the leaves.

    Args:
        leaves: C-contiguous host arrays (in, out) or (layer, in, out).
        scope: without meaning for N:M, whose groups are those of the pattern.

    Yields:
        arrays whose groups can be pruned together, and how many matrices they hold.

    Raises:
        InputError: M does not divide the inputs, or no such pattern.
        ValueError: no such scope.
    """
    in_order = [(path, leaves[path]) for path in sorted(leaves)]
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} is none of {', '.join(SCOPES)}")
    if scope == "global" and pattern == UNSTRUCTURED:
        parts = tuple(leaf.reshape(1, -1) for _, leaf in in_order)
        yield parts, sum(len(list(matrices(leaf))) for _, leaf in in_order)
        return
    for path, leaf in in_order:
        for matrix in matrices(leaf):
            if pattern != UNSTRUCTURED:
                yield (_consecutive(path, matrix, pattern),), 1
            elif scope == "output":
                yield (matrix.T,), 1
            else:
                yield (matrix.reshape(1, -1),), 1


def _consecutive(path: str, matrix: np.ndarray, pattern: str) -> np.ndarray:
    if not (found := re.fullmatch(r"(\d{1,2}):(\d{1,2})", pattern)):
        raise InputError(f"`pattern={pattern}`: neither {UNSTRUCTURED} nor N:M")
    kept, width = map(int, found.groups())
    if not 0 < kept < width:
        raise InputError(f"`pattern={pattern}`: N must be from 1 to M - 1")
    inputs, outputs = matrix.shape
    if inputs % width:
        raise InputError(f"`pattern={pattern}`: {path} has {inputs} inputs")
    return matrix.T.reshape(outputs, inputs // width, width)


def counts(group: Group, sparsity: float) -> int:
    """How many weights each group loses: round(sparsity · size).

    Sizes are Python integers, the product is float64, and halves go to the even
    neighbour, which is the rule of torch.nn.utils.prune. Only shapes are read.

    Raises:
        InputError: `sparsity` is not in [0, 1].
    """
    if not 0 <= sparsity <= 1:
        raise InputError(f"`sparsity={sparsity}`: not a fraction from 0 to 1")
    return round(float(sparsity) * sum(part.shape[-1] for part in group))
