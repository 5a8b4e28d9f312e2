"""Hugging Face checkpoint directories, written: all of one or nothing."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError
from jaxsparse.weights.reading import DTYPES, SAFETENSORS
from jaxsparse.weights.rules import Shape
from jaxsparse.whole import atomic_directory

SHARD_BYTES = 5 * 10**9  # of a file, unless one tensor has more

_NAMES = {ours: theirs for theirs, ours in DTYPES.items()}


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
    beside: Callable[[Path], None] | None = None,
) -> int:
    """Writes a directory that transformers loads; all of it or nothing.

    Args:
        directory: must not exist yet.
        source: where tokenizer and generation settings are copied from.
        tensors: by current name; the values of one are held at a time.
        beside: writes what else the directory shall hold into the one it is given.

    Returns:
        what the tensors take, in bytes.
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
        if beside:
            beside(partial)
    return size


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
        of_file = {name: tensors[name] for name in names}
        save_file(of_file, directory / file, progress)
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (directory / f"{SAFETENSORS}.index.json").write_text(
            json.dumps(index, indent=2), encoding="utf-8"
        )


def save_file(
    tensors: Mapping[str, Tensor], file: Path, progress: Progress = NOBODY
) -> None:
    """Writes what `safetensors.numpy.save_file` does, but holds one tensor at a time.

    Source: https://github.com/huggingface/safetensors, "Format".
    """
    # What is wide comes first, so that everything is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.nbytes
        header[name] = {
            "dtype": _NAMES[tensor.dtype.name],
            "shape": tensor.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            opened.write(_bytes(name, tensors[name]))
            progress.done(tensors[name].nbytes)


def _bytes(name: str, tensor: Tensor) -> memoryview:
    values = tensor.values()
    assert values.shape == tensor.shape, name
    values = np.ascontiguousarray(values, tensor.dtype)
    return values.reshape(-1).view(np.uint8).data


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
