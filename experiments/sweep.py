"""Draws accuracy against sparsity: every model, method, sparsity and protocol.

./run.sh --model=DIR,gpt2-small --data=DIR --sparsities=0,0.5,0.9 --out=DIR
"""

import importlib.metadata
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from experiments import command, flags, inputs
from experiments.progress import tracker
from jaxsparse import report
from jaxsparse.model import Blueprint, load
from jaxsparse.sweep import sweep

# Tokens of a batch: on a CPU more only take more memory, an accelerator wants many.
BATCH_TOKENS = {"cpu": 4096}
ACCELERATOR_BATCH_TOKENS = 32768

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "tokenizers", "transformers")


def main() -> None:
    settings = flags.settings_from_flags()
    given = inputs.read_inputs(settings)
    start = time.time()
    results = [
        result
        for blueprint in given.models
        for result in results_of(blueprint, settings, given)
    ]
    report.write(settings.out, results, facts(settings, given, time.time() - start))
    print(report.terminal(results))
    for note in notes(given):
        print(note)
    print(f"Written to {settings.out}: {', '.join(report.FILES)}")


def results_of(
    blueprint: Blueprint, settings: flags.Settings, given: inputs.Inputs
) -> Iterator[report.Result]:
    """One model's points; its weights are gone before the next one's are loaded."""
    model = load(blueprint, settings.dtype)
    backend = jax.default_backend()
    points = sweep(
        model,
        given.questions,
        settings.recipes,
        settings.sparsities,
        settings.protocols,
        context=settings.context,
        detokenize=settings.detokenize,
        batch_tokens=settings.batch_tokens
        or BATCH_TOKENS.get(backend, ACCELERATOR_BATCH_TOKENS),
        levels_at_once=settings.levels_at_once,
        track=tracker(blueprint.name),
    )
    for point in points:
        yield report.Result.of(blueprint.name, model.family, model.dtype, point)


def facts(
    settings: flags.Settings, given: inputs.Inputs, seconds: float
) -> dict[str, Any]:
    """What run.json says: how to make these results again, and where they came from."""
    return {
        "command": f"./run.sh {shlex.join(sys.argv[1:])}".strip(),
        "notes": notes(given),
        "settings": flags.facts(settings),
        "models": {
            model.name: {
                "directory": str(model.checkpoint.directory),
                "family": model.family.name,
                "config": str(model.config),
            }
            for model in given.models
        },
        "questions": len(given.questions),
        "malformed": [str(item) for item in given.malformed],
        "seconds": seconds,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "devices": [str(device) for device in jax.devices()],
        "git_commit": _git_commit(),
    }


def notes(given: inputs.Inputs) -> list[str]:
    """What was left out, in words."""
    if not given.malformed:
        return []
    first = "; ".join(str(item) for item in given.malformed[:3])
    more = "; …" if len(given.malformed) > 3 else ""
    return [f"{len(given.malformed)} malformed questions left out: {first}{more}"]


def _git_commit() -> str | None:
    """The commit of the code that ran, where it is a git checkout."""
    git = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return git.stdout.strip() or None


if __name__ == "__main__":
    command.run(main, __doc__ or "")
