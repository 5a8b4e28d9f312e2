"""Sparse execution on CPUs: linear layers that multiply only the weights that are
kept."""

from jaxsparse.sparse.build import Unavailable, library
from jaxsparse.sparse.kernels import SparseKernel, kept, pack
from jaxsparse.sparse.product import ACTIVATIONS, feed_forward, linear

__all__ = [
    "ACTIVATIONS",
    "SparseKernel",
    "Unavailable",
    "feed_forward",
    "kept",
    "library",
    "linear",
    "pack",
]
