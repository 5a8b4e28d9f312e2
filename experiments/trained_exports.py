"""The directories that `finetune --export` writes: one for each sparsity and seed, with
a file that says which training it is of."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import facts
from experiments.finetune_settings import FineTuning
from experiments.progress import Shown
from jaxsparse import model_card, variants
from jaxsparse.finetuning import Finetuning, Job
from jaxsparse.points import Point
from jaxsparse.types import InputError
from jaxsparse.variants import Variant, save
from jaxsparse.weights import hub

NAME = "finetuning.json"


def check_replaceable(directory: Path | None) -> None:
    """Raises InputError if something is there that `finetune` did not write."""
    if directory is None or not directory.exists():
        return
    for path in sorted(directory.iterdir()):
        hidden = path.name.startswith(".")  # half-written, or somebody's own
        if not (hidden or (path / NAME).is_file()):
            raise InputError(
                f"--export={directory}: {path.name} is there, which finetune did not "
                "write; name another directory"
            )


def check_same(directory: Path, tuning: Finetuning, jobs: Sequence[Job]) -> None:
    """Raises InputError if a directory that is to be written is of another training."""
    for job in jobs:
        there = directory / _name(job)
        if there.exists() and _known_of(there).get("identity") != _identity(
            tuning, job
        ):
            raise InputError(
                f"--export={directory}: {there.name} is there, of another training; "
                "name another directory"
            )


def check_weights(
    directory: Path, jobs: Sequence[Job], trained: Sequence[Variant]
) -> None:
    """Raises InputError if a directory has other weights of the same training, whose
    bits its identity alone does not decide."""
    for job, variant in zip(jobs, trained, strict=True):
        there = directory / _name(job)
        if not there.exists():
            continue
        wrong = None
        if not any(there.glob("*.safetensors")):
            wrong = "without weights"
        elif _known_of(there).get("weights") != _weights(variant):
            wrong = (
                "with other weights of the same training, which was done again since"
            )
        if wrong:
            raise InputError(
                f"--export={directory}: {there.name} is there {wrong}; remove it, or "
                "name another directory"
            )


def write(
    settings: FineTuning,
    tuning: Finetuning,
    jobs: Sequence[Job],
    trained: Sequence[Variant],
    points: Sequence[Point],
    progress: Shown,
) -> None:
    """Writes what is not there yet.

    Args:
        trained, points: what each job came to, and what it answered.
    """
    assert settings.export
    for job, variant, point in zip(jobs, trained, points, strict=True):
        if (there := settings.export / _name(job)).exists():
            continue
        known = {
            "identity": _identity(tuning, job),
            "weights": _weights(variant),
            "seconds": variant.training_seconds,
        }
        files = {
            NAME: f"{json.dumps(known, indent=2)}\n",
            model_card.NAME: _card(settings, tuning, job, variant, point),
        }

        def beside(
            partial: Path, files: Mapping[str, str] = files, job: Job = job
        ) -> None:
            for name, text in files.items():
                (partial / name).write_text(text, encoding="utf-8")
            if job.calibration:
                job.calibration.write(partial / "calibration.parquet")

        save(variant, there, progress, beside)


def _card(
    settings: FineTuning, tuning: Finetuning, job: Job, variant: Variant, point: Point
) -> str:
    data, (name,) = settings.sweep.data, settings.sweep.models
    numbers = {
        "steps": job.schedule.steps,
        "learning_rate": job.schedule.learning_rate,
        **asdict(settings.numbers),
    }
    return model_card.text(
        variant,
        f"./run.sh finetune {shlex.join(sys.argv[1:])}",
        facts.versions(),
        calibration=job.calibration,
        points=[point],
        repository=hub.repository(name),
        trained=model_card.TrainedBack(
            numbers,
            f"{len(tuning.questions):,} {settings.split} questions of {data}",
            f"{len(tuning.validation):,} {settings.validation_split} questions of "
            f"{data}",
        ),
    )


def _weights(variant: Variant) -> str:
    return variants.digest_of(variant.identity)


def _name(job: Job) -> str:
    return f"{job.variant.sparsity:.15g}-seed{job.training.seed}"


def _identity(tuning: Finetuning, job: Job) -> dict[str, Any]:
    """All that decides the weights, as JSON has it."""
    own = {"pruned": dict(job.variant.identity), "training": tuning.identity(job)}
    return json.loads(json.dumps(own))


def _known_of(directory: Path) -> dict[str, Any]:
    """What the file in a directory says; nothing where it cannot be read."""
    try:
        known = json.loads((directory / NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
