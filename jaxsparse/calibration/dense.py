"""Statistics of the dense model: of all matrices, in memory or in files.

In files Gram matrices of all blocks need not fit into memory, and a second method finds
what the first has gathered. A directory holds one kind of statistics, whole or not at
all; where anything in it is not as it was written, all of that kind is made anew.

    statistics-<key>-gram/index.json             matrix -> its file, tokens, checksum
                          h.attn.c_attn.3.npy    of layer 3, mapped into memory
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jaxsparse import hosts, trees
from jaxsparse.calibration.gradients import OF_THE_LOSS, gradients
from jaxsparse.calibration.rows import Calibration
from jaxsparse.calibration.walk import OF_INPUTS, Walk
from jaxsparse.model import Model
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning.statistics import NEEDS, Statistics
from jaxsparse.whole import atomic_directory

REVISION = 1  # of what statistics are: files of another one are not read
INDEX = "index.json"
Matrix = tuple[str, int]  # path and layer; 0 of a leaf without layers
Values = Float32[np.ndarray, "..."]
Kind = Mapping[Matrix, tuple[int, Values]]  # how many tokens were seen, and the values


@dataclass(frozen=True)
class DenseStatistics:
    """What is known of every matrix of the dense model; `kinds` by need."""

    kinds: Mapping[str, Kind]

    def of(self, path: str, layer: int) -> Statistics:
        """Of one matrix; layer 0 of a leaf without layers."""
        found = {need: kind[path, layer] for need, kind in self.kinds.items()}
        values = {need: array for need, (_, array) in found.items()}
        return Statistics(
            max((seen for seen, _ in found.values()), default=0), **values
        )


def dense_statistics(
    model: Model,
    calibration: Calibration,
    prunable: str,
    needs: Collection[str],
    directory: Path | None = None,
    progress: Progress = NOBODY,
) -> DenseStatistics:
    """What the dense model's matrices are given, and how its loss depends on them.

    Args:
        needs: of mean, squares, gram, gradient and fisher.
        directory: where files of an earlier call are found, and made; None: all is kept
            in memory, as it is by each of several processes.

    Raises:
        InputError: as `Walk` and `gradients`.
        OSError: files cannot be written.
    """
    wanted = [need for need in NEEDS if need in needs]
    if directory is None or hosts.several():
        kinds: dict[str, dict[Matrix, tuple[int, Values]]] = {n: {} for n in wanted}
        for found in _computed(model, calibration, prunable, wanted, progress):
            kinds[found.need][found.matrix] = found.tokens, found.values
        return DenseStatistics(kinds)
    key = _key(model, calibration, prunable)
    homes = {need: directory / f"statistics-{key}-{need}" for need in wanted}
    opened = {need: _open(home) for need, home in homes.items()}
    missing = [need for need, kind in opened.items() if kind is None]
    with ExitStack() as stack:
        writers = {
            need: _Writer(stack.enter_context(_replacing(homes[need])))
            for need in missing
        }
        for found in _computed(model, calibration, prunable, missing, progress):
            writers[found.need].add(found)
        for writer in writers.values():
            writer.finish()
    opened |= {need: _open(homes[need]) for need in missing}
    return DenseStatistics({need: kind for need, kind in opened.items() if kind})


@dataclass(frozen=True)
class _Found:
    need: str
    matrix: Matrix
    tokens: int
    values: Values
    name: str  # of its file; matrices that read the same inputs share one


def _computed(
    model: Model,
    calibration: Calibration,
    prunable: str,
    needs: Collection[str],
    progress: Progress,
) -> Iterator[_Found]:
    """What is needed of every matrix; of inputs stage by stage."""
    if of_inputs := [need for need in OF_INPUTS if need in needs]:
        walk = Walk(model, calibration, prunable, progress)
        for stage in walk.stages:
            layer, names = stage.layer or 0, {}
            for path, known in walk.statistics(stage, of_inputs).items():
                name = names.setdefault(id(known), _file_name(path, layer))
                for need in of_inputs:
                    values = np.asarray(getattr(known, need))
                    yield _Found(need, (path, layer), known.tokens, values, name)
            walk.advance(stage)
    if of_loss := [need for need in OF_THE_LOSS if need in needs]:
        found = gradients(model, calibration, prunable, of_loss, progress)
        for need, leaves in found.items():
            for path, leaf in leaves.items():
                for layer, values in enumerate(trees.matrices(leaf)):
                    name = _file_name(path, layer)
                    yield _Found(need, (path, layer), 0, values, name)


def _file_name(path: str, layer: int) -> str:
    return f"{path.removesuffix('/kernel').replace('/', '.')}.{layer}.npy"


def _key(model: Model, calibration: Calibration, prunable: str) -> str:
    parts = REVISION, model.digest, model.dtype, calibration.digest, prunable
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class _Writer:
    """Fills a directory with one kind of statistics; the index comes last."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._checksums: dict[str, int] = {}
        self._matrices: list[tuple[str, int, int, str]] = []

    def add(self, found: _Found) -> None:
        if found.name not in self._checksums:
            file = self._directory / found.name
            np.save(file, found.values, allow_pickle=False)
            self._checksums[found.name] = _checksum(file)
        self._matrices.append((*found.matrix, found.tokens, found.name))

    def finish(self) -> None:
        content = {"matrices": self._matrices, "checksums": self._checksums}
        (self._directory / INDEX).write_text(json.dumps(content), encoding="utf-8")


def _replacing(home: Path):
    if home.exists():
        shutil.rmtree(home)
    return atomic_directory(home)


def _open(home: Path) -> Kind | None:
    """The statistics of a directory, mapped into memory; None where there are none, or
    they are not what was written there."""
    try:
        content = json.loads((home / INDEX).read_text(encoding="utf-8"))
        files = {}
        for name, checksum in content["checksums"].items():
            if _checksum(home / name) != checksum:
                return None
            files[name] = np.load(home / name, mmap_mode="r", allow_pickle=False)
        return {
            (path, layer): (tokens, files[name])
            for path, layer, tokens, name in content["matrices"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checksum(file: Path) -> int:
    """CRC-32 of all that is in a file."""
    checksum = 0
    with file.open("rb") as opened:
        while part := opened.read(1 << 24):
            checksum = zlib.crc32(part, checksum)
    return checksum
