"""Hugging Face checkpoint directories, read tensor by tensor.

Safetensors first, single or sharded, then bitmasks (see `bitmask`), then torch's
`.bin`. Files are mapped and tensors read one at a time, so that the host never holds
more than it is working on.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from jaxsparse.types import InputError, brief
from jaxsparse.weights import bitmask
from jaxsparse.weights.rules import Shape, listing

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
BITMASK = "model.bitmask.safetensors"  # nobody takes it for a dense one


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: headers read, values read on demand."""

    directory: Path
    config: Mapping[str, Any]  # config.json
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, np.dtype]
    read: Callable[[str], np.ndarray]
    unheld: Mapping[str, Path]  # what an index names, and the shard that lacks it


def open_checkpoint(directory: Path) -> Checkpoint:
    """Reads configuration and tensor headers; no values.

    Raises:
        InputError: a file missing, truncated, or pointing out of its directory.
    """
    config = read_json(directory / "config.json")
    for name, opener in (
        (SAFETENSORS, _open_dense),
        (BITMASK, _open_bitmask),
        (BIN, _open_bin),
    ):
        if (directory / name).exists():
            return _merge(directory, config, [opener(directory / name)], {})
        index = directory / f"{name}.index.json"
        if index.exists():
            return _merge(directory, config, *_open_shards(index, opener))
    raise InputError(
        f"{directory}: no weights; expected {SAFETENSORS}, {BITMASK}, {BIN}, or an "
        "index of their shards"
    )


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a file. Raises InputError if it is anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: missing; is this a Hugging Face directory?"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({brief(error)})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object")
    return value


@dataclass(frozen=True)
class _File:
    path: Path
    shapes: dict[str, Shape]
    dtypes: dict[str, np.dtype]
    read: Callable[[str], np.ndarray]
    metadata: dict[str, str] = field(default_factory=dict)


def _merge(
    directory: Path,
    config: dict[str, Any],
    files: Iterable[_File],
    unheld: Mapping[str, Path],
) -> Checkpoint:
    shapes: dict[str, Shape] = {}
    dtypes: dict[str, np.dtype] = {}
    readers: dict[str, Callable[[str], np.ndarray]] = {}
    for file in files:
        shapes |= file.shapes
        dtypes |= file.dtypes
        readers |= dict.fromkeys(file.shapes, file.read)
    return Checkpoint(
        directory, config, shapes, dtypes, lambda name: readers[name](name), unheld
    )


def _open_shards(
    index: Path, opener: Callable[[Path], _File]
) -> tuple[list[_File], dict[str, Path]]:
    """The shards an index names, each beside it, and what it names that none holds.

    Some writers name tied tensors, of which a file holds one; the family's table can
    tell. A tensor in another shard than the index says is an error here.
    """
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index}: no weight_map")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or name in ("", ".."):
            raise InputError(f"{index}: shard {name!r} is not beside the index")
        if not os.path.isfile(index.parent / name):  # False for a name too long, too
            raise InputError(f"{index.parent / name}: missing; {index.name} names it")
    files = [opener(index.parent / name) for name in names]
    found = {name for file in files for name in file.shapes}
    unheld = {
        name: index.parent / shard
        for name, shard in weight_map.items()
        if name not in found
    }
    for file in files:
        listed = {key for key, name in weight_map.items() if name == file.path.name}
        if odd := (listed - unheld.keys()) ^ file.shapes.keys():
            raise _disagreement(file.path, odd)
    return files, unheld


def check_index(checkpoint: Checkpoint, may_be_absent: Callable[[str], bool]) -> None:
    """Raises InputError for what an index names and no shard holds, but may not be."""
    for name, shard in checkpoint.unheld.items():
        if not may_be_absent(name):
            raise _disagreement(shard, [name])


def _disagreement(shard: Path, names: Iterable[str]) -> InputError:
    return InputError(
        f"{shard}: the index beside it disagrees about {listing(sorted(names))}; "
        "download or copy both again"
    )


DTYPES = {  # safetensors' names, and numpy's
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8",
    "BOOL": "bool",
}  # fmt: skip


def _open_safetensors(path: Path) -> _File:
    import ml_dtypes  # noqa: F401  makes numpy know bfloat16

    try:
        file = safe_open(path, framework="numpy")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({brief(error)}); "
            "download or copy it again"
        ) from None
    dtypes = {}
    for name, view in slices.items():
        if view.get_dtype() not in DTYPES:
            raise InputError(f"{path}: {name} has dtype {view.get_dtype()}")
        dtypes[name] = np.dtype(DTYPES[view.get_dtype()])
    shapes = {name: tuple(view.get_shape()) for name, view in slices.items()}
    return _File(path, shapes, dtypes, file.get_tensor, file.metadata() or {})


def _open_dense(path: Path) -> _File:
    file = _open_safetensors(path)
    if file.metadata.get("format") == bitmask.FORMAT:
        raise InputError(
            f"{path}: its format is {bitmask.FORMAT!r}; name it {BITMASK}, or with an "
            f"index {BITMASK}.index.json"
        )
    return file


def _open_bitmask(path: Path) -> _File:
    """Gives tensors as if they were stored as they are."""
    file = _open_safetensors(path)
    again = "download or copy it again"
    try:
        sparse = bitmask.shapes_of(file.metadata, file.shapes, file.dtypes)
    except bitmask.OtherVersion as error:
        raise InputError(f"{path}: {error}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; {again}") from None
    masks = {name: bitmask.mask_name(name) for name in sparse}
    values = {name: bitmask.values_name(name) for name in sparse}

    def read(name: str) -> np.ndarray:
        if name not in sparse:
            return file.read(name)
        mask, kept = file.read(masks[name]), file.read(values[name])
        try:
            return bitmask.restored(mask, kept, sparse[name])
        except ValueError as error:
            raise InputError(f"{path}: tensor {name}: {error}; {again}") from None

    plain = file.shapes.keys() - {*masks.values(), *values.values()}
    shapes = {name: file.shapes[name] for name in file.shapes if name in plain}
    dtypes = {name: file.dtypes[name] for name in shapes}
    dtypes |= {name: file.dtypes[values[name]] for name in sparse}
    return replace(file, shapes=shapes | sparse, dtypes=dtypes, read=read)


def _open_bin(path: Path) -> _File:
    """Torch's own format, tensors only: `weights_only=True` runs no pickled code."""
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: reading .bin needs torch; pip install 'jaxsparse[bin]' "
            "(in a clone: .venv/bin/pip install -e '.[bin]')"
        ) from None
    try:
        tensors = _load_bin(path)
    except Exception as error:  # torch raises whatever its unpickler meets
        raise InputError(
            f"{path}: not a whole torch file of tensors ({brief(error)}); "
            "download or copy it again"
        ) from None

    def read(name: str) -> np.ndarray:
        tensor = tensors[name].detach()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy().view(np.dtype("bfloat16"))
        return tensor.numpy()

    dtypes = {}
    for name, tensor in tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if tensor.layout != torch.strided:
            raise InputError(f"{path}: {name} is not dense but {tensor.layout}")
        if dtype not in DTYPES.values():
            raise InputError(f"{path}: {name} has dtype {dtype}")
        dtypes[name] = np.dtype(dtype)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return _File(path, shapes, dtypes, read)


def _load_bin(path: Path) -> dict[str, Any]:
    import ml_dtypes  # noqa: F401  makes numpy know bfloat16
    import torch

    try:
        tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except RuntimeError:  # the format before torch 1.6 cannot be mapped
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in tensors.items()
    ):
        raise ValueError("not a dictionary of tensors")
    return tensors
