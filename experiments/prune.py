"""Prunes one model at one sparsity and writes it for transformers to load.

./run.sh prune --model=DIR --method=magnitude --sparsities=0.5 --export=DIR
"""

from contextlib import closing
from pathlib import Path

from absl import flags as absl_flags

from experiments import command, flags, inputs, paths
from experiments.progress import Shown
from jaxsparse import parallel, trees
from jaxsparse.model import Model, export, load
from jaxsparse.sweep import Pruned, for_recipes, matrices, prune, pruned_leaves
from jaxsparse.types import InputError

absl_flags.DEFINE_string("export", None, "directory to write; must not exist yet")


def main() -> None:
    settings = flags.settings_from_flags()
    parallel.check(settings.mesh)
    (name,) = one("model", settings.models)
    (recipe,) = one("method", settings.recipes)
    (sparsity,) = one("sparsities", settings.sparsities)
    directory = paths.new_directory("export", absl_flags.FLAGS.export)

    (blueprint,) = inputs.open_models([name])
    mesh = inputs.mesh_of(blueprint, settings)
    with closing(Shown()) as shown:
        shown.model(blueprint.name)
        model = load(blueprint, settings.dtype, mesh, shown)
        model = for_recipes(model, [recipe])
        number = matrices(model, recipe.prunable)
        shown.stage("pruning", number, unit="matrices", patient=True)
        pruned = prune(model, recipe, [sparsity], shown.done)
        achieved = write(model, pruned, directory, shown)
    print(
        f"{name}: {recipe.method}, sparsity {sparsity:g} requested, "
        f"{achieved[0]:.6f} of the prunable weights ({recipe.prunable}) and "
        f"{achieved[1]:.6f} of all; written to {directory}"
    )


def write(
    model: Model, pruned: Pruned, directory: Path, shown: Shown
) -> tuple[float, float]:
    """Writes the pruned model; says what was pruned of its prunable weights and of all,
    as fractions."""
    leaves = trees.flatten(model.params)
    achieved = (0.0, 0.0)
    if pruned.survival:
        dense = {path: leaves[path] for path in pruned.survival}
        leaves |= pruned_leaves(dense, pruned.survival, 0)
        (achieved,) = pruned.achieved
    export(model, trees.unflatten(leaves), directory, shown)
    return achieved


def one(flag: str, values: tuple) -> tuple:
    """Raises InputError unless a comma list holds exactly one value."""
    if len(values) != 1:
        raise InputError(f"--{flag}: prune takes one, got {len(values)}")
    return values


if __name__ == "__main__":
    command.run(main, __doc__ or "")
