"""The kernel as a library: built by the machine's own compiler at first use, and kept
by content, compiler and processor."""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import jax

from jaxsparse.processes import cores
from jaxsparse.types import brief
from jaxsparse.whole import scratch_directory

SOURCE = Path(__file__).with_name("kernel.cc")
TARGETS = ("linear", "feed_forward", "attention")
COMPILERS = ("c++", "g++", "clang++")  # $CXX before them
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-w")
LONGEST = 300  # seconds that a compiler may take


class Unavailable(RuntimeError):
    """This machine cannot compute sparse products; says why."""


def cache_directory() -> Path:
    """What was built and measured on this machine. Relative only for a user who has no
    home: a relative XDG_CACHE_HOME counts as none, as its specification has it."""
    named = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "")))
    cache = named if named.is_absolute() else Path(os.path.expanduser("~/.cache"))
    return cache / "jaxsparse" / "sparse"


def library() -> ctypes.CDLL:
    """The kernel, its functions registered with JAX.

    Raises:
        Unavailable: no compiler, one that fails, what it made does not load, or there
            is no place to keep it.
    """
    found = _registered()
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@functools.cache
def _registered() -> ctypes.CDLL | str:
    """Or why there is none: what fails is not tried again."""
    try:
        loaded = find_or_build()
    except Unavailable as error:
        return str(error)
    for name in TARGETS:
        handler = jax.ffi.pycapsule(getattr(loaded, f"jaxsparse_{name}"))
        jax.ffi.register_ffi_target(f"jaxsparse_{name}", handler, platform="cpu")
    loaded.jaxsparse_count.restype = ctypes.c_int64
    return loaded


def machine() -> str:
    """What times are measured on: the processor, and how many of its cores this
    process may use."""
    return f"{_processor()} {cores()}"


@functools.cache
def _processor() -> str:
    """Its model and what instructions it has, as Linux tells them."""
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    first = lines[: lines.index("")] if "" in lines else lines
    found = [line for line in first if line.startswith(wanted)]
    return " ".join([platform.machine(), *found])


def find_or_build() -> ctypes.CDLL:
    """The library from the cache, where its file name says what it was made of and,
    so that a damaged one is made anew, what is in it."""
    compiler = _compiler()
    command = [*compiler, *_flags(), *FLAGS, f"-I{jax.ffi.include_dir()}"]
    made_of = repr((SOURCE.read_bytes(), command, version("jaxlib"), _processor()))
    name = f"kernel-{_digest(made_of.encode())}"
    directory = cache_directory()
    if not directory.is_absolute():
        raise Unavailable(
            "this user has no home for it; name a directory of your own in "
            "XDG_CACHE_HOME"
        )
    try:
        _make_own(directory)
        for path in directory.glob(f"{name}-*.so"):
            if path.name == f"{name}-{_digest(path.read_bytes())}.so":
                _check_own(path)
                return _load(path)
        with scratch_directory(f".{name}-", directory) as scratch:
            made = scratch / "kernel.so"
            _run([*command, str(SOURCE), "-o", str(made)])
            _load(made)  # what does not load is not kept
            made.chmod(0o700)
            kept = directory / f"{name}-{_digest(made.read_bytes())}.so"
            os.replace(made, kept)
        return _load(kept)  # by the name of a file that there is
    except OSError as error:
        raise Unavailable(f"{directory} cannot be used ({brief(error)})") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _make_own(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    _check_own(directory)


def _check_own(path: Path) -> None:
    """Code is loaded from here: nobody else may have put it there.

    Raises:
        Unavailable: its owner is neither this user nor root, or others may write.
    """
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
        raise Unavailable(
            f"{path}: others may write there, and code is loaded from it; take that "
            "right away, or name a directory of your own in XDG_CACHE_HOME"
        )


def _load(path: Path) -> ctypes.CDLL:
    try:
        loaded = ctypes.CDLL(str(path))
        for name in TARGETS:
            getattr(loaded, f"jaxsparse_{name}")
    except (OSError, AttributeError) as error:
        raise Unavailable(
            f"what the C++ compiler made does not load ({brief(error)})"
        ) from error
    return loaded


def _compiler() -> list[str]:
    """The command of $CXX, or of the first compiler that this machine has."""
    try:
        named = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise Unavailable(f"CXX={os.environ['CXX']}: {error}") from error
    for command in [named] if named else [[name] for name in COMPILERS]:
        if shutil.which(command[0]):
            return command
    tried = named[:1] or COMPILERS
    raise Unavailable(f"no C++ compiler is found (looked for {', '.join(tried)})")


def _flags() -> list[str]:
    """For this processor: clang on ARM knows -mcpu only."""
    arm = platform.machine() in ("aarch64", "arm64")
    return ["-mcpu=native" if arm else "-march=native"]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took longer than {LONGEST} s") from error
    except OSError as error:
        raise Unavailable(f"{command[0]} does not run ({brief(error)})") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        first = next((line for line in lines if "error" in line), lines[-1])[:200]
        raise Unavailable(f"{command[0]} failed with status {done.returncode}: {first}")
