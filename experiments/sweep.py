"""Draws accuracy against sparsity: every model, method, sparsity and protocol.

./run.sh --model=DIR,gpt2-small --data=DIR --sparsities=0,0.5,0.9 --out=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments import devices, distributed, facts, flags, inputs, paths
from experiments.progress import Shown
from jaxsparse import capacity, hosts, journal, parallel, report
from jaxsparse.journal import Journal
from jaxsparse.model import Blueprint, load
from jaxsparse.points import Point, Workload
from jaxsparse.sweep import sweep
from jaxsparse.types import InputError


def main() -> None:
    distributed.join()
    devices.find()
    settings = checked_settings()
    made_by = facts.provenance(settings)
    start = time.time()
    with (
        kept_answers(settings, made_by) as answers,
        closing(Shown(quiet=not hosts.leads())) as shown,
    ):
        given = read_inputs(settings, shown)
        shown.models(len(given.models))
        scored = [
            score_model(blueprint, settings, given, answers, shown)
            for blueprint in given.models
        ]
        with hosts.together():
            if hosts.leads():
                if not answers.recorded:
                    known = f"{answers.answered:,}"
                    shown.note(f"all {known} answers known; nothing to score")
                points = [point for one in scored for point in one.points]
                run = {
                    **run_facts(settings, given, scored),
                    **made_by,
                    "seconds": time.time() - start,
                    "answers": {"new": answers.recorded, "made_by": answers.sources()},
                }
                shown.rest()
                found = report.statistics(points, settings.margin, shown)
                write(settings, found, run, answers, shown)
                shown.close()
                show(settings, given, scored, found)


def checked_settings() -> flags.Settings:
    """What can be wrong with flags and --out, on any of the processes."""
    with hosts.together():
        settings = flags.settings_from_flags()
        parallel.check(settings.mesh)
        if hosts.leads():
            paths.check_writable("out", settings.out)
            report.check_replaceable(settings.out)
    # Paths may differ from host to host; what is read there is compared by content.
    common = replace(settings, models=(), data="", out=Path())
    hosts.agree("flags", common)
    hosts.agree("versions of packages", facts.versions())
    return settings


@contextmanager
def kept_answers(
    settings: flags.Settings, made_by: Mapping[str, Any]
) -> Iterator[Journal]:
    """The journal in --out; of many processes in the first, and in memory elsewhere."""
    with ExitStack() as stack:
        with hosts.together():
            answers = stack.enter_context(
                journal.opened(settings.out, made_by)
                if hosts.leads()
                else closing(Journal())
            )
        yield answers


def read_inputs(settings: flags.Settings, shown: Shown) -> inputs.Inputs:
    """Models and questions, the same for all processes."""
    with hosts.together():
        given = inputs.read_inputs(settings, shown)
    hosts.agree("models", [(model.name, model.config) for model in given.models])
    hosts.agree("questions", [question.digest for question in given.questions])
    return given


@dataclass(frozen=True)
class Scored:
    """One model's points, and what they were made with."""

    points: list[Point]  # of many processes in the first
    digest: str
    mesh: dict[str, int] | None
    batch_tokens: int
    workloads: dict[str, Workload]  # by protocol


def score_model(
    blueprint: Blueprint,
    settings: flags.Settings,
    given: inputs.Inputs,
    answers: Journal,
    shown: Shown,
) -> Scored:
    """Asks one model; its weights are gone before the next one's are loaded."""
    shown.model(blueprint.name)
    levels = settings.levels_at_once or 1
    mesh = inputs.mesh_of(blueprint, settings.mesh, settings.dtype, levels)
    with hosts.together():
        model = load(blueprint, settings.dtype, mesh, shown)
    hosts.agree(f"weights of {model.name}", model.digest)
    prunable = settings.recipes[0].prunable
    tokens = settings.batch_tokens or capacity.batch_tokens(model, prunable)
    points = list(
        sweep(
            model,
            given.questions,
            settings.recipes,
            settings.sparsities,
            settings.presentations,
            batch_tokens=tokens,
            levels_at_once=settings.levels_at_once,
            journal=answers,
            progress=shown,
        )
    )
    workloads = {
        point.setup.presentation.protocol: point.workload
        for point in points
        if point.workload
    }
    shape = None if mesh is None else dict(mesh.shape)
    return Scored(points, model.digest, shape, tokens, workloads)


def write(
    settings: flags.Settings,
    found: report.Statistics,
    run: dict[str, Any],
    answers: Journal,
    shown: Shown,
) -> None:
    try:
        report.write(settings.out, found, run, progress=shown)
    except OSError as error:
        raise InputError(
            f"{settings.out}: results could not be written ({error.strerror}); "
            f"the journal keeps all {answers.answered} answers: mend that and "
            "repeat the command"
        ) from error


def show(
    settings: flags.Settings,
    given: inputs.Inputs,
    scored: Sequence[Scored],
    found: report.Statistics,
) -> None:
    """What the terminal says in the end."""
    verbose = flags.FLAGS.verbose
    print(report.terminal(found, verbose))
    for note in facts.notes(settings, given):
        print(note)
    if verbose:
        print(spent([work for one in scored for work in one.workloads.values()]))
    print(f"Written to {settings.out}: {', '.join(report.FILES)}")


def spent(workloads: Sequence[Workload]) -> str:
    """What was spent beside the questions."""
    padding = [work.padding for work in workloads]
    return (
        f"compilations: {sum(work.compilations for work in workloads)} in "
        f"{sum(work.compile_seconds for work in workloads):.1f} s; of the tokens "
        f"computed up to {max(padding):.0%} were padding"
    )


def run_facts(
    settings: flags.Settings, given: inputs.Inputs, scored: Sequence[Scored]
) -> dict[str, Any]:
    """What run.json says of the run: how to make it again, and what it was made of."""
    return {
        "notes": facts.notes(settings, given),
        "settings": flags.facts(settings),
        "models": {
            model.name: {
                "directory": str(model.checkpoint.directory.resolve()),
                "family": model.family.name,
                "config": str(model.config),
                "digest": one.digest,
                "mesh": one.mesh,
                "batch_tokens": one.batch_tokens,
                "computed": {
                    name: asdict(work) for name, work in one.workloads.items()
                },
            }
            for model, one in zip(given.models, scored, strict=True)
        },
        "questions": len(given.questions),
        "malformed": [str(item) for item in given.malformed],
    }
