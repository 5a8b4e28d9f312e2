"""Prunes one model at one sparsity and writes it for transformers to load.

./run.sh prune --model=DIR --method=magnitude --sparsities=0.5 --export=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import shlex
import sys
import time
from contextlib import closing
from pathlib import Path

from experiments import calibrating, devices, facts, flags, inputs, pruned_model
from experiments.progress import Shown
from jaxsparse import model_card, parallel, report
from jaxsparse.model import load
from jaxsparse.one_shot import OneShot
from jaxsparse.variants import dense, prunable_model, save
from jaxsparse.weights import hub


def main() -> None:
    settings = flags.pruning_from_flags()
    devices.find()
    parallel.check(settings.mesh)
    recipe, start = settings.recipe, time.monotonic()

    (blueprint,) = models = inputs.open_models([settings.model])
    inputs.check_recipes(models, [recipe], [settings.sparsity])
    texts = calibrating.texts_of(settings)
    checked = calibrating.checked(texts, settings)
    rows = calibrating.rows_of(models, texts, settings).get(blueprint.name)
    run = report.read(settings.results) if settings.results else None
    mesh = inputs.mesh_of(blueprint, settings.mesh, settings.dtype)
    with closing(Shown()) as shown:
        shown.model(blueprint.name)
        model = load(blueprint, settings.dtype, mesh, shown)
        model = prunable_model(model, recipe.prunable)
        before = dense(model, recipe)
        points = run and pruned_model.scored(run, before, settings.sparsity, rows)
        with pruned_model.work_directory(settings.directory, rows) as work:
            pruner = OneShot(model, rows, work, shown)
            variants = pruner.variants(recipe, [settings.sparsity])
            (pruned,) = pruner.measured(variants) or (before,)

            def beside(directory: Path) -> None:
                if rows and variants:
                    rows.write(directory / "calibration.parquet")
                card = model_card.text(
                    pruned,
                    f"./run.sh prune {shlex.join(sys.argv[1:])}",
                    facts.versions(),
                    calibration=rows if variants else None,
                    checked=checked,
                    points=points or (),
                    repository=hub.repository(settings.model),
                    format=settings.format,
                )
                (directory / model_card.NAME).write_text(card, encoding="utf-8")

            sizes = save(pruned, settings.directory, shown, beside, settings.format)
    seconds = time.monotonic() - start
    for line in pruned_model.lines(before, pruned, sizes, seconds):
        print(line)
    if checked:
        print(f"test questions in the calibration text: {checked}")
    print(f"written to {settings.directory}")
