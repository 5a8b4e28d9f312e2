"""Parameters addressed by name: "h/attn/c_attn/kernel" names one leaf.

Leaves travel flat, path -> leaf, and are nested only where flax takes them.

A leaf is not a layer: layers are stacked on axis 0, and a leaf of shape (layer, in,
out) holds one matrix per layer. Whatever is defined per matrix goes through `matrices`.
"""

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxsparse.types import Array, Leaves


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dicts by path, in sorted path order."""
    flat = {}
    for key in sorted(tree):
        path = f"{prefix}{key}"
        value = tree[key]
        flat |= flatten(value, f"{path}/") if isinstance(value, dict) else {path: value}
    return flat


def unflatten(flat: Leaves) -> dict[str, Any]:
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


def layer_of(path: str, leaf: Any, number: int) -> Any:
    """One layer of a leaf; one that is of no layer is its own number 0."""
    of_a_layer = 2 if path.endswith(("kernel", "embedding")) else 1
    return leaf[number] if len(leaf.shape) > of_a_layer else leaf


def places(path: str, leaf: Array) -> Iterator[tuple[str, int]]:
    """Path and layer of each matrix of a leaf."""
    layers = leaf.shape[0] if len(leaf.shape) > 2 else 1
    return ((path, layer) for layer in range(layers))


def size(leaves: Leaves) -> int:
    """The number of parameters, an exact host integer."""
    return sum(math.prod(np.shape(leaf)) for leaf in leaves.values())
