"""What a run says of itself: how it was made, what it left out, what it spent."""

import hashlib
import importlib.metadata
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from experiments.flags import Settings
from experiments.inputs import Inputs
from experiments.model_run import ModelRun
from jaxsparse import report
from jaxsparse.journal import Journal

_PACKAGES = (
    "jaxsparse", "jax", "jaxlib", "flax", "numpy", "tokenizers", "transformers",
)  # fmt: skip


def provenance(settings: Settings) -> dict[str, Any]:
    """Command, code and machine, as run.json and the journal have them."""
    return {
        "command": f"./run.sh {shlex.join(sys.argv[1:])}".strip(),
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "batch_tokens": settings.batch_tokens,
        "levels_at_once": settings.levels_at_once,
        "versions": versions(),
        "python": sys.version.split()[0],
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
        "mesh": settings.mesh and asdict(settings.mesh),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def of_run(
    settings: Settings,
    given: Inputs,
    runs: Sequence[ModelRun],
    made_by: Mapping[str, Any],
    answers: Journal,
) -> dict[str, Any]:
    """What run.json says of the run: how to make it again, and what it was made of.

    Args:
        made_by: its `provenance`.
    """
    started = datetime.fromisoformat(made_by["started"])
    return {
        "notes": notes(settings, given),
        "settings": {**asdict(settings), "out": str(settings.out)},
        "models": {
            model.name: {
                "directory": str(model.checkpoint.directory.resolve()),
                "family": model.family.name,
                "config": str(model.config),
                "digest": run.digest,
                "mesh": run.mesh,
                "batch_tokens": run.batch_tokens,
                "computed": {
                    name: asdict(work) for name, work in run.workloads.items()
                },
            }
            for model, run in zip(given.models, runs, strict=True)
        },
        "questions": len(given.questions),
        "texts": {
            text.name: hashlib.sha256(text.content.encode()).hexdigest()
            for text in given.texts
        },
        "calibration": _calibrations(given),
        "methods": {  # of users' files: the SHA-256 of each one's file
            recipe.method: recipe.source for recipe in settings.recipes if recipe.source
        },
        "malformed": [str(item) for item in given.malformed],
        **made_by,
        "seconds": (datetime.now(UTC) - started).total_seconds(),
        "answers": {"new": answers.recorded, "made_by": answers.sources()},
    }


def _calibrations(given: Inputs) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "source": rows.source,
            "rows": rows.rows,
            "tokens": rows.tokens_per_row,
            "seed": rows.seed,
            "overlapping": rows.overlapping,
            "text_tokens": rows.text_tokens,
            "digest": rows.digest,
        }
        for name, rows in given.calibrations.items()
    }


def notes(settings: Settings, given: Inputs) -> list[str]:
    """What was left out, and what models were calibrated on, in words."""
    texts, asked = [], len(given.questions)
    if asked < given.usable:
        how = "the first of each class (--sample=random draws at random)"
        if settings.sample == "random":
            how = f"drawn from each class by seed {settings.seed}"
        texts.append(f"{asked} of {given.usable:,} questions were asked: {how}")
    if count := len(given.malformed):
        first = "; ".join(str(item) for item in given.malformed[:3])
        items = "item" if count == 1 else "items"
        more = "; …" if count > 3 else ""
        texts.append(f"{count} malformed {items} left out: {first}{more}")
    if given.unread:
        texts.append(f"keys that were not read: {', '.join(given.unread)}")
    said = report.calibrated_on({"calibration": _calibrations(given)})
    texts += [f"calibrated on {rows}" for rows in said]
    if given.overlap:
        texts.append(
            f"matches of the questions' sentences in that text: {given.overlap:,} "
            "(--allow_overlap)"
        )
    return texts


def spent(runs: Sequence[ModelRun]) -> str:
    """What was spent beside the questions."""
    workloads = [work for run in runs for work in run.workloads.values()]
    padding = max(work.padding for work in workloads)
    whole = sum(work.read_as_a_whole for work in workloads)
    return (
        f"compilations: {sum(work.compilations for work in workloads)} in "
        f"{sum(work.compile_seconds for work in workloads):.1f} s; of the tokens "
        f"computed up to {padding:.0%} were padding; {whole:,} questions were read as "
        "whole texts, not word by word"
    )


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str | None]:
    """By package; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _git(*arguments: str) -> str | None:
    """What git says of the code that runs; None where there is no git or checkout."""
    try:
        result = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return result.stdout.strip() or None
