"""Groups: the weights that compete with one another, and how many of each are pruned.

Scope, pattern and allocation are decided here and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxsparse.trees import matrices
from jaxsparse.types import InputError

UNSTRUCTURED = "unstructured"
NEURONS, LAYERS, HEADS = "neurons", "layers", "heads"
STRUCTURED = (NEURONS, LAYERS, HEADS)  # what goes is removed; see `units`
SCOPES = ("matrix", "output", "global")

# Views of host arrays. The weights of a group lie along the last axis; all other axes
# number groups of one size. A group that spans matrices goes on in the next array.
Group = tuple[np.ndarray, ...]

# One matrix of all: the path of its leaf, and its layer there.
Place = tuple[str, int]
WIDEST = 32  # M of N:M


def groups(
    leaves: Mapping[str, np.ndarray], scope: str, pattern: str = UNSTRUCTURED
) -> Iterator[tuple[Group, tuple[Place, ...]]]:
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
        arrays whose groups can be pruned together, and the matrices that they hold.

    Raises:
        InputError: M does not divide the inputs, or no such pattern.
        ValueError: no such scope.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} is none of {', '.join(SCOPES)}")
    check_inputs({path: leaf.shape for path, leaf in leaves.items()}, pattern)
    in_order = [
        ((path, layer), matrix)
        for path in sorted(leaves)
        for layer, matrix in enumerate(matrices(leaves[path]))
    ]
    consecutive = n_of_m(pattern)
    if scope == "global" and not consecutive:
        parts = tuple(leaves[path].reshape(1, -1) for path in sorted(leaves))
        yield parts, tuple(place for place, _ in in_order)
        return
    for place, matrix in in_order:
        if consecutive:
            shape = -1, matrix.shape[0] // consecutive[1], consecutive[1]
            yield (matrix.T.reshape(shape),), (place,)
        elif scope == "output":
            yield (matrix.T,), (place,)
        else:
            yield (matrix.reshape(1, -1),), (place,)


def n_of_m(pattern: str) -> tuple[int, int] | None:
    """N and M of a pattern N:M; None where it is unstructured.

    Raises:
        InputError: it is neither.
    """
    if pattern == UNSTRUCTURED:
        return None
    found = re.fullmatch(r"([1-9]\d?):([1-9]\d?)", pattern)
    kept, width = map(int, found.groups()) if found else (0, 0)
    if not 0 < kept < width <= WIDEST:
        raise InputError(
            f"`pattern={pattern}`: neither {UNSTRUCTURED}, {', '.join(STRUCTURED)} nor "
            f"N:M, such as 2:4, with N below M and M at most {WIDEST}"
        )
    return kept, width


def check_inputs(shapes: Mapping[str, Sequence[int]], pattern: str) -> None:
    """Raises InputError for a leaf whose inputs do not fall into groups of M."""
    if not (consecutive := n_of_m(pattern)):
        return
    for path, shape in sorted(shapes.items()):
        if shape[-2] % consecutive[1]:
            raise InputError(
                f"`pattern={pattern}`: {path} has {shape[-2]} inputs, which "
                f"{consecutive[1]} does not divide; choose another M"
            )


def counts(group: Group, sparsity: float) -> int:
    """How many weights each group loses, as `count` has it. Only shapes are read."""
    return count(sum(part.shape[-1] for part in group), sparsity)


def count(size: int, sparsity: float) -> int:
    """How many of so many weights go: round(sparsity · size).

    Sizes are Python integers, the product is float64, and halves go to the even
    neighbour, which is the rule of torch.nn.utils.prune.

    Raises:
        InputError: `sparsity` is not in [0, 1].
    """
    if not 0 <= sparsity <= 1:
        raise InputError(f"`sparsity={sparsity}`: not a fraction from 0 to 1")
    return round(float(sparsity) * size)
