"""Random weights in a published shape, written as a checkpoint."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxsparse import scoring
from jaxsparse.models.shapes import SHAPES, published
from jaxsparse.types import InputError
from jaxsparse.weights import rules, writing
from jaxsparse.weights.tokenizer import load_tokenizer


def write(shape: str, tokenizer: Path, directory: Path, seed: int) -> int:
    """Writes the checkpoint, tensor by tensor; returns its number of parameters.

    Raises:
        InputError: the tokenizer is none for such a model, or `directory` exists.
    """
    family, config = published(shape)
    _check_tokenizer(tokenizer, config)
    leaves = family.shapes(config)
    tensors = {
        name: writing.Tensor(
            rule.hf_shape(leaves[rule.path]),
            np.dtype(np.float32),
            _values(name, rule.path, rule.hf_shape(leaves[rule.path]), seed),
        )
        for rule in rules.active_rules(family.table, leaves)
        for name in rule.names(leaves[rule.path])
    }
    writing.write_checkpoint(directory, tokenizer, SHAPES[shape], tensors)
    return sum(tensor.nbytes // 4 for tensor in tensors.values())


def _check_tokenizer(directory: Path, config: Any) -> None:
    """As a sweep does, before anything is written."""
    loaded = load_tokenizer(directory)
    try:
        scoring.check_tokenizer(loaded, config)
    except InputError as error:
        raise InputError(f"{directory}: {error}") from None


def _values(
    name: str, path: str, shape: tuple[int, ...], seed: int
) -> Callable[[], np.ndarray]:
    """Norms are one, biases zero, matrices normal with deviation 0.02."""

    def make() -> np.ndarray:
        if path.endswith("scale"):
            return np.ones(shape, np.float32)
        if path.endswith("bias"):
            return np.zeros(shape, np.float32)
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        matrix = generator.standard_normal(shape, np.float32)
        matrix *= np.float32(0.02)
        return matrix

    return make
