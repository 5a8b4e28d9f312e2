"""One table per family, read both ways: Hugging Face names <-> parameter paths.

A rule names one leaf. `{i}` in its Hugging Face name counts layers, which the leaf
stacks on axis 0. Tables are total: a tensor that no rule, tie or buffer accounts for
is an error, and so is a leaf without its tensors.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxsparse.types import InputError, Leaves

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Codec:
    """How one tensor of a file becomes one (layer's share of a) leaf, and back."""

    to_leaf: Callable[[np.ndarray], np.ndarray]
    to_hf: Callable[[np.ndarray], np.ndarray]
    hf_shape: Callable[[Shape], Shape]


IDENTITY = _Codec(lambda x: x, lambda x: x, lambda shape: shape)
TRANSPOSED = _Codec(lambda x: x.T, lambda x: x.T, lambda shape: shape[::-1])


@dataclass(frozen=True)
class Rule:
    hf_name: str
    path: str
    codec: _Codec = IDENTITY

    @property
    def stacked(self) -> bool:
        return "{i}" in self.hf_name

    def names(self, shape: Shape) -> tuple[str, ...]:
        """The tensors of a leaf of this shape, in layer order."""
        if not self.stacked:
            return (self.hf_name,)
        return tuple(self.hf_name.replace("{i}", str(i)) for i in range(shape[0]))

    def hf_shape(self, shape: Shape) -> Shape:
        """The shape of each tensor of a leaf of this shape."""
        return self.codec.hf_shape(shape[1:] if self.stacked else shape)


@dataclass(frozen=True)
class Tied:
    """A tensor that repeats another: checked equal, then dropped, unless a rule is
    active for it (a head that is not tied). Without the other it serves for both."""

    hf_name: str
    of: str


@dataclass(frozen=True)
class Rename:
    """An old name's beginning, and what it is called now."""

    pattern: str
    replacement: str

    def apply(self, name: str) -> str:
        match = re.match(self.pattern, name)
        if match is None:
            return name
        return match.expand(self.replacement) + name[match.end() :]


@dataclass(frozen=True)
class Table:
    rules: tuple[Rule, ...]
    tied: tuple[Tied, ...] = ()
    buffers: tuple[str, ...] = ()  # patterns of tensors that hold no parameters
    renames: tuple[Rename, ...] = ()

    def current_name(self, name: str) -> str:
        for rename in self.renames:
            name = rename.apply(name)
        return name


def embedding(hf_name: str, path: str) -> tuple[Rule, ...]:
    return (Rule(f"{hf_name}.weight", f"{path}/embedding"),)


def linear(hf_name: str, path: str) -> tuple[Rule, ...]:
    """torch's Linear holds (out, in)."""
    return (*kernel(hf_name, path), Rule(f"{hf_name}.bias", f"{path}/bias"))


def kernel(hf_name: str, path: str) -> tuple[Rule, ...]:
    """A Linear without bias."""
    return (Rule(f"{hf_name}.weight", f"{path}/kernel", TRANSPOSED),)


def conv1d(hf_name: str, path: str) -> tuple[Rule, ...]:
    """GPT-2's Conv1D is (in, out) already."""
    return (
        Rule(f"{hf_name}.weight", f"{path}/kernel"),
        Rule(f"{hf_name}.bias", f"{path}/bias"),
    )


def norm(hf_name: str, path: str) -> tuple[Rule, ...]:
    return (*rms_norm(hf_name, path), Rule(f"{hf_name}.bias", f"{path}/bias"))


def rms_norm(hf_name: str, path: str) -> tuple[Rule, ...]:
    return (Rule(f"{hf_name}.weight", f"{path}/scale"),)


@dataclass(frozen=True)
class Plan:
    """How a particular file and a particular configuration meet: every name accounted
    for, every shape right. Names on the left are the file's own."""

    rules: tuple[Rule, ...]  # those of this configuration, one per leaf
    shapes: Mapping[str, Shape]  # leaf path -> shape
    file_names: Mapping[str, str]  # current name -> name in the file
    repeats: tuple[Tied, ...]  # to check equal, and drop

    def tensors(self) -> dict[str, str]:
        """Current name -> name in the file, of the tensors that leaves are made of."""
        return {
            name: self.file_names[name]
            for rule in self.rules
            for name in rule.names(self.shapes[rule.path])
        }


def plan(
    table: Table, leaves: Mapping[str, Shape], tensors: Mapping[str, Shape]
) -> Plan:
    """Matches the tensors of a file to the leaves of a model, by header alone.

    Args:
        leaves: parameter path -> shape, as the configuration has it.
        tensors: name in the file -> shape.

    Raises:
        InputError: missing, left-over, doubled or mis-shaped tensors, all of a kind
            at once, with names.
    """
    rules = active_rules(table, leaves)
    layers = max(leaves[rule.path][0] for rule in rules if rule.stacked)
    if layers > len(tensors):
        raise InputError(
            f"config.json has {layers} layers, but there are {len(tensors)} tensors; "
            "config.json and weights do not belong together"
        )
    expected = {
        name: rule.hf_shape(leaves[rule.path])
        for rule in rules
        for name in rule.names(leaves[rule.path])
    }
    file_names = current_names(table, tensors)
    repeats = [
        tied
        for tied in table.tied
        if tied.hf_name in file_names and tied.hf_name not in expected
    ]
    known = expected.keys() | {tied.hf_name for tied in repeats}
    for tied in repeats:
        file_names.setdefault(tied.of, file_names[tied.hf_name])
    problems = {
        "missing": [name for name in expected if name not in file_names],
        "not known to this configuration": [
            file_names[name]
            for name in file_names
            if name not in known and not _is_buffer(table, name)
        ],
        "of the wrong shape": [
            f"{file_names[name]} {tensors[file_names[name]]}, expected {shape}"
            for name, shape in expected.items()
            if name in file_names and tuple(tensors[file_names[name]]) != shape
        ],
    }
    for problem, names in problems.items():
        if names:
            raise InputError(
                f"tensors {problem}: {listing(names)}; "
                "config.json and weights do not belong together"
            )
    return Plan(rules, dict(leaves), file_names, tuple(repeats))


def of_other_shapes(
    plan: Plan, leaves: Mapping[str, Shape], kept: Mapping[str, Sequence[int]]
) -> Plan:
    """The plan of a model that has lost parts of its arrays: each tensor that is left
    goes on being that of the file which it was, whatever its layer's number is now.

    Args:
        leaves: parameter path -> shape, as it is now.
        kept: path of a stack -> which of its layers are left.
    """
    file_names = dict(plan.file_names)
    for rule in plan.rules:
        for stack, numbers in kept.items():
            if rule.stacked and rule.path.startswith(f"{stack}/"):
                before = [file_names.pop(n) for n in rule.names(plan.shapes[rule.path])]
                left = (before[number] for number in numbers)
                names = rule.names(leaves[rule.path])
                file_names |= dict(zip(names, left, strict=True))
    return Plan(plan.rules, dict(leaves), file_names, plan.repeats)


def active_rules(table: Table, leaves: Mapping[str, Shape]) -> tuple[Rule, ...]:
    """The rules of this configuration's leaves, one per leaf."""
    rules = tuple(rule for rule in table.rules if rule.path in leaves)
    assert len(rules) == len(leaves), leaves.keys() ^ {rule.path for rule in rules}
    return rules


def name_of(rules: Iterable[Rule], path: str) -> str:
    """The tensor of an unstacked leaf."""
    return next(rule.hf_name for rule in rules if rule.path == path)


def listing(names: Iterable[str], most: int = 3) -> str:
    """The first few names and the number of the rest, for an error message."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def current_names(table: Table, tensors: Iterable[str]) -> dict[str, str]:
    """Current name -> name in the file, for every tensor of a file."""
    file_names: dict[str, str] = {}
    for name in tensors:
        current = table.current_name(name)
        if current in file_names:
            raise InputError(
                f"tensors {file_names[current]} and {name} are one parameter, {current}"
            )
        file_names[current] = name
    return file_names


def may_be_absent(table: Table, name: str) -> bool:
    """Whether a file may lack what its index names: one of two tied tensors, which
    `plan` misses if it is needed, or a buffer."""
    current = table.current_name(name)
    twins = {name for tied in table.tied for name in (tied.hf_name, tied.of)}
    return current in twins or _is_buffer(table, current)


def _is_buffer(table: Table, name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in table.buffers)


def from_hf(
    plan: Plan,
    read: Callable[[str], np.ndarray],
    dtype: np.dtype,
    put: Callable[[str, np.ndarray], object],
) -> dict[str, object]:
    """Fills one leaf at a time: the largest is the most that waits on the host.

    Args:
        read: name in the file -> tensor.
        put: takes a finished leaf to its device.

    Returns:
        leaf path -> what `put` made of it.
    """
    leaves = {}
    for rule in plan.rules:
        shape = plan.shapes[rule.path]
        leaf = np.empty(shape, dtype)
        slots = leaf if rule.stacked else leaf[None]
        for slot, name in zip(slots, rule.names(shape), strict=True):
            slot[...] = rule.codec.to_leaf(read(plan.file_names[name]))
        leaves[rule.path] = put(rule.path, leaf)
    return leaves


def to_hf(rules: Iterable[Rule], leaves: Leaves) -> dict[str, Callable[[], np.ndarray]]:
    """The tensors of a checkpoint by current name, each made only when asked for.

    Args:
        leaves: arrays, or what has a shape and gives layers by number.
    """
    tensors: dict[str, Callable[[], np.ndarray]] = {}
    for rule in rules:
        leaf = leaves[rule.path]
        for number, name in enumerate(rule.names(leaf.shape)):
            layer = number if rule.stacked else None
            tensors[name] = functools.partial(_tensor, rule.codec, leaf, layer)
    return tensors


def _tensor(codec: _Codec, leaf: Any, layer: int | None) -> np.ndarray:
    values = np.asarray(leaf if layer is None else leaf[layer])
    return np.ascontiguousarray(codec.to_hf(values))


def equal(read: Callable[[str], np.ndarray], name: str, other: str) -> bool:
    """Whether two tensors of a file hold the same values."""
    first, second = read(name), read(other)
    return first.shape == second.shape and bool(np.array_equal(first, second))
