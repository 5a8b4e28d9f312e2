"""With what a result was made: versions of packages, and of the code that runs."""

import importlib.metadata
import subprocess
from collections.abc import Iterable
from pathlib import Path


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """By package; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def git(*arguments: str) -> str | None:
    """What git says of the code that runs; None where there is no git or checkout."""
    try:
        said = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return said.stdout.strip() or None
