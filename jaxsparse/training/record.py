"""What a training run is made of, kept in its directory, so that a restart goes on with
the same run or says that it cannot."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxsparse.types import InputError
from jaxsparse.whole import atomic_file

NAME = "run.json"
_MISSING = object()  # a setting that is not there, which null is


def is_begun(
    directory: Path, made_of: Mapping[str, Any], digests: Collection[str] = ()
) -> bool:
    """Whether a run stands there that is made of the same.

    Args:
        made_of: every setting that decides the run's bits, as JSON has it; what is
            nested counts by its own name.
        digests: the names of those settings that are digests, whose values say nothing.

    Raises:
        InputError: it is made of something else, with up to three settings that differ;
            or nobody knows of what.
    """
    record = directory / NAME
    if not record.is_file():
        if (directory / "checkpoints").exists():
            raise InputError(
                f"{directory} holds checkpoints, but no {NAME} that says what of; "
                "name another directory"
            )
        return False
    try:
        begun = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        begun = None
    if not isinstance(begun, dict):
        raise InputError(f"{record} is damaged; name another directory")
    if differ := list(_differences(begun, made_of, digests)):
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise InputError(
            f"{directory} holds another run: {', '.join(differ[:3])}{more}; "
            "repeat that run's command, or name another directory"
        )
    return True


def _differences(
    there: Mapping[str, Any], here: Mapping[str, Any], digests: Collection[str]
) -> Iterator[str]:
    """Every setting that differs, by its own name, with both values."""
    for name in dict.fromkeys((*here, *there)):
        other, value = there.get(name, _MISSING), here.get(name, _MISSING)
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _differences(other, value, digests)
        elif name in digests and other != value:
            yield f"the {name.replace('_', ' ')} differ"
        elif other != value:
            said = [
                "missing" if setting is _MISSING else json.dumps(setting)
                for setting in (other, value)
            ]
            yield f"{name} is {said[0]} there and {said[1]} here"


def write(directory: Path, made_of: Mapping[str, Any]) -> None:
    with atomic_file(directory / NAME) as partial:
        text = json.dumps(made_of, indent=2)
        partial.write_text(f"{text}\n", encoding="utf-8")
