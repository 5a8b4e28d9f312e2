"""Sparse execution on CPUs: linear layers that multiply only the weights that are
kept."""

from jaxsparse.sparse.build import Unavailable, library
from jaxsparse.sparse.execution import (
    EXECUTIONS,
    REVISION,
    Execution,
    by_zeros,
    check,
    identity,
    with_dense,
)
from jaxsparse.sparse.kernels import SparseKernel, kept, pack
from jaxsparse.sparse.product import ACTIVATIONS, attention, feed_forward, linear

__all__ = [
    "ACTIVATIONS",
    "EXECUTIONS",
    "REVISION",
    "Execution",
    "SparseKernel",
    "Unavailable",
    "attention",
    "by_zeros",
    "check",
    "feed_forward",
    "identity",
    "kept",
    "library",
    "linear",
    "pack",
    "with_dense",
]
