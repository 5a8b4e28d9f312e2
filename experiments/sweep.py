"""Draws accuracy against sparsity: every model, method, sparsity and protocol.

./run.sh --model=DIR,gpt2-small --data=DIR --sparsities=0,0.5,0.9 --out=DIR
"""

import importlib.metadata
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from experiments import command, flags, inputs, paths
from experiments.progress import Shown
from jaxsparse import journal, report
from jaxsparse.journal import Journal
from jaxsparse.model import Blueprint, load
from jaxsparse.sweep import sweep
from jaxsparse.types import InputError

# Tokens of a batch: on a CPU more only take more memory, an accelerator wants many.
BATCH_TOKENS = {"cpu": 4096}
ACCELERATOR_BATCH_TOKENS = 32768

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "tokenizers", "transformers")


def main() -> None:
    settings = flags.settings_from_flags()
    paths.check_writable("out", settings.out)
    report.check_replaceable(settings.out)
    made_by = provenance(settings)
    start = time.time()
    with journal.opened(settings.out, made_by) as answers:
        given = inputs.read_inputs(settings)
        with closing(Shown(len(given.models))) as shown:
            results = [
                result
                for blueprint in given.models
                for result in results_of(blueprint, settings, given, answers, shown)
            ]
        run = {
            **facts(settings, given, results),
            **made_by,
            "seconds": time.time() - start,
            "answers": {"new": answers.recorded, "made_by": answers.sources()},
        }
        try:
            report.write(settings.out, results, run)
        except OSError as error:
            raise InputError(
                f"{settings.out}: results could not be written ({error.strerror}); "
                f"the journal keeps all {answers.answered} answers: mend that and "
                "repeat the command"
            ) from error
    print(report.terminal(results))
    for note in notes(given):
        print(note)
    print(f"Written to {settings.out}: {', '.join(report.FILES)}")


def results_of(
    blueprint: Blueprint,
    settings: flags.Settings,
    given: inputs.Inputs,
    answers: Journal,
    shown: Shown,
) -> Iterator[report.Result]:
    """One model's points; its weights are gone before the next one's are loaded."""
    shown.model(blueprint.name)
    model = load(blueprint, settings.dtype)
    points = sweep(
        model,
        given.questions,
        settings.recipes,
        settings.sparsities,
        settings.protocols,
        context=settings.context,
        detokenize=settings.detokenize,
        batch_tokens=batch_tokens(settings),
        levels_at_once=settings.levels_at_once,
        journal=answers,
        progress=shown,
    )
    for point in points:
        yield report.Result.of(model, point)


def batch_tokens(settings: flags.Settings) -> int:
    """As asked, or what suits the device."""
    suits = BATCH_TOKENS.get(jax.default_backend(), ACCELERATOR_BATCH_TOKENS)
    return settings.batch_tokens or suits


def facts(
    settings: flags.Settings, given: inputs.Inputs, results: Sequence[report.Result]
) -> dict[str, Any]:
    """What run.json says of the run: how to make it again, and what it was made of."""
    digests = {result.asking.model: result.digest for result in results}
    return {
        "notes": notes(given),
        "settings": {**flags.facts(settings), "batch_tokens": batch_tokens(settings)},
        "models": {
            model.name: {
                "directory": str(model.checkpoint.directory.resolve()),
                "family": model.family.name,
                "config": str(model.config),
                "digest": digests[model.name],
            }
            for model in given.models
        },
        "questions": len(given.questions),
        "malformed": [str(item) for item in given.malformed],
    }


def provenance(settings: flags.Settings) -> dict[str, Any]:
    """Command, code and machine, as run.json and the journal have them."""
    return {
        "command": f"./run.sh {shlex.join(sys.argv[1:])}".strip(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "batch_tokens": batch_tokens(settings),
        "levels_at_once": settings.levels_at_once,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "devices": [str(device) for device in jax.devices()],
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def notes(given: inputs.Inputs) -> list[str]:
    """What was left out, in words."""
    if not given.malformed:
        return []
    count = len(given.malformed)
    first = "; ".join(str(item) for item in given.malformed[:3])
    more = "; …" * (count > 3)
    return [f"{count} malformed item{'s' * (count > 1)} left out: {first}{more}"]


def _git(*arguments: str) -> str | None:
    """What git says of the code that runs; None where there is no git or checkout."""
    try:
        git = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return git.stdout.strip() or None


if __name__ == "__main__":
    command.run(main, __doc__ or "")
