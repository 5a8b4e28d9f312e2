"""How far the outputs of each pruned matrix are from the dense one's.

One measure for all methods, calibrated or not: X is what the dense model gives a matrix
on calibration rows, the same for every variant.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int

from jaxsparse import hosts
from jaxsparse.calibration import Calibration, Walk
from jaxsparse.model import Model
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Statistics
from jaxsparse.types import Array
from jaxsparse.variants import Variant, bias_of, digest_of, weights_of
from jaxsparse.whole import atomic_file

Errors = dict[tuple[str, int], float]  # by path and layer


def with_errors(
    model: Model,
    calibration: Calibration,
    pruned: Sequence[Variant],
    directory: Path | None = None,
    progress: Progress = NOBODY,
) -> list[Variant]:
    """Variants of a model whose matrices say how far their outputs are from the dense
    ones; measured once and kept, if there is a directory."""
    files = [_file(directory, calibration, variant) for variant in pruned]
    known = [_read(file) for file in files]
    unknown = [number for number, errors in enumerate(known) if errors is None]
    if unknown:
        asked = [pruned[number] for number in unknown]
        found = reconstruction_errors(model, calibration, asked, progress)
        for number, errors in zip(unknown, found, strict=True):
            known[number] = errors
            _write(files[number], errors)
    return [
        _with(variant, errors or {})
        for variant, errors in zip(pruned, known, strict=True)
    ]


def _with(variant: Variant, errors: Errors) -> Variant:
    matrices = tuple(
        replace(matrix, error=errors.get((matrix.path, matrix.layer)))
        for matrix in variant.matrices
    )
    return replace(variant, matrices=matrices)


def _file(
    directory: Path | None, calibration: Calibration, variant: Variant
) -> Path | None:
    if directory is None or hosts.several():
        return None
    content = {**variant.identity, "measured_on": calibration.digest}
    return directory / "reconstruction" / f"{digest_of(content)}.json"


def _read(file: Path | None) -> Errors | None:
    """What is not as it was written counts as not there."""
    try:
        rows = json.loads(file.read_text("utf-8")) if file else []
        return {(path, layer): error for path, layer, error in rows} or None
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path | None, errors: Errors) -> None:
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [[*place, error] for place, error in errors.items()]
        with atomic_file(file) as partial:
            partial.write_text(json.dumps(rows), encoding="utf-8")


def reconstruction_errors(
    model: Model,
    calibration: Calibration,
    variants: Sequence[Variant],
    progress: Progress = NOBODY,
) -> list[Errors]:
    """Of each variant Σ (X W − X W′ − δ)² / Σ (X W)² of every pruned matrix, over all
    real tokens and outputs, δ being what was added to a bias.

    Matrices without inputs (embeddings), and those whose dense outputs are all zero,
    have none.
    """
    errors: list[Errors] = [{} for _ in variants]
    in_blocks = all(variant.recipe.prunable == "blocks" for variant in variants)
    walk = Walk(model, calibration, "blocks" if in_blocks else "linear")
    total = len(walk.stages)
    progress.stage("reconstruction", total, unit="blocks", patient=True)
    for stage in walk.stages:
        gathered = walk.statistics(stage, ("mean", "gram"))
        layer = stage.layer or 0
        for path in stage.paths:
            dense = weights_of(model, path, layer)
            norm = float(_squares(gathered[path], dense, 0.0))
            for variant, of_variant in zip(variants, errors, strict=True):
                if norm and path in variant.shapes:
                    change = variant.layer(path, layer) - dense
                    shift = _shift(variant, bias_of(path), layer)
                    squares = _squares(gathered[path], change, shift)
                    of_variant[path, layer] = float(squares) / norm
        walk.advance(stage, {})
        progress.done(1)
    return errors


def _shift(
    variant: Variant, path: str, layer: int
) -> Float32[np.ndarray, " out"] | float:
    if path not in variant.shapes:
        return 0.0
    return variant.layer(path, layer) - weights_of(variant.model, path, layer)


def _squares(
    statistics: Statistics,
    matrix: Float32[np.ndarray, "in out"],
    shift: Float32[np.ndarray, " out"] | float,
) -> Float[jax.Array, ""]:
    """Σ (X M + shift)² over tokens and outputs."""
    shift = np.broadcast_to(np.float32(shift), matrix.shape[1:])
    return _sum_of_squares(
        statistics.gram, statistics.mean, statistics.tokens, matrix, shift
    )


@jax.jit
def _sum_of_squares(
    gram: Float32[Array, "in in"],
    mean: Float32[Array, " in"],
    tokens: Int[Array, ""] | int,
    matrix: Float32[Array, "in out"],
    shift: Float32[Array, " out"],
) -> Float[jax.Array, ""]:
    with jax.default_matmul_precision("highest"):
        outputs = jnp.sum(matrix * (gram @ matrix))
        crossed = 2 * tokens * jnp.sum((mean @ matrix) * shift)
        return outputs + crossed + tokens * jnp.sum(shift * shift)
