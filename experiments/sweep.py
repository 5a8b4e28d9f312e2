"""Draws accuracy against sparsity: every model, method, sparsity and protocol.

./run.sh --model=DIR,gpt2-small --data=DIR --sparsities=0,0.5,0.9 --out=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments import curves, devices, distributed, facts, flags, inputs, paths
from experiments.model_run import run_model
from experiments.progress import Shown
from jaxsparse import hosts, journal, parallel, report, sparse
from jaxsparse.journal import Journal


def main() -> None:
    distributed.join()
    devices.find()
    settings = _settings()
    made_by = facts.provenance(settings)
    with (
        _journal(settings, made_by) as answers,
        closing(Shown(quiet=not hosts.is_first())) as shown,
    ):
        given = _inputs(settings, shown)
        execution = sparse.Execution.of(settings.execution, settings.dtype, None)
        shown.models(len(given.models))
        runs = [
            run_model(blueprint, settings, given, execution, answers, shown)
            for blueprint in given.models
        ]
        with hosts.together():
            if hosts.is_first():
                run = facts.of_run(settings, given, runs, made_by, answers)
                curves.conclude(
                    settings, given, runs, run, answers, shown, flags.FLAGS.verbose
                )


def _settings() -> flags.Settings:
    """What can be wrong with flags and --out, on any of the processes."""
    with hosts.together():
        settings = flags.settings_from_flags()
        parallel.check(settings.mesh)
        divided = settings.mesh is not None and settings.mesh.devices > 1
        levels = settings.levels_at_once
        sparse.check(settings.execution, settings.dtype, divided, levels)
        if hosts.is_first():
            paths.check_writable("out", settings.out)
            report.check_replaceable(settings.out)
    # Paths may differ from host to host; what is read there is compared by content.
    common = replace(
        settings, models=(), data="", texts=(), calibration=None, out=Path()
    )
    hosts.agree("flags", common)
    hosts.agree("files of methods", [recipe.source for recipe in settings.recipes])
    hosts.agree("versions of packages", facts.versions())
    return settings


@contextmanager
def _journal(settings: flags.Settings, made_by: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal in --out; of many processes in the first, and in memory elsewhere."""
    with ExitStack() as stack:
        with hosts.together():
            answers = stack.enter_context(
                journal.opened(settings.out, made_by)
                if hosts.is_first()
                else closing(Journal())
            )
        yield answers


def _inputs(settings: flags.Settings, shown: Shown) -> inputs.Inputs:
    """Models and questions, the same for all processes."""
    with hosts.together():
        given = inputs.read_inputs(settings, shown)
    hosts.agree("models", [(model.name, model.config) for model in given.models])
    hosts.agree("questions", [question.digest for question in given.questions])
    hosts.agree("texts", given.texts)
    rows = [calibration.digest for calibration in given.calibrations.values()]
    hosts.agree("calibration", rows)
    return given
