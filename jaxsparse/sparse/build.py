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
from pathlib import Path

import jax
import jaxlib

from jaxsparse.types import brief
from jaxsparse.whole import atomic_file

SOURCE = Path(__file__).with_name("kernel.cc")
TARGETS = ("linear", "feed_forward")
COMPILERS = ("c++", "g++", "clang++")  # $CXX before them
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-w")
LONGEST = 300  # seconds that a compiler may take


class Unavailable(RuntimeError):
    """This machine cannot compute sparse products; says why."""


def cache_directory() -> Path:
    """What was built and measured on this machine."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.path.expanduser(cache)) / "jaxsparse" / "sparse"


@functools.cache
def library() -> ctypes.CDLL:
    """The kernel, its functions registered with JAX.

    Raises:
        Unavailable: no compiler, one that fails, or what it made does not load.
    """
    path = _built()
    try:
        loaded = ctypes.CDLL(str(path))
        for name in TARGETS:
            handler = getattr(loaded, f"jaxsparse_{name}")
            jax.ffi.register_ffi_target(
                f"jaxsparse_{name}", jax.ffi.pycapsule(handler), platform="cpu"
            )
    except (OSError, AttributeError) as error:
        raise Unavailable(f"{path} does not load ({brief(error)})") from error
    loaded.jaxsparse_count.restype = ctypes.c_int64
    return loaded


@functools.cache
def machine() -> str:
    """What code is built for and times are measured on: the processor, and how many of
    its cores this process may use."""
    return f"{platform.machine()} {_processor()} {len(os.sched_getaffinity(0))}"


def _processor() -> str:
    """The model and what instructions it has; Linux tells."""
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    first = lines[: lines.index("")] if "" in lines else lines
    return " ".join(line for line in first if line.startswith(wanted))


def _built() -> Path:
    """The library's file, compiled unless it is there."""
    compiler = _compiler()
    command = [*compiler, *_flags(), *FLAGS, f"-I{jax.ffi.include_dir()}"]
    content = repr((SOURCE.read_bytes(), command, jaxlib.__version__, machine()))
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = cache_directory() / f"kernel-{name}.so"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as partial:
                _run([*command, str(SOURCE), "-o", str(partial)])
        except OSError as error:
            raise Unavailable(f"{path} cannot be written ({brief(error)})") from error
    return path


def _compiler() -> list[str]:
    """$CXX, or the first that this machine has; what it says it is decides, too."""
    named = shlex.split(os.environ.get("CXX", ""))
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
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines()
        first = next((line for line in said if "error" in line), "")[:200]
        raise Unavailable(
            f"{command[0]} failed with status {error.returncode}: {first}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took longer than {LONGEST} s") from error
