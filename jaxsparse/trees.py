"""Parameter trees addressed by name: "h/attn/c_attn/kernel" names one leaf.

A leaf is not a layer: layers are stacked on axis 0, and a leaf of shape (layer, in,
out) holds one matrix per layer. Whatever is defined per matrix goes through `matrices`
(host) or `per_matrix` (device).
"""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxsparse.types import Array, Tree


def flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """The leaves of `tree` by path, in sorted path order; None counts as a leaf."""
    flat = {}
    for key in sorted(tree):
        path = f"{prefix}{key}"
        value = tree[key]
        flat |= flatten(value, f"{path}/") if isinstance(value, dict) else {path: value}
    return flat


def unflatten(flat: dict[str, Any]) -> dict[str, Any]:
    """The nested dicts of which `flat` is the flattening."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def classify(
    paths: Iterable[str], classes: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """Sorts every path into the first class with a glob pattern that matches it.

    Raises:
        KeyError: a path that belongs to no class.
    """
    sorted_out: dict[str, list[str]] = {name: [] for name in classes}
    for path in sorted(paths):
        for name, patterns in classes.items():
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
                sorted_out[name].append(path)
                break
        else:
            raise KeyError(f"parameter {path!r} belongs to none of {list(classes)}")
    return {name: tuple(members) for name, members in sorted_out.items()}


def matrices(leaf: Array) -> Iterator[np.ndarray]:
    """The matrices of a leaf, layer by layer, as host views of shape (in, out)."""
    host = np.asarray(leaf)
    if host.ndim not in (2, 3):
        raise ValueError(f"a leaf of shape {host.shape} holds no matrices")
    return iter(host if host.ndim == 3 else host[None])


def per_matrix(function: Callable[..., Any], *leaves: Array) -> Any:
    """Applies `function` to each matrix of leaves of equal leading shape, by vmap."""
    if np.ndim(leaves[0]) == 3:
        return jax.vmap(function)(*leaves)
    return function(*leaves)


def size(tree: Tree) -> int:
    """The number of parameters in `tree`, an exact host integer."""
    return sum(int(np.prod(np.shape(leaf))) for leaf in flatten(tree).values())
