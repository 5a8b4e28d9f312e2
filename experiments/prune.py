"""Prunes one model, at one sparsity or the largest that it can afford, and writes it.

./run.sh prune --model=DIR --method=magnitude --sparsities=0.5 --export=DIR
./run.sh prune --model=DIR --margin=5 --sparsities=0.3,0.4,0.5 --export=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import shlex
import sys
import time
from contextlib import closing
from pathlib import Path

from experiments import (
    affording,
    calibrating,
    devices,
    facts,
    inputs,
    prune_settings,
    pruned_model,
)
from experiments.progress import Shown
from jaxsparse import model_card, parallel, report
from jaxsparse.model import load
from jaxsparse.one_shot import OneShot
from jaxsparse.variants import dense, prunable_model, save
from jaxsparse.weights import hub


def main() -> None:
    settings = prune_settings.pruning_from_flags()
    devices.find()
    parallel.check(settings.mesh)
    recipe, asking, start = settings.recipe, settings.asking, time.monotonic()

    (blueprint,) = models = inputs.open_models([settings.model])
    inputs.check_recipes(models, [recipe], settings.sparsities)
    texts = calibrating.texts_of(settings)
    with closing(Shown()) as shown:
        asked = affording.read(models, asking, shown)
        questions = {split: of_split.read for split, of_split in asked.items()}
        checked = calibrating.checked(texts, settings, questions)
        rows = calibrating.rows_of(models, texts, settings).get(blueprint.name)
        run = report.read(settings.results) if settings.results else None
        mesh = inputs.mesh_of(blueprint, settings.mesh, settings.dtype)
        shown.model(blueprint.name)
        model = load(blueprint, settings.dtype, mesh, shown)
        model = prunable_model(model, recipe.prunable)
        before = dense(model, recipe)
        points = run and pruned_model.scored(run, before, settings.sparsities[0], rows)
        needed = rows is not None or asking is not None
        with pruned_model.work_directory(settings.directory, needed) as work:
            pruner = OneShot(model, rows, work, shown)
            variants = (
                variant
                for sparsity in settings.sparsities
                for variant in pruner.variants(recipe, [sparsity])
            )
            found = None
            if asking and work:
                found = affording.search(model, variants, asked, asking, work, shown)
                variants = [found.variant] if found.variant else []
                points = [found.test.point] if found.test else []
            (pruned,) = pruner.measured(list(variants)) or (before,)

            def beside(directory: Path) -> None:
                if rows and pruned is not before:
                    rows.write(directory / "calibration.parquet")
                card = model_card.text(
                    pruned,
                    f"./run.sh prune {shlex.join(sys.argv[1:])}",
                    facts.versions(),
                    calibration=rows if pruned is not before else None,
                    checked=checked,
                    points=points or (),
                    repository=hub.repository(settings.model),
                    format=settings.format,
                    affordable=found,
                )
                (directory / model_card.NAME).write_text(card, encoding="utf-8")

            sizes = save(pruned, settings.directory, shown, beside, settings.format)
    seconds = time.monotonic() - start
    for line in affording.lines(found, asked) if found else ():
        print(line)
    for line in pruned_model.lines(before, pruned, sizes, seconds):
        print(line)
    if checked:
        print(f"test questions in the calibration text: {checked}")
    print(f"written to {settings.directory}")
