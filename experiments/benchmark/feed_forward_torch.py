"""A pruned feed-forward in torch: its dense product, and sparse rows (CSR)."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.benchmark.peers import threads


def works(
    x: np.ndarray, matrices: Sequence[np.ndarray]
) -> dict[str, Callable[[], Any]]:
    import torch

    torch.set_num_threads(threads())
    given = torch.from_numpy(x)
    dense = [torch.from_numpy(matrix.T.copy()) for matrix in matrices]  # (out, in)
    with warnings.catch_warnings(action="ignore"):  # that it is beta
        rows = [matrix.to_sparse_csr() for matrix in dense]

    def run(weights: Sequence[Any]) -> Any:
        with torch.inference_mode():
            functional = torch.nn.functional
            inner = functional.linear(given, weights[0])
            inner = functional.gelu(inner, approximate="tanh")
            return functional.linear(inner, weights[1])

    def run_rows() -> Any:
        with torch.inference_mode():
            inner = torch.nn.functional.gelu(rows[0] @ given.T, approximate="tanh")
            return (rows[1] @ inner).T

    return {"torch dense": lambda: run(dense), "torch sparse rows": run_rows}
