"""Many devices: a mesh of them, and where on it parameters and batches go.

    mesh=data:2,model:4        a row of devices holds the model once

    data 0   [ model 0 | model 1 | model 2 | model 3 ]   the first half of the rows
    data 1   [ model 0 | model 1 | model 2 | model 3 ]   the second half

Rows of a batch are divided over `data`, large matrices over `model`; jit finds out what
has to travel. Without a mesh, everything is on one device.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxsparse import device, hosts
from jaxsparse.types import Array, InputError

AXES = ("data", "model")
SMALL = 1 << 16  # elements; smaller leaves are on every device
# Keys and values of fewer heads than queries have are narrow, but divided by heads too.
OF_KEYS = ("k_proj/kernel", "v_proj/kernel")
FOR_PARAMETERS = 0.7  # of a device's memory; the rest is for activations
_FORM = "`mesh` is written data:4,model:2, either of them or both"


@dataclass(frozen=True)
class Axes:
    """The sizes of a mesh."""

    data: int = 1
    model: int = 1

    @property
    def devices(self) -> int:
        return self.data * self.model


def parse(text: str) -> Axes | None:
    """What `mesh` says; None where it says nothing.

    Raises:
        InputError: anything but sizes of the two axes.
    """
    sizes: dict[str, int] = {}
    for part in text.split(",") if text else ():
        name, _, size = part.strip().partition(":")
        if name not in AXES or name in sizes:
            raise InputError(f"`mesh={text}`: no place for {part!r}; {_FORM}")
        number = size.isascii() and size.isdigit() and len(size) < 10
        if not (number and int(size)):
            raise InputError(f"`mesh={text}`: {size!r} is no number from 1 on; {_FORM}")
        sizes[name] = int(size)
    return Axes(**sizes) if sizes else None


def check(axes: Axes | None) -> None:
    """Raises InputError for a mesh that the devices cannot make.

    One process may leave devices out; of many processes each must have a share.
    """
    if axes is None:
        return
    there = jax.device_count()
    fits = axes.devices == there if hosts.several() else axes.devices <= there
    if not fits:
        raise InputError(
            f"`mesh=data:{axes.data},model:{axes.model}` asks for {axes.devices} "
            f"devices of {there}; data times model must be "
            f"{'' if hosts.several() else 'at most '}{there}, or leave it out"
        )


def mesh_for(axes: Axes | None, needed: int) -> Mesh | None:
    """The mesh of these axes, or one that suits; None where one device is all.

    Args:
        needed: bytes that the devices of a `model` row hold between them.
    """
    axes = axes or _suiting(needed)
    if axes.devices == 1 and not hosts.several():
        return None
    # `model`, whose devices talk most, varies fastest and so stays within a host.
    devices = sorted(jax.devices(), key=lambda each: (each.process_index, each.id))
    grid = np.array(devices[: axes.devices]).reshape(axes.data, axes.model)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * 2)


def _suiting(needed: int) -> Axes:
    """All devices on `data`, but as few on `model` as its memory asks for."""
    count = jax.device_count()
    share = FOR_PARAMETERS * device.memory()
    fitting = (n for n in _divisors(count) if not share or needed <= n * share)
    model = hosts.number_from_first(next(fitting, count))
    return Axes(count // model, model)


def _divisors(count: int) -> Iterator[int]:
    return (n for n in range(1, count + 1) if count % n == 0)


def rows_multiple(mesh: Mesh | None) -> int:
    """What divides the rows of every batch."""
    return 1 if mesh is None else mesh.shape["data"]


def leaf_spec(path: str, shape: tuple[int, ...], model: int) -> PartitionSpec:
    """How a leaf is divided over `model`: large matrices along one axis, never along
    layers, which the scan walks; what divides evenly along none is on every device.

    A kernel is cut along the wider of inputs and outputs, so that the two of a
    feed-forward block meet without a change of place (Shoeybi et al. 2019, section 3);
    those of keys and values along their outputs, as queries are, so that heads meet.
    An embedding is cut by tokens if it can be, and with it the logits of a tied head.
    """
    undivided = PartitionSpec()
    if path.split("/")[-1] not in ("kernel", "embedding"):
        return undivided
    if np.prod(shape, dtype=np.int64) < SMALL:
        return undivided
    rows, columns = len(shape) - 2, len(shape) - 1
    wider_inputs = shape[rows] > shape[columns] and not path.endswith(OF_KEYS)
    prefers_rows = path.endswith("embedding") or wider_inputs
    for axis in (rows, columns) if prefers_rows else (columns, rows):
        if shape[axis] % model == 0:
            return PartitionSpec(*[None] * axis, "model")
    return undivided


def place_leaf(mesh: Mesh | None, path: str, leaf: np.ndarray) -> jax.Array:
    """A host array straight into its shards: no device ever holds all of it, unless
    all of it is its share."""
    if mesh is None:
        return jax.device_put(leaf)
    return _placed(mesh, leaf_spec(path, leaf.shape, mesh.shape["model"]), leaf)


def place_like(leaf: Array, host: Array) -> Array:
    """A host array into shards like those of a leaf of its shape."""
    if isinstance(leaf, np.ndarray) or not isinstance(leaf.sharding, NamedSharding):
        return host
    return _placed(leaf.sharding.mesh, leaf.sharding.spec, host)


def place_rows(mesh: Mesh | None, batch: Any) -> Any:
    """A tree of arrays with the rows of a batch on axis 0, divided over `data`. Every
    process has the whole batch and hands over what its devices need."""
    return _tree(mesh, PartitionSpec("data"), batch)


def place_everywhere(mesh: Mesh | None, tree: Any) -> Any:
    """A tree of arrays onto every device."""
    return _tree(mesh, PartitionSpec(), tree)


def everywhere(mesh: Mesh | None) -> NamedSharding | None:
    """How results come back: all of it on every device, for every process to read."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())


def _tree(mesh: Mesh | None, spec: PartitionSpec, tree: Any) -> Any:
    if mesh is None:
        return tree
    return jax.tree.map(lambda host: _placed(mesh, spec, host), tree)


def _placed(mesh: Any, spec: PartitionSpec, host: Array) -> jax.Array:
    sharding = NamedSharding(mesh, spec)
    return jax.make_array_from_callback(host.shape, sharding, lambda part: host[part])
