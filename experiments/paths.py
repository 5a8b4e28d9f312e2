"""Paths that flags name: texts to read, directories to write whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jaxsparse.types import InputError


def text_files(flag: str, names: Sequence[str]) -> list[Path]:
    """The files that a flag names; of a directory its .txt files, sorted by name."""
    if not names:
        raise InputError(f"--{flag} is missing; name text files or their directory")
    found: list[Path] = []
    for name in names:
        path = Path(os.path.expanduser(name))
        if not path.exists():
            raise InputError(f"--{flag}={name}: no such file or directory")
        inside = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"--{flag}={name}: no .txt file in that directory")
        found += inside
    for path in found:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"--{flag}: the file name {str(path)!r} is not UTF-8; rename it"
            ) from None
    return found


def new_directory(flag: str, name: str | None) -> Path:
    """A directory that a flag names and that does not exist yet, but could."""
    if not name:
        raise InputError(f"--{flag} is missing; name the directory to write")
    directory = Path(os.path.abspath(os.path.expanduser(name)))
    if os.path.lexists(directory):
        raise InputError(f"--{flag}={name}: exists already; name a new directory")
    nearest = next(path for path in directory.parents if os.path.lexists(path))
    if not nearest.is_dir():
        raise InputError(f"--{flag}={name}: {nearest} is a file; name a directory")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(
            f"--{flag}={name}: cannot write in {nearest} ({error.strerror}); "
            "name another directory"
        ) from None
    return directory


@contextmanager
def written_whole(directory: Path) -> Iterator[Path]:
    """Gives a directory to write to, and makes it `directory` once all is written."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield partial
        partial.chmod(0o755)
        os.replace(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
