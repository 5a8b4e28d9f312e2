"""Many processes: one program on every host, of which process 0 alone writes.

All of them take every step together, since each holds a part of every array. What one
of them finds wrong by itself (a file that is missing on its host) has to stop all, and
what they read has to be the same. Alone, a process does none of this.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import UInt8

from jaxsparse.types import InputError

LONGEST_MESSAGE = 400  # bytes


def several() -> bool:
    """Whether this is one process of many; asks no device of a lone one."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return not several() or jax.process_index() == 0


@contextmanager
def together() -> Iterator[None]:
    """A step that all processes take: what is wrong on one of them ends all of them.

    Nothing inside may wait for another process.

    Raises:
        InputError: from a process where the step succeeded, what another one raised.
    """
    if not several():
        yield
        return
    problem = None
    try:
        yield
    except Exception as error:
        problem = error
    messages = _messages("" if problem is None else str(problem) or repr(problem))
    if problem is not None:
        raise problem
    for number, message in enumerate(messages):
        if message:
            raise InputError(f"process {number}: {message}")


def agree(what: str, *parts: object) -> None:
    """Holds that all processes have the same, by its `repr`.

    Raises:
        InputError: on all of them, naming those that differ from process 0.
    """
    if not several():
        return
    own = hashlib.sha256(repr(parts).encode()).digest()
    digests = multihost_utils.process_allgather(np.frombuffer(own, np.uint8))
    others = [
        str(n) for n, digest in enumerate(digests) if (digest != digests[0]).any()
    ]
    if others:
        raise InputError(
            f"process {', '.join(others)} has other {what} than process 0; give all "
            "processes the same"
        )


def from_first(array: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Process 0's array, on all of them; of one shape everywhere."""
    if not several():
        return array
    return np.asarray(multihost_utils.broadcast_one_to_all(array))


def number_from_first(number: int) -> int:
    """Process 0's number, on all of them."""
    sent = from_first(np.array([number], "<u4").view(np.uint8))
    return int(sent.view("<u4")[0])


def gathered(leaf: jax.Array | np.ndarray) -> np.ndarray:
    """A whole array on the host, wherever its parts are; all processes ask for it."""
    if (
        isinstance(leaf, np.ndarray)
        or leaf.is_fully_addressable
        or leaf.is_fully_replicated
    ):
        return np.asarray(leaf)
    return multihost_utils.process_allgather(leaf, tiled=True)


def _messages(own: str) -> list[str]:
    """What each process has to say, in order of their numbers."""
    padded = np.zeros(LONGEST_MESSAGE, np.uint8)
    written = np.frombuffer(own.encode()[:LONGEST_MESSAGE], np.uint8)
    padded[: written.size] = written
    rows = multihost_utils.process_allgather(padded)
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in rows]
