"""Starts a job, as run.sh does: python -m experiments JOB [flags].

Little is imported here: signals are taken before anything that takes long.
"""

import sys
from pathlib import Path


def main(job: str) -> None:
    """Does a job by the arguments in sys.argv."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a job may be run as a file
        _fail("Python 3.11 or newer is needed", job)
    from experiments import signals

    signals.take()
    try:
        from experiments import command, jobs

        if job not in jobs.JOBS:
            _fail(f"there is no job {job}, but {', '.join(jobs.JOBS)}", "JOB")
        command.run(job)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("experiments", "jaxsparse"):
            raise
        _fail(f"{error.name} is not installed for {sys.executable}", job)


def main_of_file(path: str) -> None:
    """Does the job of a module that is run itself."""
    sys.exit(main(Path(path).stem))


def _fail(problem: str, job: str) -> None:
    print(f"error: {problem}; start it by ./run.sh {job}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1].startswith("-"):
        sys.argv.insert(1, "sweep")
    del sys.argv[0]
    main(sys.argv[0])
