"""The best leaves of a run so far: in memory, or in a file that a later run finds."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save_file

from jaxsparse import hosts, trees
from jaxsparse.types import InputError, Leaves, brief
from jaxsparse.whole import atomic_file

NAME = "best.safetensors"
FINISHED = "finished.json"
# What reading raises where JSON is damaged.
UNREADABLE = (OSError, LookupError, TypeError, ValueError, AttributeError)


class Kept:
    """Leaves by path, float32, and what was measured of them."""

    def __init__(self, directory: Path | None):
        self._file = directory and directory / NAME
        self._leaves: dict[str, np.ndarray] = {}
        self._finished = directory and directory / FINISHED
        self.measured: dict[str, Any] = {}
        if self._file and self._file.is_file():
            self._read()

    def _read(self) -> None:
        assert self._file
        try:
            with safetensors.safe_open(self._file, "numpy") as file:
                measured = json.loads((file.metadata() or {})["measured"])
                _check_digest(file, measured["digest"])
            if self._finished and self._finished.is_file():
                finished = _end(self._finished)
                if finished["digest"] != measured["digest"]:
                    raise ValueError(f"{FINISHED} is of other weights")
                measured = finished
        except (*UNREADABLE, safetensors.SafetensorError) as error:
            raise unreadable(self._file, error) from None
        self.measured = measured

    def write(self, leaves: Leaves, measured: Mapping[str, Any]) -> None:
        """Raises InputError where the file cannot be written; the one before it is
        whole."""
        host = {
            path: np.asarray(hosts.gathered(leaf), np.float32)
            for path, leaf in leaves.items()
        }
        self.measured = {**measured, "digest": _digest(sorted(host.items()))}
        if self._file is None:
            self._leaves = host
            return
        metadata = {"measured": json.dumps(self.measured)}
        try:
            if self._finished:  # which would be of the weights before
                self._finished.unlink(missing_ok=True)
            with atomic_file(self._file) as partial:
                save_file(host, partial, metadata)
        except (OSError, safetensors.SafetensorError) as error:
            raise _unwritable(self._file, error) from None

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return (
            bool(self.measured)
            and self._finished is not None
            and self._finished.is_file()
        )

    def finish(self, seconds: float, together: str = "") -> None:
        """Says that the run has come to its end, and what it took.

        Args:
            together: names the runs that it was in one call with.

        Raises InputError as `write`."""
        self.measured |= {"seconds": seconds, "together": together}
        if self._finished:
            write_text(self._finished, json.dumps(self.measured))

    def leaf(self, path: str) -> np.ndarray:
        if self._file is None:
            return self._leaves[path]
        with safetensors.safe_open(self._file, "numpy") as file:
            return file.get_tensor(path)

    def layer(self, path: str, number: int) -> np.ndarray:
        """One layer of a leaf; of a leaf of no layer all of it."""
        if self._file is None:
            return trees.layer_of(path, self._leaves[path], number)
        with safetensors.safe_open(self._file, "numpy") as file:
            part = file.get_slice(path)
            of_a_layer = 2 if path.endswith(("kernel", "embedding")) else 1
            stacked = len(part.get_shape()) > of_a_layer
            return part[number] if stacked else file.get_tensor(path)


def _end(file: Path) -> dict[str, Any]:
    """What `finish` wrote. Raises ValueError where it is damaged."""
    try:
        said = json.loads(file.read_text("utf-8"))
        return {**said, "seconds": float(said["seconds"]), "digest": said["digest"]}
    except UNREADABLE as error:
        raise ValueError(f"{FINISHED} is damaged: {brief(error)}") from None


def make_directory(directory: Path) -> None:
    """And those above it. Raises InputError where it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{directory} cannot be made a directory ({error.strerror}); remove what "
            "is there, or name another `work`"
        ) from None


def write_text(file: Path, text: str) -> None:
    """Raises InputError where it cannot be written; what was there is whole."""
    try:
        with atomic_file(file) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(file, error) from None


def unreadable(file: Path, error: Exception) -> InputError:
    return InputError(
        f"{file} cannot be read ({brief(error)}); remove its directory to train again"
    )


def _unwritable(file: Path, error: Exception) -> InputError:
    return InputError(
        f"{file} could not be written ({brief(error)}); make room, and repeat the "
        "command"
    )


def _check_digest(file: Any, digest: str) -> None:
    """Raises ValueError where leaves are not those that were written."""
    if _digest((path, file.get_tensor(path)) for path in sorted(file.keys())) != digest:
        raise ValueError("its weights are damaged")


def _digest(leaves: Iterable[tuple[str, np.ndarray]]) -> str:
    """Of leaves that are sorted by path."""
    content = hashlib.sha256()
    for path, leaf in leaves:
        content.update(f"{path} {leaf.shape}\n".encode())
        content.update(np.ascontiguousarray(leaf).tobytes())
    return content.hexdigest()
