"""Variants that are computed by one call, and their leaves as it takes them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import jax.numpy as jnp

from jaxsparse.types import Leaves
from jaxsparse.variants import Variant


def divided(
    variants: Mapping[str, Variant], lacking: Sequence[frozenset[int]], size: int
) -> Iterator[tuple[list[str], frozenset[int], int]]:
    """Variants that go at once: neighbours that share the function and all leaves but
    those that may differ, have these alike, and lack the same.

    Yields:
        the keys of at most `size`, what they lack, and how many sets of leaves the call
        that computes them has: no more than there are alike, so that arrays of a shape
        of their own are computed once; known ones count, so that a run that goes on
        computes what it would have.
    """

    def arrays(member: tuple[str, frozenset[int]]) -> tuple[Any, ...]:
        variant = variants[member[0]]
        return variant.model.apply, id(variant.model.params), variant.shapes

    members = zip(variants, lacking, strict=True)
    for _, alike in groupby(members, arrays):
        alike = list(alike)
        number = min(size, len(alike))
        for wanted, same in groupby(alike, itemgetter(1)):
            keys = [key for key, _ in same]
            for begin in range(0, len(keys) if wanted else 0, size):
                yield keys[begin : begin + size], wanted, number


def stacked(variants: Sequence[Variant], number: int) -> Leaves:
    """The leaves of one variant, or path by path those of several on a new axis 0,
    where the last is repeated up to a number: one shape, one compilation."""
    if number == 1:
        (variant,) = variants
        return variant.leaves()
    last = [variants[-1]] * (number - len(variants))
    return {
        path: jnp.stack([variant.leaf(path) for variant in (*variants, *last)])
        for path in variants[0].shapes
    }
