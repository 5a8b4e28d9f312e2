"""Variants whose linear layers multiply only what is kept. Their scores are those of
dense execution but for rounding."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jaxsparse import trees
from jaxsparse.sparse import Execution, SparseKernel, pack, with_dense
from jaxsparse.sparse import identity as sparse_identity
from jaxsparse.variants import Variant, weights_of

PRUNED = 0.001  # zeros of a file above which its model counts as pruned
NEAR = 4  # times as much is kept at one sparsity as at another of the same packing

Densities = dict[int, float]  # by layer


def executed(variants: Sequence[Variant], execution: Execution) -> list[Variant]:
    """The same variants, executed so; those that are dense all the same keep their
    identity. So are smaller models: what is left of them is not pruned.

    Where masks nest, sparsities that are near share a packing; one is held at a time.
    """
    if execution.kind == "dense":
        return list(variants)
    packing = _Packing(execution)
    levels: dict[int, list[Variant]] = {}
    for variant in variants:
        if variant.nested is not None:
            levels.setdefault(id(variant.nested), []).append(variant)
    return [
        _executed(variant, levels.get(id(variant.nested), [variant]), packing)
        for variant in variants
    ]


def _executed(
    variant: Variant, levels: Sequence[Variant], packing: "_Packing"
) -> Variant:
    """
    Args:
        levels: the variants whose masks nest, this one among them, ascending.
    """
    execution = packing.execution
    densities = _densities(variant)
    sparse = {
        path: {
            layer: execution.is_sparse(variant.shapes[path].shape, density)
            for layer, density in of_path.items()
        }
        for path, of_path in densities.items()
    }
    sparse = {path: which for path, which in sparse.items() if any(which.values())}
    if not sparse:
        return replace(variant, execution=execution.kind)

    def leaf(path: str) -> object:
        if path not in sparse:
            return variant.leaf(path)
        kernel = packing.kernel(variant, levels, path, densities[path])
        return with_dense(
            kernel, sparse[path], lambda layer: variant.layer(path, layer)
        )

    identity = {**variant.identity, **sparse_identity(execution.kind)}
    return replace(variant, leaf=leaf, identity=identity, execution=execution.kind)


def _densities(variant: Variant) -> dict[str, Densities]:
    """What is kept of each linear layer's matrices; of a model that no recipe pruned,
    what its file left of them."""
    found: dict[str, Densities] = {}
    if variant.recipe.structured and variant.sparsity:
        return found  # what its matrices call pruned is not in its arrays
    for matrix in variant.matrices:
        if matrix.path.endswith("kernel"):
            of_path = found.setdefault(matrix.path, {})
            of_path[matrix.layer] = 1 - matrix.pruned / max(matrix.weights, 1)
    if variant.sparsity or variant.achieved_sparsity < PRUNED:
        return found
    for path in variant.shapes:
        if path.endswith("kernel"):
            leaf = np.asarray(variant.model.params[path])
            found[path] = {
                layer: np.count_nonzero(matrix) / max(matrix.size, 1)
                for layer, matrix in enumerate(trees.matrices(leaf))
            }
    return found


@dataclass
class _Packing:
    """What is packed for the variants that are scored now."""

    execution: Execution
    _of: object = None
    # By path: the first level of those packed together, and the kernel of each.
    _kernels: dict[str, tuple[int, list[SparseKernel]]] = field(default_factory=dict)

    def kernel(
        self,
        variant: Variant,
        levels: Sequence[Variant],
        path: str,
        densities: Densities,
    ) -> SparseKernel:
        if self._of is not variant.nested:
            self._of, self._kernels = variant.nested, {}
        if variant.nested is None:
            return _by_values(variant, path, densities)
        together = self._together(variant, levels, path)
        first = together[0].level
        if path not in self._kernels or self._kernels[path][0] != first:
            self._kernels.pop(path, None)  # gone before the next is there
            self._kernels[path] = first, _packed(together, path)
        return self._kernels[path][1][variant.level - first]

    def _together(
        self, variant: Variant, levels: Sequence[Variant], path: str
    ) -> list[Variant]:
        """The levels of one packing, this one among them. Weights that only others
        keep would lie between theirs, and are not packed."""
        portions: list[list[Variant]] = []
        largest = 0.0
        for of_level in levels:
            densities = _densities(of_level)[path].values()
            shape = of_level.shapes[path].shape
            if not any(self.execution.is_sparse(shape, one) for one in densities):
                continue
            density = sum(densities) / len(densities)
            if not portions or density < largest / NEAR:
                portions.append([])
                largest = density
            portions[-1].append(of_level)
        return next(portion for portion in portions if variant in portion)


def _packed(together: Sequence[Variant], path: str) -> list[SparseKernel]:
    first, last = together[0], together[-1]
    nested, number = first.nested, last.level + 1 - first.level
    assert nested is not None

    def layer(layer: int) -> tuple[np.ndarray, np.ndarray]:
        survival = trees.layer_of(path, nested[path], layer)
        # Of these levels.
        kept = np.minimum(np.maximum(survival, first.level) - first.level, number)
        return weights_of(first.model, path, layer), kept.astype(np.uint8)

    # Layers that are dense at the smallest of these sparsities may be sparse later.
    return pack(first.shapes[path].shape, layer, number, _densities(first)[path])


def _by_values(variant: Variant, path: str, densities: Densities) -> SparseKernel:
    def layer(layer: int) -> tuple[np.ndarray, np.ndarray]:
        weights = variant.layer(path, layer)
        return weights, (weights != 0).astype(np.uint8)

    (kernel,) = pack(variant.shapes[path].shape, layer, 1, densities)
    return kernel
