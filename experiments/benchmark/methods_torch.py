"""Pruning methods in torch as their papers' code has them: (out, in), float32.

Masks come from `kthvalue`, which is faster than the sorts and `topk` of that code.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark.peers import threads
from jaxsparse.pruning import Statistics


def work(
    method: str, weights: np.ndarray, known: Statistics, sparsity: float, seed: int
) -> Callable[[], tuple[Any, Any]]:
    """Does it and returns the values (in, out), and what is added to the bias."""
    import torch

    torch.set_num_threads(threads())
    torch.manual_seed(seed)
    layer = torch.from_numpy(weights.T.copy())
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(np.asarray(value).T))
        for name, value in vars(known).items()
        if name != "tokens"
    }

    def run() -> tuple[Any, Any]:
        with torch.inference_mode():
            values, bias = _prune(method, layer, tensors, sparsity)
        return values.numpy().T, bias if bias is None else bias.numpy()

    return run


def _prune(
    method: str, weights: Any, known: dict[str, Any], sparsity: float
) -> tuple[Any, Any]:
    criterion, _, update = method.partition("+")
    if solver := {"sparsegpt": _sparsegpt, "admm": _admm}.get(criterion):
        return solver(weights, known["gram"], sparsity), None
    scores = _scores(criterion, weights, known)
    mask = _largest(scores, sparsity, of_outputs=criterion == "wanda")
    if update == "pcg":
        return _pcg(weights, mask, known["gram"]), None
    values = weights * mask
    if update == "bias":
        return values, (weights - values) @ known["mean"]
    return values, None


def _largest(scores: Any, sparsity: float, of_outputs: bool = False) -> Any:
    """The mask of what is kept, of each output or of all."""
    ranked = scores if of_outputs else scores.flatten()
    number = round(sparsity * ranked.shape[-1])
    last = ranked.kthvalue(number, dim=-1, keepdim=True).values
    return scores > (last if of_outputs else last.squeeze())


def _scores(criterion: str, weights: Any, known: dict[str, Any]) -> Any:
    import torch

    size = weights.abs()
    match criterion:
        case "random":
            return torch.rand_like(weights)
        case "gradient":
            return (weights * known["gradient"]).abs()
        case "fisher":
            return weights**2 * known["fisher"]
        case "wanda":
            return size * known["squares"].sqrt()
        case "ria":
            shares = size / size.sum(0) + size / size.sum(1, keepdim=True)
            return shares * known["squares"] ** 0.25
    return size


def _damped(gram: Any, share: float) -> Any:
    matrix = gram.clone()
    matrix.diagonal().add_(share * gram.diagonal().mean())
    return matrix


def _sparsegpt(weights: Any, gram: Any, sparsity: float, block: int = 128) -> Any:
    """Frantar and Alistarh (2023), algorithm 1."""
    import torch

    weights, inputs = weights.clone(), len(gram)
    lower = torch.linalg.cholesky(_damped(gram, 0.01))
    upper = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    for start in range(0, inputs, block):
        end = min(start + block, inputs)
        part, within = weights[:, start:end].clone(), upper[start:end, start:end]
        errors = torch.zeros_like(part)
        mask = _largest((part / within.diagonal()) ** 2, sparsity)
        for column in range(end - start):
            current = part[:, column]
            kept = current * mask[:, column]
            error = (current - kept) / within[column, column]
            part[:, column:] -= error[:, None] * within[column, column:]
            weights[:, start + column] = kept
            errors[:, column] = error
        weights[:, end:] -= errors @ upper[start:end, end:]
    return weights


def _admm(weights: Any, gram: Any, sparsity: float) -> Any:
    """Boža (2024), algorithms 1 and 2, inputs first as in its code."""
    import torch

    norms = gram.diagonal().sqrt()
    matrix = _damped(gram / norms / norms[:, None], 0.1)
    values = (weights * norms).T.contiguous()
    wanted = matrix @ values
    inverse = torch.inverse(matrix + torch.eye(len(matrix)))
    dual = mask = torch.zeros_like(values)
    for step in range(1, 21):
        if step <= 15:
            share = sparsity * (1 - (1 - step / 15) ** 3)
            mask = _largest((values + dual).abs(), share)
        kept = (values + dual) * mask
        dual = dual + values - kept
        values = inverse @ (wanted + kept - dual)
    return ((values + dual) * mask).T / norms


def _pcg(weights: Any, mask: Any, gram: Any, steps: int = 10) -> Any:
    """Meng et al. (2024), algorithm 2."""
    matrix, mask = _damped(gram, 0.01), mask.T.contiguous()
    weights = weights.T.contiguous()
    scale = 1 / matrix.diagonal()[:, None]
    values = weights * mask
    residual = (matrix @ (weights - values)) * mask
    direction = conditioned = scale * residual
    for _ in range(steps):
        product = matrix @ direction
        squares = (residual * conditioned).sum(0)
        length = squares / (direction * product).sum(0)
        values = values + length * direction
        residual = (residual - length * product) * mask
        conditioned = scale * residual
        turn = (residual * conditioned).sum(0) / squares
        direction = conditioned + turn * direction
    return values.T
