"""The leaves of a variant that hold new values, written block by block: in memory, or
in files, which a killed run goes on from.

    <directory>/<digest of the identity>/pruned.json         what was pruned so far
                                        /h,mlp,c_fc,kernel   each leaf, memory-mapped

Values are raw, in the leaf's dtype; `pruned.json` has their checksums. It is replaced
once the values of a block are on disk, so that what it counts is there.
"""

import json
import math
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxsparse import trees
from jaxsparse.pruning import MatrixSparsity
from jaxsparse.types import InputError
from jaxsparse.variants import bias_of, digest_of
from jaxsparse.whole import atomic_file

RECORD = "pruned.json"


class PrunedLeaves:
    """Leaves while they are written and after, and what was pruned of each matrix.

    Attributes:
        shapes: of the leaves.
        identity: of the variant they belong to.
        blocks: how many are done.
        matrices: what was pruned in them.
    """

    def __init__(
        self,
        shapes: Mapping[str, jax.ShapeDtypeStruct],
        identity: Mapping[str, Any],
        directory: Path | None = None,
    ):
        """Takes up what the files of this identity hold."""
        self.shapes = shapes
        self.identity = dict(identity)
        self._directory = directory and directory / digest_of(identity)
        self._arrays: dict[str, np.ndarray] = {}
        self.blocks = 0
        self.matrices: list[MatrixSparsity] = []
        self._checksums: dict[str, int] = {}
        self._take_up()

    @property
    def bytes(self) -> int:
        """That all values take."""
        return sum(map(_bytes, self.shapes.values()))

    @property
    def hold_values(self) -> bool:
        """False before `open` and after `forget`."""
        return bool(self._arrays)

    def __contains__(self, path: str) -> bool:
        return path in self.shapes

    def open(self) -> None:
        """Makes room for the values of all blocks; none is done.

        Raises:
            InputError: the disk has not so much.
        """
        self.blocks, self.matrices, self._checksums = 0, [], {}
        if not self._directory:
            self._arrays = {
                path: np.zeros(leaf.shape, leaf.dtype)
                for path, leaf in self.shapes.items()
            }
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory).free
        if self.bytes > free:
            raise InputError(
                f"{self._directory}: the pruned weights take {self.bytes / 1e9:.1f} GB "
                f"and {free / 1e9:.1f} GB are free; make room"
            )
        self._write_record()
        self._map("w+")

    def layer(self, path: str, number: int) -> Shaped[np.ndarray, "..."]:
        """A view of one layer of a leaf, to read or to write; written values are
        rounded to the leaf's dtype."""
        return trees.layer_of(path, self._arrays[path], number)

    def leaf(self, path: str) -> Shaped[np.ndarray, "..."]:
        return self._arrays[path]

    def block_done(self, matrices: Sequence[MatrixSparsity]) -> None:
        """Keeps what was written since the last block."""
        self.blocks += 1
        self.matrices += matrices
        if self._directory:
            for array in self._arrays.values():
                if isinstance(array, np.memmap):
                    array.flush()
            self._checksums |= self._checksums_of(matrices)
            self._write_record()

    def forget(self) -> None:
        """Takes the files with values away; what was pruned stays known."""
        if self._directory:
            self._arrays = {}
            for path in self.shapes:
                self._file(path).unlink(missing_ok=True)

    def _take_up(self) -> None:
        """What is not as it was written counts as not there."""
        if not self._directory:
            return
        try:
            record = json.loads((self._directory / RECORD).read_text("utf-8"))
            matrices = [MatrixSparsity(**matrix) for matrix in record["matrices"]]
            if record["identity"] != self.identity:
                return
            blocks, checksums = int(record["blocks"]), dict(record["checksums"])
        except (OSError, ValueError, TypeError, KeyError):
            return
        if bool(blocks) != bool(matrices):
            return
        self.blocks, self.matrices, self._checksums = blocks, matrices, checksums
        sizes = {path: _bytes(leaf) for path, leaf in self.shapes.items()}
        files = {path: self._file(path) for path in sizes}
        if all(
            files[p].is_file() and files[p].stat().st_size == sizes[p] for p in sizes
        ):
            self._map("r+")
            if self._checksums_of(matrices) != checksums:
                self._arrays = {}

    def _checksums_of(self, matrices: Sequence[MatrixSparsity]) -> dict[str, int]:
        """CRC-32 of the new values, biases too, by path and layer."""
        return {
            f"{path} {matrix.layer}": zlib.crc32(
                np.ascontiguousarray(self.layer(path, matrix.layer)).tobytes()
            )
            for matrix in matrices
            for path in (matrix.path, bias_of(matrix.path))
            if path in self
        }

    def _map(self, mode: Any) -> None:
        self._arrays = {
            path: np.memmap(self._file(path), leaf.dtype, mode, shape=leaf.shape)
            for path, leaf in self.shapes.items()
        }

    def _write_record(self) -> None:
        assert self._directory
        record = {
            "identity": self.identity,
            "blocks": self.blocks,
            "matrices": [asdict(matrix) for matrix in self.matrices],
            "checksums": self._checksums,
        }
        with atomic_file(self._directory / RECORD) as file:
            file.write_text(json.dumps(record), encoding="utf-8")

    def _file(self, path: str) -> Path:
        assert self._directory
        return self._directory / path.replace("/", ",")


def _bytes(leaf: jax.ShapeDtypeStruct) -> int:
    return math.prod(leaf.shape) * leaf.dtype.itemsize
