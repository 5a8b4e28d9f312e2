"""What the curves of a run come to: the files of --out, and what the terminal says."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments import facts
from experiments.flags import Settings
from experiments.inputs import Inputs
from experiments.model_run import ModelRun
from experiments.progress import Shown
from jaxsparse import report
from jaxsparse.journal import Journal
from jaxsparse.types import InputError


def conclude(
    settings: Settings,
    given: Inputs,
    runs: Sequence[ModelRun],
    run: dict[str, Any],
    answers: Journal,
    shown: Shown,
    verbose: bool,
    beside: Callable[[Path], Sequence[str]] = lambda out: (),
) -> None:
    """Writes and shows all results.

    Args:
        run: what run.json says.
        beside: writes further files into --out, and says their names.

    Raises:
        InputError: files that cannot be written.
    """
    if not (answers.recorded or answers.losses.recorded):
        shown.note(f"all {answers.answered:,} answers known; nothing to score")
    shown.rest()
    points = [point for of_model in runs for point in of_model.points]
    found = report.statistics(points, settings.margin, shown)
    try:
        report.write(settings.out, found, run, given.calibrations, progress=shown)
        further = beside(settings.out)
    except OSError as error:
        raise InputError(
            f"{settings.out}: results could not be written ({error.strerror}); "
            f"the journal keeps all {answers.answered} answers: mend that and "
            "repeat the command"
        ) from error
    shown.close()
    print(report.terminal(found, verbose))
    for note in run["notes"]:
        print(note)
    if verbose:
        print(facts.spent(runs))
    files = [*report.files_of(found.points, bool(given.calibrations)), *further]
    print(f"Written to {settings.out}: {', '.join(files)}")
