"""Trains pruned models back, and draws accuracy against sparsity before and after.

    ./run.sh finetune --model=DIR --data=DIR --sparsities=0,0.5,0.9 --out=DIR
    ./run.sh finetune --model=DIR --data=DIR --sparsities=0.9 --export=DIR

A run that is stopped goes on where it was when its command is repeated, and ends with
the same weights.
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import (
    curves,
    devices,
    facts,
    finetune_settings,
    inputs,
    trained_exports,
    training_questions,
)
from experiments.finetune_settings import FineTuning
from experiments.jobs import flags_of
from experiments.progress import Shown
from experiments.training_questions import Lessons
from experiments.tuned_model import TunedModel, tune_model
from jaxsparse import journal, parallel, report
from jaxsparse.finetuning import events, metrics


def main() -> None:
    devices.find()
    settings = finetune_settings.settings_from_flags()
    sweep = settings.sweep
    parallel.check(sweep.mesh)
    finetune_settings.check_directories(settings)
    trained_exports.check_replaceable(settings.export)
    report.check_replaceable(sweep.out, [*report.FILES, metrics.NAME])
    made_by = facts.provenance(sweep)
    with journal.opened(sweep.out, made_by) as answers, closing(Shown()) as shown:
        given = inputs.read_inputs(sweep, shown)
        lessons = training_questions.read(given, settings, shown)
        shown.models(len(given.models))
        tuned = [
            tune_model(blueprint, settings, given, lessons, answers, shown)
            for blueprint in given.models
        ]
        runs = [each.run for each in tuned]
        run = facts.of_run(sweep, given, runs, made_by, answers)
        run["notes"] += lessons.notes
        run["training"] = _training(settings, lessons, tuned)

        def beside(out: Path) -> Sequence[str]:
            rows = [row for each in tuned for row in each.metrics]
            metrics.write(out / metrics.NAME, rows)
            return (metrics.NAME,)

        verbose = flags_of("finetune").verbose
        curves.conclude(sweep, given, runs, run, answers, shown, verbose, beside)
    if not events.is_installed():
        print("For TensorBoard nothing is written: tensorboardX is not installed")
    if settings.export:
        print(f"Models written to {settings.export}")


def _training(
    settings: FineTuning, lessons: Lessons, tuned: Sequence[TunedModel]
) -> dict[str, Any]:
    """What run.json says of training."""
    return {
        "trainings": [asdict(training) for training in settings.trainings],
        "settings": asdict(settings.numbers),
        "steps": settings.steps,
        "learning_rates": {
            each.run.points[0].setup.model: each.learning_rates for each in tuned
        },
        "split": settings.split,
        "questions": len(lessons.train.asked),
        "validation_split": settings.validation_split,
        "validation_questions": len(lessons.validation.asked),
        "overlap": dict(lessons.overlap),
        "seconds": {each.run.points[0].setup.model: each.seconds for each in tuned},
        "digests": {each.run.points[0].setup.model: each.digest for each in tuned},
        "work": str(settings.work),
    }
