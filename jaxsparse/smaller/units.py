"""Feed-forward units and heads removed, as many in every layer.

in ─▶ [read] ─▶ units ─▶ [write] ─▶ out      a unit takes its outputs of `read`, and
                                             its inputs of `write`, with it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from jaxsparse import hosts, pruning
from jaxsparse.model import Model
from jaxsparse.models import Removable, Size, Units
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Place, Recipe, Statistics
from jaxsparse.pruning.units import Kept
from jaxsparse.smaller.shapes import (
    Zeros,
    matrices_left,
    smaller_model,
    smaller_variant,
    zeros_of,
)
from jaxsparse.variants import Layer, Variant, bias_of, weights_of

READ, WRITE = -1, -2  # the axes of kernels on which units lie
StatisticsOf = Callable[[str, int], Statistics]


def with_fewer_units(
    model: Model,
    recipe: Recipe,
    sparsities: Sequence[float],
    statistics: StatisticsOf | None = None,
    calibration: str | None = None,
    progress: Progress = NOBODY,
) -> tuple[Variant, ...]:
    """A variant without the units of least score at each sparsity. A unit's score is
    the sum of its weights' scores under the recipe's criterion.

    With `+bias`, what the units that go gave on average moves into the bias behind them
    (An et al. 2024, "Fluctuation-based Adaptive Structured Pruning").

    Args:
        statistics: of each matrix of the dense model, for recipes that need some.
        calibration: the digest of the rows that they are of.
        progress: is told of kernels that are scored, and of a mesh that does not divide
            the new width.

    Raises:
        InputError: scores or statistics that are no numbers.
    """
    removable = model.blueprint.family.structure(model.config).units(recipe.pattern)
    assert removable, recipe.pattern
    kernels = {
        f"{linear}/kernel": (axis, getattr(model.config, removable.size.field))
        for units in removable.units
        for axis, linears in ((READ, units.read), (WRITE, units.write))
        for linear in linears
    }
    name = f"{recipe.title} · pruning"
    progress.stage(name, len(kernels), unit="leaves", patient=True)
    scores = {
        units: _scores(model, recipe, units, kernels, statistics, progress)
        for units in removable.units
    }
    zeros = zeros_of(model, recipe, kernels)
    found = []
    for sparsity in sparsities:
        kept = {
            units: pruning.kept_units(of_units, sparsity)
            for units, of_units in scores.items()
        }
        smaller = _Smaller(model, recipe, removable, kept, statistics)
        found.append(smaller.variant(sparsity, calibration, zeros))
        _note_undivided(found[-1], removable.size, progress)
    return tuple(found)


def _scores(
    model: Model,
    recipe: Recipe,
    units: Units,
    kernels: Mapping[str, tuple[int, int]],
    statistics: StatisticsOf | None,
    progress: Progress,
) -> np.ndarray:
    """Of the units of one stack; the scores of one leaf's weights at a time."""
    known = {"statistics": statistics} if statistics else {}

    def of_weights():
        for linear in (*units.read, *units.write):
            path = f"{linear}/kernel"
            leaf = {path: hosts.gathered(model.params[path])}
            found = pruning.scores(leaf, recipe.method, seed=recipe.seed, **known)
            yield found[path], kernels[path][0]
            progress.done(1)

    (number,) = {kernels[f"{linear}/kernel"][1] for linear in units.read}
    return pruning.unit_scores(of_weights(), number, alike=bool(units.shared))


@dataclass(frozen=True)
class _Smaller:
    """What is left of a model's leaves."""

    dense: Model
    recipe: Recipe
    removable: Removable
    kept: Mapping[Units, Kept]
    statistics: StatisticsOf | None

    def variant(
        self, sparsity: float, calibration: str | None, zeros: Zeros
    ) -> Variant:
        size = self.removable.size
        before = getattr(self.dense.config, size.field)
        after = next(iter(self.kept.values())).shape[1]
        kept_of = {
            f"{linear}/kernel": kept
            for units, kept in self.kept.items()
            for linear in (*units.read, *units.write)
        }

        def left(place: Place) -> Sequence[int] | np.ndarray:
            path, layer = place
            return _of_layer(kept_of[path], layer) if path in kept_of else [0]

        own, moved = self._selections(), self._moved_biases()

        def layer(path: str, number: int) -> Layer:
            values = weights_of(self.dense, path, number)
            if path in moved:
                return values + self._given(moved[path], path, number)
            axis, places = own[path]
            return np.take(values, _of_layer(places, number), axis)

        return smaller_variant(
            self.dense,
            smaller_model(self.dense, {size: after}),
            self.recipe,
            sparsity,
            achieved=(before - after) / before,
            calibration=calibration,
            changed=[*own, *moved],
            layer=layer,
            matrices=matrices_left(self.dense, zeros, left),
        )

    def _moved_biases(self) -> dict[str, Units]:
        """The biases behind units, where what goes moves into them."""
        if not self.recipe.update:
            return {}
        return {
            bias_of(f"{linear}/kernel"): units
            for units in self.kept
            for linear in units.write
        }

    def _selections(self) -> dict[str, tuple[int, Int64[np.ndarray, "_layer _place"]]]:
        """Path -> what is left of it: an axis, and the places on it, layer by layer, or
        one row for all layers."""
        found = {}
        for units, kept in self.kept.items():
            places = self._places(kept)
            for linear in units.read:
                found[f"{linear}/kernel"] = READ, places
                if (bias := f"{linear}/bias") in self.dense.params:
                    found[bias] = -1, places
            for linear in units.write:
                found[f"{linear}/kernel"] = WRITE, places
            if units.shared:
                found[units.shared] = -1, kept
        return found

    def _places(self, units: Kept) -> Int64[np.ndarray, "layer place"]:
        """Where units lie on an axis: each is so wide."""
        width = self.removable.width
        places = units[..., None] * width + np.arange(width)
        return places.reshape(len(units), -1)

    def _given(self, units: Units, bias: str, layer: int) -> Layer:
        """What the units that are gone gave on average, behind the kernel they write
        by."""
        path = f"{bias.removesuffix('bias')}kernel"
        weights = weights_of(self.dense, path, layer)
        assert self.statistics
        mean = np.array(self.statistics(path, layer).mean, np.float32)
        mean[_of_layer(self._places(self.kept[units]), layer)] = 0
        return mean @ weights


def _of_layer(kept: Kept, layer: int) -> Int64[np.ndarray, " kept"]:
    """One row, where all layers have lost the same."""
    return kept[layer if len(kept) > 1 else 0]


def _note_undivided(variant: Variant, size: Size, progress: Progress) -> None:
    """A mesh that does not divide the units that are left costs time, or memory."""
    model, recipe = variant.model, variant.recipe
    number = getattr(model.config, size.field)
    parts = 1 if model.mesh is None else model.mesh.shape["model"]
    if number % parts:
        progress.note(
            f"{variant.name}: model:{parts} of the mesh does not divide the {number} "
            f"{recipe.pattern} that are left; their matrices are divided along the "
            "other axis, or on every device"
        )
