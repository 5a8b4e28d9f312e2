"""Merges runs over the same questions into one report.

./run.sh report --runs=DIR,DIR --out=DIR
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import os
import shlex
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from experiments import paths, shared_settings, usage
from experiments.jobs import flags_of
from experiments.progress import Shown
from experiments.values import comma_hint
from jaxsparse import report
from jaxsparse.types import InputError

FLAGS = flags_of("report")


def main() -> None:
    directories = _run_directories(FLAGS.runs)
    out = _out_directory(FLAGS.out, directories)
    report.check_replaceable(out, report.MERGED_FILES)
    command = f"./run.sh report {shlex.join(sys.argv[1:])}"
    with closing(Shown()) as shown:
        runs = _read(directories, shown)
        merged = report.merge(runs, shared_settings.margin_of(FLAGS))
        notes = tuple(usage.in_flags("report", note) for note in merged.notes)
        merged = replace(merged, notes=notes)
        found = report.statistics(merged.points, merged.margin, shown)
        try:
            written = report.write_merged(
                out, found, merged, command, runs, FLAGS.explorer_questions, shown
            )
        except OSError as error:
            raise InputError(
                f"{out}: the report could not be written ({error.strerror}); mend "
                "that, or name another directory with --out"
            ) from error
    print(report.terminal(found, FLAGS.verbose))
    for note in notes:
        print(note)
    print(f"Written to {out}: {', '.join(written)}")


def _read(directories: list[Path], shown: Shown) -> list[report.RunFiles]:
    shown.stage("reading", len(directories), unit="runs", patient=True)
    runs = []
    for directory in directories:
        runs.append(report.read(directory))
        shown.done(1)
    shown.stage("comparing runs", patient=True)
    return runs


def _run_directories(names: list[str]) -> list[Path]:
    if not names:
        raise InputError("--runs is missing; name the directories of one or more runs")
    if any(not name for name in names):
        raise InputError("--runs: an entry is empty; name a directory")
    directories = [Path(os.path.expanduser(name)) for name in names]
    for name, directory in zip(names, directories, strict=True):
        if not directory.is_dir():
            raise InputError(
                f"--runs: {name}: no such directory{comma_hint(names, name)}"
            )
    real = [os.path.realpath(directory) for directory in directories]
    for number, directory in enumerate(real):
        if directory in real[:number]:
            raise InputError(f"--runs: {directories[number]} is given twice")
    return directories


def _out_directory(name: str | None, runs: list[Path]) -> Path:
    if not name:
        raise InputError("--out is missing; name the directory to write the report to")
    out = Path(os.path.expanduser(name))
    if os.path.realpath(out) in map(os.path.realpath, runs):
        raise InputError(
            f"--out={name} is one of --runs, whose files would be replaced; name "
            "another directory"
        )
    paths.check_writable("out", out)
    return out
