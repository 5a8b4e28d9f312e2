"""Hugging Face checkpoint directories, written: all of one or nothing."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError
from jaxsparse.weights.reading import SAFETENSORS
from jaxsparse.weights.rules import Shape
from jaxsparse.whole import atomic_directory, umask

SHARD_BYTES = 5 * 10**9  # one shard is held in memory while it is written


@dataclass(frozen=True)
class Tensor:
    """A tensor to write: what it will be, and its values when they are asked for."""

    shape: Shape
    dtype: np.dtype
    values: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def write_checkpoint(
    directory: Path,
    source: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    progress: Progress = NOBODY,
) -> None:
    """Writes a directory that transformers loads; all of it or nothing.

    Args:
        directory: must not exist yet.
        source: where tokenizer and generation settings are copied from.
        tensors: by current name; the values of one shard are held at a time.
    """
    if directory.exists():
        raise InputError(f"{directory}: exists already; name a new directory")
    size = sum(tensor.nbytes for tensor in tensors.values())
    progress.stage("writing", size, unit="bytes", patient=True)
    with atomic_directory(directory) as partial:
        _copy_beside_weights(source, partial)
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
        (partial / "config.json").write_text(f"{text}\n", encoding="utf-8")
        _write_shards(partial, tensors, progress)


def _copy_beside_weights(source: Path, target: Path) -> None:
    for pattern in ("*.json", "*.txt", "*.model"):
        for path in source.glob(pattern):
            if path.is_file() and not path.name.endswith(".index.json"):
                shutil.copyfile(path, target / path.name)


def _write_shards(
    directory: Path, tensors: Mapping[str, Tensor], progress: Progress
) -> None:
    shards = _plan_shards({name: tensor.nbytes for name, tensor in tensors.items()})
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = (
            SAFETENSORS
            if len(shards) == 1
            else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        )
        values = {
            name: tensors[name].values().astype(tensors[name].dtype, copy=False)
            for name in names
        }
        save_file(values, directory / file, metadata={"format": "pt"})
        (directory / file).chmod(0o666 & ~umask())  # it comes readable by us alone
        weight_map |= dict.fromkeys(names, file)
        progress.done(sum(tensors[name].nbytes for name in names))
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (directory / f"{SAFETENSORS}.index.json").write_text(
            json.dumps(index, indent=2), encoding="utf-8"
        )


def _plan_shards(sizes: Mapping[str, int]) -> list[list[str]]:
    """Names in order, as many to a shard as fit."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def kept_dtype(file: np.dtype, loaded: str) -> np.dtype:
    """The file's dtype, unless values were loaded in one that does not fit into it, or
    were rounded: of float64, float32 is left."""
    if file == np.float64:
        return np.dtype(np.float32)
    if loaded == "float32" or file == np.float32:
        return file
    return np.dtype(loaded)
