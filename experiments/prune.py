"""Prunes one model at one sparsity and writes it for transformers to load.

./run.sh prune --model=DIR --method=magnitude --sparsities=0.5 --export=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

from experiments import devices, flags, inputs
from jaxsparse import parallel, trees
from jaxsparse.model import export, load
from jaxsparse.sweep import for_recipes, prune, pruned_leaves, zeros


def main() -> None:
    settings = flags.pruning_from_flags()
    devices.find()
    parallel.check(settings.mesh)
    recipe, sparsity = settings.recipe, settings.sparsity

    (blueprint,) = inputs.open_models([settings.model])
    mesh = inputs.mesh_of(blueprint, settings.mesh, settings.dtype)
    model = for_recipes(load(blueprint, settings.dtype, mesh), [recipe])
    pruned = prune(model, recipe, [sparsity])
    leaves = trees.flatten(model.params)
    achieved = before = zeros(model, recipe.prunable)
    if pruned.survival:
        dense = {path: leaves[path] for path in pruned.survival}
        leaves |= pruned_leaves(dense, pruned.survival, 0)
        (achieved,) = pruned.achieved
    export(model, trees.unflatten(leaves), settings.directory)
    print(
        f"{settings.model}: {recipe.method}, sparsity {sparsity:g} requested, "
        f"{achieved[0]:.6f} of the prunable weights ({recipe.prunable}) and "
        f"{achieved[1]:.6f} of all; written to {settings.directory}"
    )
    if before[0] > sparsity:
        print(
            f"{before[0]:.6f} of the prunable weights were zero already, which is more "
            "than was requested: nothing was pruned"
        )
