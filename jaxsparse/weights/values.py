"""Values of tensors: read once, refused where no model can use them, and digested."""

import hashlib
import math

import jax.numpy as jnp
import numpy as np

from jaxsparse.progress import Progress
from jaxsparse.types import InputError
from jaxsparse.weights import rules
from jaxsparse.weights.reading import Checkpoint


def file_bytes(checkpoint: Checkpoint, plan: rules.Plan) -> int:
    """What the parameters take in their files."""
    shapes, dtypes = checkpoint.shapes, checkpoint.dtypes
    return sum(
        math.prod(shapes[name]) * dtypes[name].itemsize
        for name in plan.tensors().values()
    )


def check_repeats(checkpoint: Checkpoint, plan: rules.Plan) -> None:
    """Tensors that are dropped as repeating another must do so.

    Raises:
        InputError: one differs, with its name.
    """
    read, names = checkpoint.read, plan.file_names
    for tied in plan.repeats:
        if not rules.equal(read, names[tied.hf_name], names[tied.of]):
            raise InputError(
                f"{checkpoint.directory}: tensor {names[tied.hf_name]} "
                f"should repeat {names[tied.of]} but differs; the checkpoint is damaged"
            )


def read_finite(checkpoint: Checkpoint, name: str, dtype: str) -> np.ndarray:
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


class Inspector:
    """Reads tensors, refuses values that are not finite, and keeps their digests."""

    def __init__(self, checkpoint: Checkpoint, dtype: str, progress: Progress):
        self._checkpoint = checkpoint
        self._dtype = dtype
        self._progress = progress
        self.digests: dict[str, str] = {}

    def read(self, name: str) -> np.ndarray:
        tensor = read_finite(self._checkpoint, name, self._dtype)
        content = hashlib.sha256(f"{tensor.dtype} {tensor.shape}".encode())
        content.update(np.ascontiguousarray(tensor).view(np.uint8).reshape(-1).data)
        self.digests[name] = content.hexdigest()
        self._progress.done(tensor.nbytes)
        return tensor
