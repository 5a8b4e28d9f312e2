"""What every job has around its work: flags, quiet libraries, errors.

Bad input ends in one line on stderr and exit status 2, with a traceback before it if
--verbosity=1; `--help` exits 0. Anything else that goes wrong is our fault and keeps
its traceback.
"""

import importlib
import io
import logging as logging_of_python
import os
import signal
import sys
import traceback
import warnings

from absl import flags, logging

from experiments import signals, usage
from experiments.jobs import flags_of

SILENT = 100  # above every level that Python's logging knows


def run(job: str) -> None:
    """Does the job that its name tells by the command line in sys.argv."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):  # where it knows no dash or dot
            # By lines, so that nothing said is lost when a signal ends the process.
            stream.reconfigure(errors="replace", line_buffering=True)
    try:
        _run(job, sys.argv[1:])
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (flags.Error, OSError) as error:
        _fail(job, error)


def _run(job: str, arguments: list[str]) -> None:
    if {"--help", "-help", "-h"} & {*arguments}:
        print(usage.explained(job))
        return
    if "--version" in arguments:
        print(usage.versions())
        return
    values = usage.parse(job, arguments)
    flags.FLAGS.mark_as_parsed()  # or absl's logging says that it is too early
    logging.set_verbosity(values.verbosity)
    quiet_libraries()
    # Only now: they take seconds to import.
    from jaxsparse import whole
    from jaxsparse.types import InputError

    signals.clean_up_by(whole.abandon)
    try:
        importlib.import_module(f"experiments.{job}").main()
    except InputError as error:
        _fail(job, error, usage.in_flags(job, str(error)))


def _fail(job: str, error: Exception, message: str | None = None) -> None:
    if (flags_of(job)["verbosity"].value or 0) >= logging.DEBUG:
        traceback.print_exc()
    try:
        print(f"error: {' '.join((message or str(error)).split())}", file=sys.stderr)
    except OSError:  # nobody can read it; the status still says it
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    sys.exit(2)


def quiet_libraries() -> None:
    """Keeps other libraries' chatter out of the terminal, and compilations on disk."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A notebook's names a module that is not installed here, and nothing is shown.
    os.environ["MPLBACKEND"] = "agg"
    # It would say that there is no torch, at import: none is needed.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import huggingface_hub

    try:
        import jax
    except ValueError as error:  # of JAX_ENABLE_X64 and many like it
        raise flags.Error(
            f"JAX does not start: {error}; mend that variable of the environment"
        ) from error
    import transformers

    # What fails is said in our own error, once.
    huggingface_hub.logging.set_verbosity(SILENT)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging_of_python.getLogger("matplotlib").setLevel(logging_of_python.ERROR)
    # Such as in a home that is read-only: then it is compiled again, no more.
    warnings.filterwarnings("ignore", "Error (read|writ)ing persistent compilation")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        from jaxsparse.sparse.build import cache_directory

        cache = cache_directory().with_name("xla")
        jax.config.update("jax_compilation_cache_dir", str(cache))
