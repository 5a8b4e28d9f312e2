"""The command line of a job: parsed, or explained."""

import ast
import difflib
import importlib.metadata
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.jobs import JOBS, Flag, flags_of
from experiments.values import FALSE, TRUE

WIDTH = 88
BOOLEANS = {*TRUE[:1], *FALSE[:1]}
OF_ABSL = ("flagfile", "undefok")  # it acts on them, defined or not


def parse(job: str, arguments: Sequence[str]) -> flags.FlagValues:
    """Reads the flags of a job, all of them anew.

    Raises:
        flags.Error: with what is wrong, in plain words.
    """
    values = flags_of(job)
    for name in values:
        values[name].unparse()
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            problem = f"argument {argument!r} is not UTF-8; rename what it names"
            raise flags.Error(problem) from None
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and name in OF_ABSL:
            raise flags.Error(_unknown(job, name))
    try:
        rest = values([job, *_join_booleans(values, arguments)])
    except flags.UnrecognizedFlagError as error:
        raise flags.Error(_unknown(job, error.flagname)) from None
    except (flags.Error, ValueError) as error:
        raise flags.Error(_plain(str(error))) from None
    if len(rest) > 1:
        raise flags.Error(
            f"unexpected argument {rest[1]!r}; flags are written --name=value"
        )
    for name, flag in JOBS[job].items():
        if flag.also and values[flag.also].present:
            _take_old_spelling(values[name], values[flag.also])
    return values


def _join_booleans(values: flags.FlagValues, arguments: Sequence[str]) -> list[str]:
    """`--large True` means `--large=True`: the original experiments wrote it so."""
    joined: list[str] = []
    for argument in arguments:
        before = joined[-1] if joined else ""
        name = before.lstrip("-")
        if (
            argument.lower() in BOOLEANS
            and before.startswith("-")
            and name in values
            and values[name].boolean
        ):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _take_old_spelling(new: flags.Flag, old: flags.Flag) -> None:
    if new.present and new.value != old.value:
        raise flags.Error(
            f"--{old.name} is the old spelling of --{new.name}, and they differ; "
            f"leave --{old.name} out"
        )
    new.value = old.value
    new.present += old.present


def _plain(message: str) -> str:
    """absl's message as ours are: the flag first."""
    message = re.sub(r"^Missing value for flag (-\S+)$", r"\1 needs a value", message)
    return message.removeprefix("flag ")


def _unknown(job: str, name: str) -> str:
    """The flag belongs to another job, or is mistyped."""
    taken = ", ".join(f"--{flag}" for flag in JOBS[job])
    plain = name.removeprefix("no") if name.removeprefix("no") in _all() else name
    if plain in _all():
        return f"--{plain} is not a flag of {job}, which takes {taken}"
    near = difflib.get_close_matches(name, JOBS[job], cutoff=0.6)
    if near:
        return f"unknown flag --{name}; is it --{' or --'.join(near)}?"
    return f"unknown flag --{name}; {job} takes {taken}"


def _all() -> set[str]:
    return {name for of_job in JOBS.values() for name in of_job}


# What the library calls otherwise than the command line does.
OTHERWISE = {
    "sparsity": "sparsities", "directory": "export", "name_or_dir": "model",
    "texts": "text", "rows": "calibration_rows", "tokens": "calibration_tokens",
    "at_once": "trained_at_once", "part_tokens": "batch_tokens",
}  # fmt: skip

# Quoted text is somebody's own and stays as it is.
_ARGUMENT = re.compile(
    r"""(?<!\w)(?P<quote>['"]).*?(?P=quote)(?!\w)"""
    r"""|(?<![\w/`])`(?P<name>\w+)(?P<value>=.*?)?`(?=[\s:;,.)]|$)"""
)


def in_flags(job: str, message: str) -> str:
    """What the library says of arguments, `dtype=float16`, said of a job's flags.

    A report speaks of the runs that it reads: the sweep's flags are known in each job.
    """

    def flag(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in JOBS[job]:
            name = OTHERWISE.get(name, name)
        if name in JOBS[job] or name in JOBS["sweep"]:
            return f"--{name}{found['value'] or ''}"
        return found[0]

    return _ARGUMENT.sub(flag, message)


def explained(job: str) -> str:
    """What a job does, and its flags by what they are for."""
    groups: dict[str, list[str]] = {}
    for name, flag in JOBS[job].items():
        groups.setdefault(flag.group, []).append(_line(name, flag))
    *_, every = groups
    groups[every].append("  --version: versions of jaxsparse, JAX and Python")
    lines = [_description(job), "", f"flags of {job}:"]
    for group, members in groups.items():
        lines += ["", group, *members]
    return "\n".join([*lines, "", "The other jobs: ./run.sh help"])


def _line(name: str, flag: Flag) -> str:
    default = flag.default
    text = f"--{name}: {flag.help}"
    if isinstance(default, list):
        default = ",".join(default)
    if isinstance(default, bool):
        default = "true" if default else None
    if default not in (None, ""):
        text += f" (default: {default})"
    if flag.also:
        text += f" (also --{flag.also})"
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _description(job: str) -> str:
    """The docstring of a job's module, which is not imported for it."""
    file = Path(__file__).with_name(f"{job}.py")
    if not file.exists():
        file = file.with_suffix("") / "__init__.py"
    source = file.read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").strip()


def versions() -> str:
    ours, jax = map(importlib.metadata.version, ("jaxsparse", "jax"))
    return f"jaxsparse {ours}, jax {jax}, Python {sys.version.split()[0]}"
