"""Files and directories that are written whole or not at all: under another name first,
then renamed; and directories that one process at a time writes to."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from jaxsparse.types import InputError

LOCK = ".jaxsparse.lock"
PARTIAL = re.compile(r"\..+\.\d+\.partial")  # what `whole_file` writes to


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to, and makes it `path` once all is written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """Likewise for a directory, which must not exist yet (of those that do, an empty
    one is replaced); its parents are made."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        yield partial
        partial.chmod(0o777 & ~umask())  # mkdtemp's are for their owner only
        os.replace(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def made(directory: Path) -> Iterator[None]:
    """Makes a directory and its parents; those that are empty in the end go again."""
    lacking = [
        path for path in (directory, *directory.parents) if not os.path.lexists(path)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # it is not empty
            for path in lacking:
                path.rmdir()


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keeps other processes from a directory; the lock goes with its process, however
    that ends. What a process that was killed had half-written is taken away.

    Raises:
        InputError: another process holds it.
    """
    path = directory / LOCK
    with _lock(path) as file:
        with suppress(OSError):  # who holds it is a courtesy, and the disk may be full
            file.truncate(0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
        for partial in directory.iterdir():
            if PARTIAL.fullmatch(partial.name) and partial.is_file():
                partial.unlink(missing_ok=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _lock(path: Path) -> TextIO:
    while True:
        file = open(path, "a+", opener=_open_no_link)  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read().strip()
            raise InputError(
                f"{path.parent}: another process{f' ({holder})' * bool(holder)} is "
                "writing there; wait for it, or name another directory"
            ) from None
        except OSError as error:
            file.close()
            raise InputError(
                f"{path}: cannot be locked ({error.strerror}); name a directory on "
                "another file system"
            ) from None
        # Its holder may have taken the file away since: then others would lock another.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def umask() -> int:
    """The permissions that a new file does not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
