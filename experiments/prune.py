"""Prunes one model at one sparsity and writes it for transformers to load.

./run.sh prune --model=DIR --method=magnitude --sparsities=0.5 --export=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

from contextlib import closing
from pathlib import Path

from experiments import devices, flags, inputs
from experiments.progress import Shown
from jaxsparse import parallel, trees
from jaxsparse.model import Model, export, load
from jaxsparse.points import WORTH_SAYING
from jaxsparse.sweep import (
    Pruned,
    for_recipes,
    matrices,
    prune,
    pruned_leaves,
    zeros,
)


def main() -> None:
    settings = flags.pruning_from_flags()
    devices.find()
    parallel.check(settings.mesh)
    recipe, sparsity = settings.recipe, settings.sparsity

    (blueprint,) = inputs.open_models([settings.model])
    mesh = inputs.mesh_of(blueprint, settings.mesh, settings.dtype)
    with closing(Shown()) as shown:
        shown.model(blueprint.name)
        model = load(blueprint, settings.dtype, mesh, shown)
        model = for_recipes(model, [recipe])
        before = zeros(model, recipe.prunable)
        number = matrices(model, recipe.prunable)
        shown.stage("pruning", number, unit="matrices", patient=True)
        pruned = prune(model, recipe, [sparsity], shown.done)
        (achieved,) = pruned.achieved or (before,)
        write(model, pruned, settings.directory, shown)
    print(
        f"{settings.model}: {recipe.method}, sparsity {sparsity:g} requested, "
        f"{achieved[0]:.6f} of the prunable weights ({recipe.prunable}) and "
        f"{achieved[1]:.6f} of all; written to {settings.directory}"
    )
    if before[0] >= WORTH_SAYING:
        print(
            f"{before[0]:.6f} of the prunable weights were zero already; they were "
            "pruned first, and count"
        )


def write(model: Model, pruned: Pruned, directory: Path, shown: Shown) -> None:
    """Writes the pruned model."""
    leaves = trees.flatten(model.params)
    if pruned.survival:
        dense = {path: leaves[path] for path in pruned.survival}
        leaves |= pruned_leaves(dense, pruned.survival, 0)
    export(model, trees.unflatten(leaves), directory, shown)
