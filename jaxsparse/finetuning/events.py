"""What is measured, in TensorBoard's format, where tensorboardX is installed."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsparse.types import InputError

SCALARS = (
    "loss", "accuracy", "tokens_per_second", "learning_rate", "validation_accuracy",
    "validation_loss",
)  # fmt: skip


def is_installed() -> bool:
    return importlib.util.find_spec("tensorboardX") is not None


class Events:
    """Those of one run; without a directory or the package, none."""

    def __init__(self, directory: Path | None):
        self._directory = directory
        self._writer: Any = None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of `Metrics`; what an earlier process wrote of these steps and later
        ones counts no more.

        Raises InputError where they cannot be written."""
        if self._directory is None or not rows or not is_installed():
            return
        try:
            self._write(rows)
        except OSError as error:
            raise InputError(
                f"{self._directory}: what is for TensorBoard could not be written "
                f"({error.strerror}); make room, and repeat the command"
            ) from None

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._writer is None:
            from tensorboardX import (  # pyright: ignore[reportMissingImports]
                SummaryWriter,
            )

            first = rows[0]["step"]
            self._writer = SummaryWriter(str(self._directory), purge_step=first)
        for row in rows:
            for name in SCALARS:
                if row[name] is not None:
                    self._writer.add_scalar(name, row[name], row["step"])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
