"""Whole layers removed: those that change least what they are given.

Source: Men et al. (2024), "ShortGPT: Layers in Large Language Models are More Redundant
Than You Expect".
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxsparse import hosts, pruning
from jaxsparse.calibration import Calibration, Walk
from jaxsparse.model import Model
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Place, Recipe
from jaxsparse.smaller.shapes import (
    Zeros,
    matrices_left,
    smaller_model,
    smaller_variant,
    zeros_of,
)
from jaxsparse.variants import Layer, Variant, digest_of, weights_of
from jaxsparse.whole import atomic_file

REVISION = 1  # of what influence is: files of another one are not read
Influences = Mapping[str, Sequence[float]]  # path of a stack -> of each of its layers


def block_influences(
    model: Model,
    calibration: Calibration,
    directory: Path | None = None,
    progress: Progress = NOBODY,
) -> Influences:
    """How much each block of the dense model changes what it is given.

    Args:
        directory: where the file of an earlier call is found, and made.

    Raises:
        InputError: an influence is not finite.
    """
    file = None
    if directory and not hosts.several():
        parts = {
            "weights": model.digest, "dtype": model.dtype,
            "calibration": calibration.digest, "revision": REVISION,
        }  # fmt: skip
        file = directory / f"influence-{digest_of(parts)}.json"
    depths = {s.path: s.depth for s in model.blueprint.family.stacks(model.config)}
    if file and (known := _read(file, depths)):
        return known
    walk = Walk(model, calibration, progress=progress)
    found: dict[str, list[float]] = {path: [] for path in depths}
    for stage in walk.stages:
        found[stage.stack].append(walk.influence(stage))
    if file:
        with atomic_file(file) as partial:
            partial.write_text(json.dumps(found), encoding="utf-8")
    return found


def _read(file: Path, depths: Mapping[str, int]) -> Influences | None:
    """What is not as it was written counts as not there."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        known = {path: [float(value) for value in found[path]] for path in depths}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return known if {p: len(of) for p, of in known.items()} == depths else None


def with_fewer_layers(
    model: Model,
    recipe: Recipe,
    sparsities: Sequence[float],
    influences: Influences,
    calibration: str | None = None,
) -> tuple[Variant, ...]:
    """A variant without the least influential layers at each sparsity; of several
    stacks, each loses its share. What lies around a stack stays, T5's biases for
    distances with it: they enter the first layer that is left, as transformers has it.

    Args:
        calibration: the digest of the rows that told the influences.
    """
    zeros = zeros_of(model, recipe, {})
    return tuple(
        _variant(model, recipe, sparsity, influences, calibration, zeros)
        for sparsity in sparsities
    )


def _variant(
    model: Model,
    recipe: Recipe,
    sparsity: float,
    influences: Influences,
    calibration: str | None,
    zeros: Zeros,
) -> Variant:
    kept = {
        stack: pruning.kept_layers(values, sparsity)
        for stack, values in influences.items()
    }
    depths = model.blueprint.family.structure(model.config).depths
    sizes = {depths[stack]: len(numbers) for stack, numbers in kept.items()}
    layers_of = {
        path: numbers
        for stack, numbers in kept.items()
        for path in model.params
        if path.startswith(f"{stack}/")
    }

    def layer(path: str, number: int) -> Layer:
        return weights_of(model, path, layers_of[path][number])

    def left(place: Place) -> Sequence[int]:
        path, number = place
        return [0] if number in layers_of[path] else []

    number = sum(map(len, influences.values()))
    return smaller_variant(
        model,
        smaller_model(model, sizes, kept),
        recipe,
        sparsity,
        achieved=(number - sum(map(len, kept.values()))) / number,
        calibration=calibration,
        changed=list(layers_of),
        layer=layer,
        matrices=matrices_left(model, zeros, left),
    )
