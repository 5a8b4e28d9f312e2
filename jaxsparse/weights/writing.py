"""Hugging Face checkpoint directories, written: all of one or nothing."""

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError
from jaxsparse.weights import bitmask
from jaxsparse.weights.reading import BITMASK, DTYPES, SAFETENSORS
from jaxsparse.weights.rules import Shape
from jaxsparse.whole import atomic_directory

FORMATS = {"dense": SAFETENSORS, "bitmask": BITMASK}  # and the name of a single file
SHARD_BYTES = 5 * 10**9  # of a file, unless one tensor has more

PLAIN = {"format": "pt"}  # what a file of transformers says of itself
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

    def array(self) -> np.ndarray:
        """The values as the file has them."""
        values = self.values()
        assert values.shape == self.shape, (values.shape, self.shape)
        return np.ascontiguousarray(values, self.dtype)


@dataclass(frozen=True)
class Sizes:
    """What the tensors of a checkpoint take in either format, in bytes."""

    dense: int
    bitmask: int


def write_checkpoint(
    directory: Path,
    source: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    progress: Progress = NOBODY,
    beside: Callable[[Path], None] | None = None,
    format: str = "dense",
) -> Sizes:
    """Writes a directory that transformers loads; all of it or nothing.

    Args:
        directory: must not exist yet.
        source: where tokenizer and generation settings are copied from.
        tensors: by current name; the values of one are held at a time.
        beside: writes what else the directory shall hold into the one it is given.
        format: dense, or bitmask: smaller where weights are zero, and read by
            `open_checkpoint` alone. Masks are held while it is written.
    """
    check_format(format)
    if directory.exists():
        raise InputError(f"{directory}: exists already; name a new directory")
    with atomic_directory(directory) as partial:
        _copy_beside_weights(source, partial)
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
        (partial / "config.json").write_text(f"{text}\n", encoding="utf-8")
        write = _write_bitmask if format == "bitmask" else _write_dense
        sizes = write(partial, tensors, progress)
        if beside:
            beside(partial)
    return sizes


def check_format(format: str) -> None:
    """Raises InputError unless it is one of FORMATS."""
    if format not in FORMATS:
        raise InputError(f"`format={format}`: choose one of {', '.join(FORMATS)}")


def _copy_beside_weights(source: Path, target: Path) -> None:
    for pattern in ("*.json", "*.txt", "*.model"):
        for path in source.glob(pattern):
            if path.is_file() and not path.name.endswith(".index.json"):
                shutil.copyfile(path, target / path.name)


def _write_dense(
    directory: Path, tensors: Mapping[str, Tensor], progress: Progress
) -> Sizes:
    """Every tensor as it is, and counts what bitmasks would take."""
    bitmask_sizes: dict[str, int] = {}

    def counted(name: str, tensor: Tensor) -> np.ndarray:
        array = tensor.array()
        as_bits = bitmask.stored_bytes(bitmask.kept(array), tensor.dtype.itemsize)
        bitmask_sizes[name] = min(as_bits, tensor.nbytes)
        return array

    stored = {
        name: {name: replace(tensor, values=functools.partial(counted, name, tensor))}
        for name, tensor in tensors.items()
    }
    size = _write_shards(directory, stored, SAFETENSORS, {}, progress)
    return Sizes(size, sum(bitmask_sizes.values()))


def _write_bitmask(
    directory: Path, tensors: Mapping[str, Tensor], progress: Progress
) -> Sizes:
    """A bit for each weight and the values kept, of every tensor that shrinks so."""
    dense = sum(tensor.nbytes for tensor in tensors.values())
    progress.stage("finding zeros", dense, unit="bytes", patient=True)
    stored, sparse = {}, {}
    for name, tensor in tensors.items():
        kept = bitmask.kept(tensor.array())
        stored[name] = {name: tensor}
        if bitmask.stored_bytes(kept, tensor.dtype.itemsize) < tensor.nbytes:
            stored[name] = _bits_and_values(name, tensor, kept)
            sparse[name] = tensor.shape
        progress.done(tensor.nbytes)
    return Sizes(dense, _write_shards(directory, stored, BITMASK, sparse, progress))


def _bits_and_values(name: str, tensor: Tensor, kept: np.ndarray) -> dict[str, Tensor]:
    mask, size = bitmask.packed(kept), kept.size

    def values() -> np.ndarray:
        bits = np.unpackbits(mask, count=size, bitorder="little").view(bool)
        return tensor.array().reshape(-1)[bits]

    count = int(np.count_nonzero(kept))
    return {
        bitmask.mask_name(name): Tensor(mask.shape, mask.dtype, lambda: mask),
        bitmask.values_name(name): Tensor((count,), tensor.dtype, values),
    }


def _write_shards(
    directory: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    file_name: str,
    sparse: Mapping[str, Shape],
    progress: Progress,
) -> int:
    """Writes one file, or several and their index.

    Args:
        tensors: by name what is stored of each, which goes into one file.
        file_name: of a single one.
        sparse: the shapes of those that are stored as bits and values.

    Returns:
        what they take, in bytes.
    """
    sizes = {
        name: sum(part.nbytes for part in parts.values())
        for name, parts in tensors.items()
    }
    total = sum(sizes.values())
    progress.stage("writing", total, unit="bytes", patient=True)
    shards = _plan_shards(sizes)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = file_name
        if len(shards) > 1:
            of = f"-{number:05d}-of-{len(shards):05d}"
            file = file_name.replace("model", f"model{of}", 1)
        of_file = {part: t for name in names for part, t in tensors[name].items()}
        shapes = {name: sparse[name] for name in names if name in sparse}
        said = bitmask.metadata(shapes) if file_name == BITMASK else PLAIN
        save_file(of_file, directory / file, progress, said)
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (directory / f"{file_name}.index.json").write_text(
            json.dumps(index, indent=2), encoding="utf-8"
        )
    return total


def save_file(
    tensors: Mapping[str, Tensor],
    file: Path,
    progress: Progress = NOBODY,
    metadata: Mapping[str, str] = PLAIN,
) -> None:
    """Writes what `safetensors.numpy.save_file` does, but holds one tensor at a time.

    Source: https://github.com/huggingface/safetensors, "Format".
    """
    # What is wide comes first, so that everything is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": metadata}
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
            opened.write(tensors[name].array().reshape(-1).view(np.uint8).data)
            progress.done(tensors[name].nbytes)


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
