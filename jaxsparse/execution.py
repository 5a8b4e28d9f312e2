"""Variants whose linear layers multiply only what is kept. Their scores are those of
dense execution but for rounding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxsparse import trees
from jaxsparse.sparse import Execution, SparseKernel, pack, with_dense
from jaxsparse.sparse import identity as sparse_identity
from jaxsparse.variants import Variant, weights_of

PRUNED = 0.001  # zeros of a file above which its model counts as pruned

Densities = dict[int, float]  # by layer


def executed(variants: Sequence[Variant], execution: Execution) -> list[Variant]:
    """The same variants, executed so; those that are dense all the same keep their
    identity. So are smaller models: what is left of them is not pruned.

    Masks that nest are packed once for all sparsities; one packing is held at a time.
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
    _kernels: dict[str, list[SparseKernel]] | None = None

    def kernel(
        self,
        variant: Variant,
        levels: Sequence[Variant],
        path: str,
        densities: Densities,
    ) -> SparseKernel:
        nested = variant.nested
        if nested is None:
            self._of, self._kernels = None, None
            return _by_values(variant, path, densities)
        if self._of is not nested:
            self._of, self._kernels = nested, {}
        assert self._kernels is not None
        if path not in self._kernels:
            self._kernels[path] = self._pack(levels, path)
        return self._kernels[path][variant.level - self._first(levels, path)]

    def _first(self, levels: Sequence[Variant], path: str) -> int:
        """The number of the smallest sparsity at which a layer is sparse: what only
        smaller ones keep is not packed."""
        return next(
            of_level.level
            for of_level in levels
            if any(
                self.execution.is_sparse(of_level.shapes[path].shape, density)
                for density in _densities(of_level)[path].values()
            )
        )

    def _pack(self, levels: Sequence[Variant], path: str) -> list[SparseKernel]:
        first = self._first(levels, path)
        at_first = next(v for v in levels if v.level == first)
        model, nested = at_first.model, at_first.nested
        assert nested is not None
        densities = _densities(at_first)[path]
        number = max(v.level for v in levels) + 1 - first

        def layer(layer: int) -> tuple[np.ndarray, np.ndarray]:
            survival = trees.layer_of(path, nested[path], layer)
            # Of the sparsities from the first that is packed on.
            kept = np.minimum(np.maximum(survival, first) - first, number)
            return weights_of(model, path, layer), kept.astype(np.uint8)

        # Layers that are dense at the smallest of these sparsities may be sparse later.
        return pack(at_first.shapes[path].shape, layer, number, densities)


def _by_values(variant: Variant, path: str, densities: Densities) -> SparseKernel:
    def layer(layer: int) -> tuple[np.ndarray, np.ndarray]:
        weights = variant.layer(path, layer)
        return weights, (weights != 0).astype(np.uint8)

    (kernel,) = pack(variant.shapes[path].shape, layer, 1, densities)
    return kernel
