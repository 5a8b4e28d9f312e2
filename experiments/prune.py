"""Prunes one model at one sparsity and writes it for transformers to load.

./run.sh prune --model=DIR --method=magnitude --sparsities=0.5 --export=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

from contextlib import closing

from experiments import calibrating, devices, flags, inputs
from experiments.progress import Shown
from jaxsparse import parallel
from jaxsparse.model import load
from jaxsparse.one_shot import OneShot
from jaxsparse.points import WORTH_SAYING
from jaxsparse.variants import dense, prunable_model, save


def main() -> None:
    settings = flags.pruning_from_flags()
    devices.find()
    parallel.check(settings.mesh)
    recipe, sparsity = settings.recipe, settings.sparsity

    (blueprint,) = models = inputs.open_models([settings.model])
    inputs.check_recipes(models, [recipe])
    texts = calibrating.texts_of(settings)
    rows = calibrating.rows_of(models, texts, settings).get(blueprint.name)
    mesh = inputs.mesh_of(blueprint, settings.mesh, settings.dtype)
    with closing(Shown()) as shown:
        shown.model(blueprint.name)
        model = load(blueprint, settings.dtype, mesh, shown)
        model = prunable_model(model, recipe.prunable)
        before = dense(model, recipe)
        pruner = OneShot(model, rows, progress=shown)
        variants = pruner.measured(pruner.variants(recipe, [sparsity]))
        pruned = variants[0] if variants else before
        save(pruned, settings.directory, shown)
        if rows and variants:
            rows.write(settings.directory / "calibration.parquet")
    print(
        f"{settings.model}: {recipe.method}, sparsity {sparsity:g} requested, "
        f"{pruned.achieved_sparsity:.6f} of the prunable weights ({recipe.prunable}) "
        f"and {pruned.total_sparsity:.6f} of all; written to {settings.directory}"
    )
    if before.achieved_sparsity >= WORTH_SAYING:
        print(
            f"{before.achieved_sparsity:.6f} of the prunable weights were zero "
            "already; they were pruned first, and count"
        )
