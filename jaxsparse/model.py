"""A model, from its name to its record: configuration, parameters, tokenizer, apply.

Opening reads configuration and tensor headers only, so that a run can check all its
models, and its questions against them, before it loads the first weights.
"""

import dataclasses
import functools
import hashlib
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.sharding import Mesh

from jaxsparse import device, parallel, sparse
from jaxsparse.models import FAMILIES, PRUNABLE, Family, Tensors
from jaxsparse.models.apply import Apply, make_apply
from jaxsparse.models.config import Reader, refuse_by_name
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError, Leaves
from jaxsparse.weights import hub, reading, rules, values, writing
from jaxsparse.weights.tokenizer import first_token, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DTYPES = ("float32", "bfloat16")


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
    form: device.Form = device.CPU  # how `apply` is computed
    execution: str = "dense"  # of what `params` hold; see `sparse.EXECUTIONS`

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
        """What XLA must be told when it compiles `apply`."""
        return self.form.compiler_options(self.dtype)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        return self.blueprint.tokenizer

    def prunable(self, prunable: str) -> tuple[str, ...]:
        """The paths of the leaves that `prunable` names.

        Raises:
            InputError: it names none.
        """
        if prunable not in PRUNABLE:
            raise InputError(
                f"`prunable={prunable}`: choose one of {', '.join(PRUNABLE)}"
            )
        return self.blueprint.family.prunable.paths(self.params, prunable)


def load_model(
    name_or_dir: str,
    dtype: str = "float32",
    mesh: Mesh | None = None,
    execution: str = "dense",
) -> Model:
    """Loads a checkpoint in Hugging Face format.

    Args:
        name_or_dir: a local directory, an alias such as gpt2-small, or a hub id.
        dtype: of weights and activations, float32 or bfloat16.
        mesh: devices to divide the parameters among, as `parallel.mesh_for` makes it.
        execution: dense; sparse, where all linear layers multiply only the weights that
            the file does not have as zero; or auto, where those do that gain by it. For
            models that are scored, not pruned or written.

    Raises:
        InputError: what cannot be found, read or understood, with names; what is not
            executed so.
    """
    how = sparse.Execution.of(execution, dtype, mesh)
    if how.kind != execution:
        warnings.warn(how.notes[0], stacklevel=2)
    return load(open_model(name_or_dir), dtype, mesh, execution=how)


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
    refuse_by_name(checkpoint.config)
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
        lambda first, second: (
            not rules.equal(checkpoint.read, file_names[first], file_names[second])
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
    form: device.Form | None = None,
    execution: sparse.Execution | None = None,
) -> Model:
    """Streams the weights to their devices, checking every value on the way.

    Args:
        form: how the model is computed; None: as suits the devices.
        execution: of its linear layers; None: dense. Leaf by leaf, so that a dense one
            is gone before the next comes.
    """
    if dtype not in DTYPES:
        raise InputError(f"`dtype={dtype}`: unknown; known: {', '.join(DTYPES)}")
    form = form or device.current()
    checkpoint, plan = blueprint.checkpoint, blueprint.plan
    size = values.file_bytes(checkpoint, plan)
    progress.stage("loading", size, unit="bytes", patient=True)
    inspector = values.Inspector(checkpoint, dtype, progress)
    values.check_repeats(checkpoint, plan)

    def put(path: str, leaf: Any) -> object:
        if execution and execution.kind != "dense" and path.endswith("kernel"):
            leaf = sparse.by_zeros(leaf, execution)
        if isinstance(leaf, sparse.SparseKernel):
            return leaf
        return parallel.place_leaf(mesh, path, leaf)

    leaves = rules.from_hf(plan, inspector.read, np.dtype(dtype), put)
    is_sparse = any(isinstance(leaf, sparse.SparseKernel) for leaf in leaves.values())
    return Model(
        blueprint=blueprint,
        params=leaves,
        apply=make_apply(blueprint.family, blueprint.config, dtype, form),
        dtype=dtype,
        digest=_digest(blueprint, inspector.digests),
        mesh=mesh,
        form=form,
        execution=execution.kind if execution and is_sparse else "dense",
    )


def parameter_bytes(blueprint: Blueprint, dtype: str = "float32") -> int:
    """What the parameters take once they are loaded."""
    elements = sum(math.prod(shape) for shape in blueprint.plan.shapes.values())
    return elements * np.dtype(dtype).itemsize


def check_values(
    blueprint: Blueprint,
    dtype: str = "float32",
    progress: Progress = NOBODY,
) -> None:
    """Reads every weight once, for a run with several models: what is wrong with the
    last of them must be known before the first is scored."""
    checkpoint, plan = blueprint.checkpoint, blueprint.plan
    size = values.file_bytes(checkpoint, plan)
    stage = f"{blueprint.name} · checking weights"
    progress.stage(stage, size, unit="bytes", patient=True)
    values.check_repeats(checkpoint, plan)
    for name in plan.tensors().values():
        progress.done(values.read_finite(checkpoint, name, dtype).nbytes)


def _digest(blueprint: Blueprint, digests: Mapping[str, str]) -> str:
    """By current names: the same weights in another file have the same digest."""
    content = hashlib.sha256(repr(blueprint.config).encode())
    content.update(blueprint.tokenizer.backend_tokenizer.to_str().encode())
    if blueprint.config.reading == "causal" and blueprint.family.name != "gpt2":
        # Of which the tokenizer's own content does not tell, but for GPT-2's.
        first = first_token(blueprint.tokenizer, blueprint.config)
        content.update(f"first {first}\n".encode())
    for name, file in sorted(blueprint.plan.tensors().items()):
        content.update(f"{name} {digests[file]}\n".encode())
    return content.hexdigest()


def untie(model: Model) -> Model:
    """The same model with a head of its own, as pruning the head by itself needs it.

    A model without a tied head is returned as it is.
    """
    blueprint = model.blueprint
    if not model.config.tied:
        return model
    config = model.config.untied()
    return dataclasses.replace(
        model,
        blueprint=dataclasses.replace(blueprint, config=config),
        params=blueprint.family.untie(model.params),
        apply=make_apply(blueprint.family, config, model.dtype, model.form),
    )


def save_leaves(
    model: Model,
    leaves: Leaves,
    directory: Path,
    progress: Progress = NOBODY,
    beside: Callable[[Path], None] | None = None,
    format: str = "dense",
) -> writing.Sizes:
    """Writes a directory that transformers loads: current names, the file's own dtypes.

    Args:
        leaves: in place of the model's, see `rules.to_hf`; their shapes are those of
            its configuration.
        directory: must not exist yet.
        beside: writes what else the directory shall hold.
        format: dense, or bitmask, see `writing.write_checkpoint`.
    """
    blueprint = model.blueprint
    shapes = {path: tuple(leaf.shape) for path, leaf in leaves.items()}
    active = rules.active_rules(blueprint.family.table, shapes)
    made = rules.to_hf(active, leaves)
    file_names = blueprint.plan.file_names
    embedding = rules.name_of(active, blueprint.family.head[1])
    tensors = {}
    for rule in active:
        for name in rule.names(shapes[rule.path]):
            # A head untied here is in no file yet: it was the embedding.
            file = file_names.get(name, file_names[embedding])
            dtype = writing.kept_dtype(blueprint.checkpoint.dtypes[file], model.dtype)
            shape = rule.hf_shape(shapes[rule.path])
            tensors[name] = writing.Tensor(shape, dtype, made[name])
    return writing.write_checkpoint(
        directory,
        blueprint.checkpoint.directory,
        blueprint.family.config_to_hf(model.config, blueprint.checkpoint.config),
        tensors,
        progress,
        beside,
        format,
    )
