"""Merges runs over the same questions into one report.

./run.sh report --runs=DIR,DIR --out=DIR
"""

import os
import shlex
import sys
from contextlib import closing
from pathlib import Path

from absl import flags as absl_flags

import experiments.out  # noqa: F401 - it defines --out
from experiments import command, paths
from experiments.progress import Shown
from jaxsparse import report
from jaxsparse.types import InputError

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_list("runs", [], "directories of runs that asked the same questions")
absl_flags.DEFINE_integer(
    "explorer_questions", report.MOST_QUESTIONS,
    "how many report.html holds for looking at, even over the classes; 0: all",
    lower_bound=0,
)  # fmt: skip


def main() -> None:
    directories = run_directories(FLAGS.runs)
    out = out_directory(FLAGS.out, directories)
    report.check_replaceable(out, report.MERGED_FILES)
    said = f"./run.sh report {shlex.join(sys.argv[1:])}"
    with closing(Shown()) as shown:
        runs = read(directories, shown)
        merged = report.merge(runs)
        try:
            written = report.write_merged(
                out, merged, said, runs, FLAGS.explorer_questions, shown
            )
        except OSError as error:
            raise InputError(
                f"{out}: the report could not be written ({error.strerror}); mend "
                "that, or name another directory with --out"
            ) from error
    print(report.terminal(merged.results))
    for note in merged.notes:
        print(note)
    print(f"Written to {out}: {', '.join(written)}")


def read(directories: list[Path], shown: Shown) -> list[report.Run]:
    shown.stage("reading", len(directories), unit="runs", patient=True)
    runs = []
    for directory in directories:
        runs.append(report.read(directory))
        shown.done(1)
    shown.stage("comparing runs", patient=True)
    return runs


def run_directories(names: list[str]) -> list[Path]:
    if not names:
        raise InputError("--runs is missing; name the directories of one or more runs")
    if any(not name.strip() for name in names):
        raise InputError("--runs: an entry is empty; name a directory")
    directories = [Path(os.path.expanduser(name.strip())) for name in names]
    real = [os.path.realpath(directory) for directory in directories]
    for number, one in enumerate(real):
        if one in real[:number]:
            raise InputError(f"--runs: {directories[number]} is given twice")
    return directories


def out_directory(name: str | None, runs: list[Path]) -> Path:
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


if __name__ == "__main__":
    command.run(main, __doc__ or "")
