"""How linear layers are executed: which of them by kept weights only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32

from jaxsparse.sparse.build import Unavailable, library
from jaxsparse.sparse.crossover import crossover
from jaxsparse.sparse.kernels import SparseKernel, fits, pack
from jaxsparse.types import InputError

EXECUTIONS = ("dense", "sparse", "auto")

# Raised with every change of what is computed: a journal tells old scores by it.
REVISION = 1

Matrix = Float32[np.ndarray, "in out"]


@dataclass
class Execution:
    """dense: every linear layer is one product. sparse: those of pruned matrices, and
    of a loaded model all, multiply kept weights only. auto: those that gain by it.

    Attributes:
        crossovers: of shapes that were asked for so far, the density below which
            sparse execution gains.
        notes: what was found about this machine, in words; who tells it takes it out.
    """

    kind: str = "dense"
    crossovers: dict[tuple[int, int], float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, kind: str, dtype: str, mesh: Mesh | None) -> "Execution":
        """Raises InputError for what is not executed so."""
        check(kind, dtype, mesh is not None)
        if kind == "dense":
            return cls()
        try:
            library()
        except Unavailable as error:
            return cls(notes=[f"all execution is dense instead of {kind}: {error}"])
        return cls(kind)

    def is_sparse(self, shape: tuple[int, ...], density: float) -> bool:
        """Whether a matrix of a leaf of this shape is multiplied by kept weights."""
        if self.kind != "auto":
            return self.kind == "sparse"
        if density >= 1 or not fits(shape):
            return False
        inputs, outputs = shape[-2:]
        if (inputs, outputs) not in self.crossovers:
            found = self.crossovers[inputs, outputs] = crossover(inputs, outputs)
            gains = f"above {1 - found:.0%} sparsity" if found else "nowhere"
            self.notes.append(
                f"sparse execution of {inputs} → {outputs} gains {gains} here"
            )
        return bool(density < self.crossovers[inputs, outputs])


def identity(kind: str) -> dict[str, str | int]:
    """What decides the scores of a model that is executed so; nothing of a dense one,
    whose keys stay."""
    return {} if kind == "dense" else {"execution": kind, "sparse_revision": REVISION}


def check(kind: str, dtype: str, divided: bool, levels_at_once: int = 0) -> None:
    """Raises InputError for what is not executed so.

    Args:
        divided: whether a mesh divides the model among devices.
        levels_at_once: variants that one call shall compute.
    """
    if kind not in EXECUTIONS:
        raise InputError(f"`execution={kind}`: choose one of {', '.join(EXECUTIONS)}")
    if kind == "dense":
        return
    if dtype != "float32":
        raise InputError(f"`execution={kind}`: float32 only, not `dtype={dtype}`")
    faster = "; smaller shapes are faster there: `pattern=neurons` or `pattern=layers`"
    if (platform := jax.default_backend()) != "cpu":
        raise InputError(f"`execution={kind}`: on CPUs only, not on {platform}{faster}")
    if divided:
        raise InputError(
            f"`execution={kind}`: on one device, as `mesh=data:1` has it, not on "
            f"several{faster}"
        )
    if levels_at_once > 1:
        raise InputError(
            f"`execution={kind}`: one sparsity at a time, not "
            f"`levels_at_once={levels_at_once}`; leave it out"
        )


def by_zeros(leaf: Float32[np.ndarray, "... in out"], execution: Execution) -> object:
    """A leaf of kernels as it is executed: by the zeros that it holds."""
    stacked = leaf if leaf.ndim == 3 else leaf[None]
    densities = {
        layer: np.count_nonzero(matrix) / max(matrix.size, 1)
        for layer, matrix in enumerate(stacked)
    }
    is_sparse = {
        layer: execution.is_sparse(leaf.shape, density)
        for layer, density in densities.items()
    }
    if not any(is_sparse.values()):
        return leaf
    (kernel,) = pack(
        leaf.shape,
        lambda layer: (stacked[layer], (stacked[layer] != 0).view(np.uint8)),
        1,
        {layer: densities[layer] for layer, sparse in is_sparse.items() if sparse},
    )
    return with_dense(kernel, is_sparse, stacked.__getitem__)


def with_dense(
    kernel: SparseKernel,
    is_sparse: Mapping[int, bool],
    matrix: Callable[[int], Matrix],
) -> SparseKernel:
    """The same with the layers that are not sparse."""
    dense = [layer for layer, sparse in is_sparse.items() if not sparse]
    if not dense:
        return kernel
    place = np.full(len(is_sparse), -1, np.int32)
    place[dense] = range(len(dense))
    return replace(
        kernel,
        dense=jnp.stack([jnp.asarray(matrix(layer)) for layer in dense]),
        place=jnp.asarray(place),
    )
