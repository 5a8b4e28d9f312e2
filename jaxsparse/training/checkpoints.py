"""The state of a training run on disk: one directory a step, written whole or not at
all, by orbax."""

import functools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from jaxsparse.types import InputError, brief

KEPT = 2  # the newest, and one before it


class Checkpoints:
    """The checkpoints of one run; usable in a `with` statement, which waits for the
    last one to be written."""

    def __init__(self, directory: Path):
        """Raises InputError where something else is in its place."""
        if directory.exists() and not directory.is_dir():
            raise InputError(f"{directory} is a file; remove it")
        self._directory = directory
        self._checkpointer = ocp.training.Checkpointer(
            str(directory.absolute()),
            preservation_policy=ocp.training.preservation_policies.LatestN(KEPT),  # pyright: ignore[reportArgumentType]
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with _silent():
                self._checkpointer.close()
        except Exception:
            # Of a checkpoint that could not be written orbax tells once more here;
            # what ended the block has said so already.
            if kind is None:
                raise

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None where there is none."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes a tree of arrays; only a finished checkpoint takes its final name.

        Raises:
            InputError: it cannot be written, such as to a full disk; then the one
                before it is whole.
        """
        before = self.latest_step
        try:
            with _silent():
                self._checkpointer.save(step, state, force=True)
        except Exception as error:  # each layer below raises its own kind
            left = "none was written before it"
            if before is not None:
                left = f"that of step {before} is whole"
            raise InputError(
                f"{self._directory}: checkpoint {step} could not be written "
                f"({brief(error)}); {left}: make room, and repeat the command"
            ) from None

    def load(self, step: int, like: Mapping[str, Any]) -> Any:
        """The state at a step, in the structure, shapes and dtypes of `like`.

        Raises:
            InputError: it cannot be read, or was made by another model.
        """
        try:
            with _silent():
                # First, since a load that fails half-way leaves reads that complain.
                there = self._checkpointer.metadata(step).metadata
                if there is None:
                    raise ValueError("what says of which arrays it is is damaged")
                if _shapes(there) != _shapes(like):
                    raise ValueError("it is of a model of other shapes")
                return self._checkpointer.load(step, like)
        except Exception as error:  # each layer below raises its own kind
            raise InputError(
                f"{self._directory}: checkpoint {step} cannot be read "
                f"({brief(error)}); remove it to go on from an older one"
            ) from None


@contextmanager
def _silent() -> Iterator[None]:
    """Of what fails, orbax logs a traceback in each of its threads, and what it began
    beside that complains when it ends, whenever that is; one error is told instead."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_unless_late, hook)
    try:
        yield
        sys.unraisablehook = hook
    finally:
        logger.disabled = before


def _unless_late(hook: Callable[[Any], Any], unraisable: Any) -> None:
    """Tells what nobody could catch, but for what comes to a loop that has ended."""
    if str(unraisable.exc_value) != "Event loop is closed":
        hook(unraisable)


def _shapes(tree: Any) -> list[tuple[tuple[int, ...], str]]:
    """Of all leaves; in whatever order, since what a tree is called differs on disk."""
    return sorted((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(tree))
