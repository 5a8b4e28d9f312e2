"""What every binary does before and after its work: flags, quiet libraries, errors.

Bad input ends in one line on stderr and exit status 2, with a traceback before it if
--verbosity=1; `--help` exits 0. Anything else that goes wrong is our fault and keeps
its traceback.
"""

import io
import logging as logging_of_python
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from absl import flags, logging

from jaxsparse.types import InputError

SILENT = 100  # above every level that Python's logging knows
BOOLEANS = ("true", "false", "True", "False")


class _Terminated(BaseException):
    """A signal ends the program, with this status."""

    def __init__(self, status: int):
        self.status = status


def run(main: Callable[[], None], description: str) -> None:
    """Parses the command line, runs `main`, and exits."""
    program = Path(sys.argv[0]).stem
    # Killed politely, as by a scheduler: what is half-written is cleaned up.
    signals = signal.SIGTERM, signal.SIGINT
    before = [signal.signal(number, _end) for number in signals]
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        if any(argument in ("--help", "-help", "-h") for argument in sys.argv[1:]):
            print(_help(program, description), flush=True)
            sys.exit(0)
        _parse(sys.argv)
        for stream in sys.stdout, sys.stderr:
            if isinstance(stream, io.TextIOWrapper):  # where it knows no dash or dot
                stream.reconfigure(errors="replace")
        quiet_libraries()
        main()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (flags.Error, InputError, OSError) as error:
        if logging.get_verbosity() >= logging.DEBUG:
            traceback.print_exc()
        _fail(" ".join(str(error).split()))
    except _Terminated as end:
        # All is cleaned up. Python would now take XLA apart under its threads' feet.
        for stream in sys.stdout, sys.stderr:
            with suppress(OSError):
                stream.flush()
        os._exit(end.status)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    """Raises what ends the program; not in a callback of the garbage collector, which
    would swallow it, but soon after."""
    at = frame
    while at is not None:
        if at.f_code.co_name.endswith("gc_callback"):
            signal.signal(signal.SIGALRM, lambda _, frame: _end(number, frame))
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return
        at = at.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise _Terminated(128 + number)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _parse(argv: Sequence[str]) -> None:
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"argument {argument!r} is not UTF-8; rename what it names"
            ) from None
    rest = flags.FLAGS(_join_booleans(argv))
    if len(rest) > 1:
        raise InputError(
            f"unexpected argument {rest[1]!r}; flags are written --name=value"
        )


def _join_booleans(argv: Sequence[str]) -> list[str]:
    """`--large True` means `--large=True`: the original experiments wrote it so."""
    joined: list[str] = []
    for argument in argv:
        name = joined[-1].lstrip("-") if joined else ""
        if (
            argument in BOOLEANS
            and joined[-1:] != argv[:1]
            and joined[-1].startswith("-")
            and name in flags.FLAGS
            and flags.FLAGS[name].boolean
        ):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _help(program: str, description: str) -> str:
    """The description, and every flag of our own with its default."""
    lines = [description.strip(), "", f"flags of {program}:"]
    by_module = flags.FLAGS.flags_by_module_dict()
    ours = [
        flag
        for module, members in by_module.items()
        if module.startswith("experiments")
        or module == "__main__"
        or module == sys.argv[0]
        for flag in members
    ]
    for flag in ours:
        default = (
            "" if flag.default in (None, "", []) else f" (default: {_shown(flag)})"
        )
        lines.append(f"  --{flag.name}: {' '.join((flag.help or '').split())}{default}")
    return "\n".join(lines)


def _shown(flag: flags.Flag) -> str:
    default = flag.default
    return ",".join(map(str, default)) if isinstance(default, list) else str(default)


def quiet_libraries() -> None:
    """Keeps other libraries' chatter out of the terminal, and compilations on disk."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It would say that there is no torch, at import: none is needed.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import huggingface_hub
    import jax
    import transformers

    # What fails is said in our own error, once.
    huggingface_hub.logging.set_verbosity(SILENT)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging_of_python.getLogger("matplotlib").setLevel(logging_of_python.ERROR)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "~/.cache")))
        jax.config.update("jax_compilation_cache_dir", str(cache / "jaxsparse/xla"))
