"""Smaller models: feed-forward units, heads or whole layers removed, so that arrays
shrink, and transformers loads what is left."""

from jaxsparse.smaller.checks import check
from jaxsparse.smaller.layers import Influences, block_influences, with_fewer_layers
from jaxsparse.smaller.units import with_fewer_units

__all__ = [
    "Influences",
    "block_influences",
    "check",
    "with_fewer_layers",
    "with_fewer_units",
]
