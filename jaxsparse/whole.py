"""Files and directories that are written whole or not at all: under another name first,
then renamed; and directories that one process at a time writes to.

What is there only for a while goes in the end, also when a signal ends the process: it
then calls `abandon`. What a process left that was killed, the next one takes away.
"""

import fcntl
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from jaxsparse.types import InputError

LOCK = ".jaxsparse.lock"
SCRATCH = ".partial"  # how the name of a `scratch_directory` ends
PARTIAL = re.compile(r"\..+\.\d+\.partial")  # what `atomic_file` writes to


_removals: list[Callable[[], None]] = []  # what is there only for a while


def abandon() -> None:
    """Takes away what is there only for a while, the last first. The process has to
    leave then; it does no harm if something is written there meanwhile."""
    for remove in _removals[::-1]:
        with suppress(OSError):
            remove()


@contextmanager
def temporary(remove: Callable[[], None]) -> Iterator[None]:
    """In the end calls `remove`, for which it is no fault if nothing is there."""
    _removals.append(remove)
    try:
        yield
    finally:
        remove()
        _removals.remove(remove)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to, and makes it `path` once all is written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with temporary(lambda: partial.unlink(missing_ok=True)):
        yield partial
        os.replace(partial, path)


@contextmanager
def atomic_directory(directory: Path) -> Iterator[Path]:
    """Likewise for a directory, which must not exist yet (of those that do, an empty
    one is replaced); its parents are made."""
    prefix = f".{directory.name}-"
    for stale in directory.parent.glob(f"{glob.escape(prefix)}*{SCRATCH}"):
        with suppress(OSError), _dir_locked(stale):
            shutil.rmtree(stale)
    with (
        made(directory.parent),
        scratch_directory(prefix, directory.parent) as partial,
    ):
        yield partial
        partial.chmod(0o777 & ~umask())  # mkdtemp's are for their owner only
        os.replace(partial, directory)


@contextmanager
def scratch_directory(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A directory that is there for a while, somewhere temporary or in `parent`."""
    with ExitStack() as stack:
        directory = _new_directory(prefix, parent, stack)
        gone = temporary(lambda: shutil.rmtree(directory, ignore_errors=True))
        stack.enter_context(gone)
        yield directory


def _new_directory(prefix: str, parent: Path | None, stack: ExitStack) -> Path:
    """A new directory, locked until the stack ends. Until it is locked, another process
    may take it for one that was left, and away: then another one is made."""
    while True:
        directory = Path(tempfile.mkdtemp(SCRATCH, prefix, parent))
        try:
            stack.enter_context(_dir_locked(directory))
        except (BlockingIOError, FileNotFoundError):
            continue
        except OSError:  # a file system without locks: it may stay for good
            return directory
        if directory.exists():
            return directory


@contextmanager
def _dir_locked(directory: Path) -> Iterator[None]:
    """The lock that tells a directory in use from one that a killed process left."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def made(directory: Path) -> Iterator[None]:
    """Makes a directory and its parents; those that are empty in the end go again."""
    lacking = [
        path for path in (directory, *directory.parents) if not os.path.lexists(path)
    ]

    def remove() -> None:
        with suppress(OSError):  # it is not empty
            for path in lacking:
                path.rmdir()

    with temporary(remove):
        directory.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def locked(directory: Path) -> Iterator[None]:
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
        with temporary(lambda: path.unlink(missing_ok=True)):
            yield


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
