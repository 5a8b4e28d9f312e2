"""Criteria from a file of the user's own: `my_scores.py:name`.

Such a file is run, with whatever it does, because the user names it as a method; a
table of results that names it never has it run.
"""

import functools
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxsparse.pruning.groups import SCOPES
from jaxsparse.pruning.scores import Criterion
from jaxsparse.pruning.statistics import NEEDS
from jaxsparse.types import InputError, brief


def from_file(method: str, file: str, name: str) -> tuple[Criterion, str]:
    """A function of a file of the user's, and the SHA-256 of the file's text.

    Its attributes `needs`, `scopes` and `draws`, if it has them, are those of a
    Criterion. A file is read and run once in a process.

    Args:
        method: as it was given, for errors.
        file: relative to the working directory, or absolute.

    Raises:
        InputError: no such file or function; it does not run; attributes that say
            nothing known.
    """
    path = Path(file).expanduser().absolute()
    try:
        module, source = _run(path)
    except OSError as error:
        raise InputError(
            f"`method={method}`: {file} cannot be read ({error.strerror}); pass a path "
            "that is absolute, or relative to the working directory"
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(
            f"`method={method}`: {file} does not run ({brief(error)})"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        known = (key for key, value in vars(module).items() if callable(value))
        own = ", ".join(key for key in known if not key.startswith("_"))
        raise InputError(
            f"`method={method}`: {file} has no function {name!r}; it has "
            f"{own or 'none'}"
        )
    return (
        Criterion(
            function,
            _known(method, "scopes", getattr(function, "scopes", SCOPES[:2]), SCOPES),
            _known(method, "needs", getattr(function, "needs", ()), NEEDS),
            bool(getattr(function, "draws", False)),
        ),
        source,
    )


@functools.cache
def _run(path: Path) -> tuple[ModuleType, str]:
    text = path.read_bytes()
    source = hashlib.sha256(text).hexdigest()
    module = ModuleType(f"methods_{source[:16]}")
    module.__file__ = str(path)
    code = compile(text, str(path), "exec")
    sys.modules[module.__name__] = module  # where dataclasses look for their own
    exec(code, vars(module))
    return module, source


def _known(
    method: str, attribute: str, values: Any, known: Iterable[str]
) -> tuple[str, ...]:
    names = tuple(values) if isinstance(values, list | tuple) else (values,)
    wrong = [name for name in names if name not in known]
    if wrong or (attribute == "scopes" and not names):
        raise InputError(
            f"`method={method}`: its {attribute} are {values!r}; a tuple of "
            f"{', '.join(known)} is wanted"
        )
    return names
