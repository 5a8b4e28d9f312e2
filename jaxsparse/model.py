"""A model, from its name to its record: configuration, parameters, tokenizer, apply.

Opening reads configuration and tensor headers only, so that a run can check all its
models, and its questions against them, before it loads the first weights.
"""

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxsparse import parallel, trees
from jaxsparse.models import FAMILIES, Family, Tensors
from jaxsparse.models.config import Reader
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError, Leaves
from jaxsparse.weights import hub, reading, rules, writing
from jaxsparse.weights.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DTYPES = ("float32", "bfloat16")

Apply = Callable[[Leaves, Any], jax.Array]


@dataclass(frozen=True)
class Blueprint:
    """All that is known of a model before its weights are read."""

    name: str  # as typed; a directory by its last component
    family: Family
    config: Any  # the family's frozen dataclass
    tokenizer: "PreTrainedTokenizerFast"
    checkpoint: reading.Checkpoint
    plan: rules.Plan


@dataclass(frozen=True)
class Model:
    """A loaded model. `apply(params, inputs)` gives float32 outputs, at the scored
    positions of `inputs` only; `params` may be pruned."""

    blueprint: Blueprint
    params: Leaves
    apply: Apply
    dtype: str
    digest: str  # of the weights' content, the configuration and the tokenizer
    mesh: Mesh | None = None  # None: all of it is on one device

    @property
    def name(self) -> str:
        return self.blueprint.name

    @property
    def family(self) -> str:
        return self.blueprint.family.name

    @property
    def config(self) -> Any:
        return self.blueprint.config

    @property
    def compiler_options(self) -> dict[str, Any]:
        """What XLA must be told when it compiles `apply`.

        On CPUs it widens bfloat16 kernels to float32 for the matrix product, and would
        do so before the scan, for all layers at once: three times the memory.
        """
        if self.dtype == "bfloat16" and jax.default_backend() == "cpu":
            return {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}
        return {}

    @property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        return self.blueprint.tokenizer

    def prunable(self, prunable: str) -> tuple[str, ...]:
        """The paths of the leaves that `--prunable` names."""
        return self.blueprint.family.prunable.paths(self.params, prunable)


def load_model(
    name_or_dir: str, dtype: str = "float32", mesh: Mesh | None = None
) -> Model:
    """Loads a checkpoint in Hugging Face format.

    Args:
        name_or_dir: a local directory, an alias such as gpt2-small, or a hub id.
        dtype: of weights and activations, float32 or bfloat16.
        mesh: devices to divide the parameters among, as `parallel.mesh_for` makes it.

    Raises:
        InputError: what cannot be found, read or understood, with names.
    """
    return load(open_model(name_or_dir), dtype, mesh)


def open_model(name_or_dir: str) -> Blueprint:
    """Reads configuration, tensor headers and tokenizer, and checks that they fit."""
    directory = hub.find(name_or_dir)
    name = name_or_dir
    if (given := Path(os.path.expanduser(name_or_dir))).is_dir():
        name = os.path.basename(os.path.abspath(given))
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    checkpoint = reading.open_checkpoint(directory)
    try:
        family, config = _configure(checkpoint)
        plan = rules.plan(family.table, family.shapes(config), checkpoint.shapes)
    except InputError as error:
        raise InputError(f"{directory}: {error}") from None
    known = functools.partial(rules.may_be_absent, family.table)
    reading.check_index(checkpoint, known)
    tokenizer = load_tokenizer(directory)
    return Blueprint(name, family, config, tokenizer, checkpoint, plan)


def _configure(checkpoint: reading.Checkpoint) -> tuple[Family, Any]:
    model_type = checkpoint.config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"config.json: unknown model_type {model_type!r}; "
            f"known: {', '.join(FAMILIES)}"
        )
    family = FAMILIES[model_type]
    reader = Reader(checkpoint.config)
    file_names = rules.current_names(family.table, checkpoint.shapes)
    tensors = Tensors(
        {name: checkpoint.shapes[file] for name, file in file_names.items()},
        lambda one, other: (
            not rules.equal(checkpoint.read, file_names[one], file_names[other])
        ),
    )
    config = family.read_config(reader, tensors)
    reader.finish()
    return family, config


def load(
    blueprint: Blueprint,
    dtype: str = "float32",
    mesh: Mesh | None = None,
    progress: Progress = NOBODY,
) -> Model:
    """Streams the weights to their devices, checking every value on the way."""
    if dtype not in DTYPES:
        raise InputError(f"--dtype={dtype}: unknown; known: {', '.join(DTYPES)}")
    progress.stage("loading", file_bytes(blueprint), unit="bytes", patient=True)
    inspector = _Inspector(blueprint.checkpoint, dtype, progress)
    _check_repeats(blueprint)
    leaves = rules.from_hf(
        blueprint.plan,
        inspector.read,
        np.dtype(dtype),
        lambda path, leaf: parallel.place_leaf(mesh, path, leaf),
    )
    return Model(
        blueprint=blueprint,
        params=leaves,
        apply=make_apply(blueprint.family, blueprint.config, dtype),
        dtype=dtype,
        digest=_digest(blueprint, inspector.digests),
        mesh=mesh,
    )


def parameter_bytes(blueprint: Blueprint, dtype: str = "float32") -> int:
    """What the parameters take once they are loaded."""
    elements = sum(math.prod(shape) for shape in blueprint.plan.shapes.values())
    return elements * np.dtype(dtype).itemsize


def file_bytes(blueprint: Blueprint) -> int:
    """What the parameters take in their files."""
    shapes, dtypes = blueprint.checkpoint.shapes, blueprint.checkpoint.dtypes
    return sum(
        math.prod(shapes[name]) * dtypes[name].itemsize
        for name in blueprint.plan.tensors().values()
    )


def check_values(
    blueprint: Blueprint,
    dtype: str = "float32",
    progress: Progress = NOBODY,
) -> None:
    """Reads every weight once, for a run with several models: what is wrong with the
    last of them must be known before the first is scored."""
    size, stage = file_bytes(blueprint), f"{blueprint.name} · checking weights"
    progress.stage(stage, size, unit="bytes", patient=True)
    _check_repeats(blueprint)
    for name in blueprint.plan.tensors().values():
        progress.done(_read_finite(blueprint.checkpoint, name, dtype).nbytes)


def _check_repeats(blueprint: Blueprint) -> None:
    """Tensors that are dropped as repeating another must do so."""
    read, names = blueprint.checkpoint.read, blueprint.plan.file_names
    for tied in blueprint.plan.repeats:
        if not rules.equal(read, names[tied.hf_name], names[tied.of]):
            raise InputError(
                f"{blueprint.checkpoint.directory}: tensor {names[tied.hf_name]} "
                f"should repeat {names[tied.of]} but differs; the checkpoint is damaged"
            )


def _read_finite(checkpoint: reading.Checkpoint, name: str, dtype: str) -> np.ndarray:
    """One tensor. Raises InputError unless it holds floats, all finite in `dtype`."""
    tensor = checkpoint.read(name)
    where = f"{checkpoint.directory}: tensor {name}"
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise InputError(
            f"{where} has dtype {tensor.dtype}, not a float; quantized checkpoints "
            "are not supported"
        )
    wide = tensor if tensor.dtype.itemsize >= 4 else tensor.astype(np.float32)
    largest = np.maximum(wide.max(), -wide.min())  # NaN if there is one
    if not np.isfinite(largest):
        raise InputError(
            f"{where} holds {np.count_nonzero(~np.isfinite(wide))} values that are NaN "
            "or infinite; the checkpoint is damaged"
        )
    if largest > float(jnp.finfo(dtype).max):
        raise InputError(f"{where} holds {largest:g}, which does not fit into {dtype}")
    return tensor


class _Inspector:
    """Reads tensors, refuses values that are not finite, and keeps their digests."""

    def __init__(self, checkpoint: reading.Checkpoint, dtype: str, progress: Progress):
        self._checkpoint = checkpoint
        self._dtype = dtype
        self._progress = progress
        self.digests: dict[str, str] = {}

    def read(self, name: str) -> np.ndarray:
        tensor = _read_finite(self._checkpoint, name, self._dtype)
        content = hashlib.sha256(f"{tensor.dtype} {tensor.shape}".encode())
        content.update(np.ascontiguousarray(tensor).view(np.uint8).reshape(-1).data)
        self.digests[name] = content.hexdigest()
        self._progress.done(tensor.nbytes)
        return tensor


def _digest(blueprint: Blueprint, digests: Mapping[str, str]) -> str:
    """By current names: the same weights in another file have the same digest."""
    content = hashlib.sha256(repr(blueprint.config).encode())
    content.update(blueprint.tokenizer.backend_tokenizer.to_str().encode())
    for name, file in sorted(blueprint.plan.tensors().items()):
        content.update(f"{name} {digests[file]}\n".encode())
    return content.hexdigest()


def make_apply(
    family: Family, config: Any, dtype: str, everywhere: bool = False
) -> Apply:
    """The forward function of a configuration; float32 is float32 on every device.

    Args:
        everywhere: as training wants it: the last layer at every position, too, which
            takes longer, but whose gradient takes less.
    """
    module = family.module(config, jnp.dtype(dtype), everywhere)
    precision = "highest" if dtype == "float32" else "default"

    def apply(params: Leaves, inputs: Any) -> jax.Array:
        nested = trees.unflatten(params)
        with jax.default_matmul_precision(precision):
            return module.apply({"params": nested}, inputs)  # pyright: ignore[reportReturnType]

    return apply


def untie(model: Model) -> Model:
    """The same model with a head of its own, as pruning the head by itself needs it.

    A model without a tied head is returned as it is.
    """
    blueprint = model.blueprint
    if not model.config.tied:
        return model
    config = model.config.untied()
    leaves = blueprint.family.untie(model.params)
    return dataclasses.replace(
        model,
        blueprint=dataclasses.replace(blueprint, config=config),
        params=leaves,
        apply=make_apply(blueprint.family, config, model.dtype),
    )


def export(
    model: Model,
    params: Leaves,
    directory: Path,
    progress: Progress = NOBODY,
) -> None:
    """Writes a directory that transformers loads: current names, the file's own dtypes.

    Args:
        params: those of `model`, pruned or not.
        directory: must not exist yet.
    """
    blueprint = model.blueprint
    leaves = {path: np.asarray(leaf) for path, leaf in params.items()}
    shapes = {path: leaf.shape for path, leaf in leaves.items()}
    active = rules.active_rules(blueprint.family.table, shapes)
    made = rules.to_hf(active, leaves)
    file_names = blueprint.plan.file_names
    embedding = rules.name_of(active, blueprint.family.head[1])
    tensors = {}
    for rule in active:
        for name in rule.names(shapes[rule.path]):
            # A head untied here is in no file yet: it was the embedding.
            file = file_names.get(name, file_names[embedding])
            dtype = _file_dtype(blueprint.checkpoint.dtypes[file], model.dtype)
            shape = rule.hf_shape(shapes[rule.path])
            tensors[name] = writing.Tensor(shape, dtype, made[name])
    writing.write_checkpoint(
        directory,
        blueprint.checkpoint.directory,
        blueprint.family.config_to_hf(model.config, blueprint.checkpoint.config),
        tensors,
        progress,
    )


def _file_dtype(file: np.dtype, loaded: str) -> np.dtype:
    """The file's dtype, unless values were loaded in one that does not fit into it, or
    were rounded: of float64, float32 is left."""
    if file == np.float64:
        return np.dtype(np.float32)
    if loaded == "float32" or file == np.float32:
        return file
    return np.dtype(loaded)
