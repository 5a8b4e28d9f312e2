"""Seconds, memory, and what the machine's matrix multiplication gives."""

import contextlib
import ctypes
import gc
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

INTERVAL = 0.02  # seconds between two looks at the memory
SIZE = 4096  # of the square matrices

Key = tuple[str, str]  # who, on which questions


@dataclass
class Timing:
    """What was measured of a piece of work."""

    seconds: list[float] = field(default_factory=list)  # of each repetition
    peak: int = 0  # bytes
    result: Any = None  # of the last repetition


@dataclass
class _Peak:
    bytes: int = 0


def interleaved(
    works: dict[Key, Callable[[], Any]], repeats: int, tell: Callable[[str], None]
) -> dict[Key, Timing]:
    """Everything once, then everything again: what slows the machine down for a while
    slows down all."""
    timings = {key: Timing() for key in works}
    for repeat in range(repeats):
        for (who, which), work in works.items():
            tell(f"repeat {repeat + 1} of {repeats}: {who}, {which}")
            timing = timings[who, which]
            with peak_memory() as peak:
                start = time.perf_counter()
                timing.result = work()
                timing.seconds.append(time.perf_counter() - start)
            timing.peak = max(timing.peak, peak.bytes)
    return timings


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The least and the most."""
    return f"{min(values):{form}}–{max(values):{form}}"


def seconds(work: Callable[[], Any]) -> float:
    """What one repetition takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextlib.contextmanager
def peak_memory() -> Iterator[_Peak]:
    """The most anonymous memory that this process holds meanwhile."""
    peak, ended = _Peak(rss_anon()), threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL):
            peak.bytes = max(peak.bytes, rss_anon())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
        peak.bytes = max(peak.bytes, rss_anon())


def release() -> None:
    """Gives memory that is free back to the system, so that it is not counted."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def rss_anon() -> int:
    """Bytes; 0 where there is no /proc to read it from."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def device_peak() -> int:
    """Bytes of an accelerator's memory since the process began; 0 on a CPU."""
    statistics_of_device = jax.devices()[0].memory_stats() or {}
    return int(statistics_of_device.get("peak_bytes_in_use", 0))


def matmul(dtype: str) -> Callable[[], None]:
    """A large product, warmed up; float32 is float32 on every device."""
    precision = "highest" if dtype == "float32" else "default"
    square = jax.jit(lambda matrix: jnp.dot(matrix, matrix, precision=precision))
    matrix = jax.random.normal(jax.random.key(0), (SIZE, SIZE), dtype)
    square(matrix).block_until_ready()
    return lambda: square(matrix).block_until_ready()


MATMUL_OPERATIONS = 2 * SIZE**3
