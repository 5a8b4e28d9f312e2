"""The directories that `finetune --export` writes: one for each sparsity and seed, with
a file that says which training it is of."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.progress import Shown
from jaxsparse.finetuning import Finetuning, Job
from jaxsparse.types import InputError
from jaxsparse.variants import Variant, save

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
        if there.exists() and _identity_in(there) != _identity(tuning, job):
            raise InputError(
                f"--export={directory}: {there.name} is there, of another training; "
                "name another directory"
            )


def write(
    directory: Path,
    tuning: Finetuning,
    jobs: Sequence[Job],
    trained: Sequence[Variant],
    progress: Shown,
) -> None:
    """Writes what is not there yet."""
    for job, variant in zip(jobs, trained, strict=True):
        if (there := directory / _name(job)).exists():
            continue
        facts = {
            "identity": _identity(tuning, job),
            "trained_weights": variant.identity.get("trained_weights"),
            "seconds": variant.training_seconds,
        }
        text = json.dumps(facts, indent=2)

        def beside(partial: Path, text: str = text) -> None:
            (partial / NAME).write_text(f"{text}\n", encoding="utf-8")

        save(variant, there, progress, beside)


def _name(job: Job) -> str:
    return f"{job.variant.sparsity:g}-seed{job.training.seed}"


def _identity(tuning: Finetuning, job: Job) -> dict[str, Any]:
    """All that decides the weights, as JSON has it."""
    own = {"pruned": dict(job.variant.identity), "training": tuning.identity(job)}
    return json.loads(json.dumps(own))


def _identity_in(directory: Path) -> dict[str, Any] | None:
    try:
        return json.loads((directory / NAME).read_text("utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
