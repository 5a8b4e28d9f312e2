"""What `prune` keeps while it works, and says in the end."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxsparse import whole
from jaxsparse.calibration import Calibration
from jaxsparse.model_card import measured
from jaxsparse.points import WORTH_SAYING, Point
from jaxsparse.report import RunFiles
from jaxsparse.types import InputError
from jaxsparse.variants import Variant
from jaxsparse.weights.values import file_bytes
from jaxsparse.weights.writing import Sizes


@contextmanager
def work_directory(export: Path, needed: bool) -> Iterator[Path | None]:
    """Where a calibrated method keeps its blocks and a search its answers, beside the
    directory to write: the same command goes on from there if the process was killed or
    the disk was full. It is gone in the end, and after bad input, with which no command
    goes on."""
    if not needed:
        yield None
        return
    directory = export.with_name(f".{export.name}.work")
    try:
        with whole.made(directory), whole.locked(directory):
            try:
                yield directory
            except InputError:
                _empty(directory)
                raise
            _empty(directory)
    finally:
        with suppress(OSError):  # it is not empty, or gone
            directory.rmdir()


def _empty(directory: Path) -> None:
    """But for the lock, which goes by itself."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != whole.LOCK:
            path.unlink()


def scored(
    run: RunFiles, dense: Variant, sparsity: float, calibration: Calibration | None
) -> list[Point]:
    """The points of a run where a model was pruned so, and calibrated on the same rows.

    Raises:
        InputError: there is none.
    """
    model, recipe = dense.model, dense.recipe
    rows = calibration and calibration.digest
    points = [
        point
        for point in run.points
        if (point.digest, point.recipe, point.sparsity, point.setup.dtype)
        == (model.digest, recipe, sparsity, model.dtype)
        and not point.curve.finetuned
        and run.source_of(recipe.method) == recipe.source
        and (not recipe.calibrated or run.rows_of(point.setup.model) == rows)
    ]
    if not points:
        raise InputError(
            f"`results={run.directory}`: no point there is this model pruned by "
            f"{recipe.method} to {sparsity:g} with the same recipe; name another run, "
            "or leave it out"
        )
    return points


def lines(before: Variant, pruned: Variant, sizes: Sizes, seconds: float) -> list[str]:
    """What was made of a model, in plain words.

    Args:
        sizes: of what was made of it.
    """
    model, recipe = pruned.model, pruned.recipe
    of = f"the prunable weights ({recipe.prunable})"
    if recipe.structured:
        of = f"the {recipe.pattern}"
    found = [
        f"{model.name}: {recipe.method}, sparsity {pruned.sparsity:g} requested, "
        f"{pruned.achieved_sparsity:.6f} of {of} and {pruned.total_sparsity:.6f} of all"
    ]
    if recipe.structured and pruned.sparsity:
        found.append(
            f"parameters: {before.parameters:,} before, {pruned.parameters:,} after"
        )
    if before.achieved_sparsity >= WORTH_SAYING:
        found.append(
            f"{before.achieved_sparsity:.6f} of the prunable weights were zero "
            "already; they were pruned first, and count"
        )
    if errors := measured(pruned):
        mean = sum(error for error, _ in errors) / len(errors)
        error, worst = max(errors, key=lambda pair: pair[0])
        found.append(
            f"reconstruction error: {mean:.4g} on average, at most {error:.4g} in "
            f"{worst.path}, layer {worst.layer}"
        )
    if "gram" in recipe.needs:
        raised = sum(matrix.damping_raised for matrix in pruned.matrices)
        found.append(f"damping was raised {raised} times")
    blueprint = before.model.blueprint
    size = file_bytes(blueprint.checkpoint, blueprint.plan)
    found.append(
        f"weights: {size:,} bytes before; after it {sizes.dense:,} dense, "
        f"{sizes.bitmask:,} as bitmask"
    )
    return [*found, f"time: {seconds:.0f} s"]
