"""What a model is fed so that it shows what its weights are used for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Bool

from jaxsparse import arrays, cbt, running_text
from jaxsparse.model import Blueprint, Model
from jaxsparse.models.inputs import Seq2SeqInputs
from jaxsparse.running_text import Examples
from jaxsparse.types import Array, InputError
from jaxsparse.whole import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 128
MOST_TOKENS = 512  # of a window, where the model takes as many


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows of text as one model reads them, and where they are from."""

    examples: Examples  # on the host, a row a window
    source: str  # bundled, train, or a path as typed
    tokens_per_row: int  # of a window, before anything was put around or in it
    overlapping: bool  # windows, since the text is shorter than all of them
    seed: int  # of the first window's offset, and of what is masked
    text_tokens: int  # of all the text

    @property
    def rows(self) -> int:
        return len(self.examples.inputs.tokens)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what is fed, targets too; the same wherever it is from."""
        content = hashlib.sha256()
        for leaf in jax.tree.leaves(self.examples):
            values = np.ascontiguousarray(leaf)
            content.update(f"{values.dtype.str} {values.shape}\n".encode())
            content.update(values.tobytes())
        return content.hexdigest()

    def write(self, path: Path) -> None:
        """Writes what was fed as parquet, one row each; see `table`."""
        import pyarrow.parquet as pq

        with atomic_file(path) as partial, partial.open("wb") as file:
            pq.write_table(self.table(), file)

    def table(self) -> "pa.Table":
        """What was fed, one row each: `tokens`, `attended` (true at real ones), and
        T5's `encoder_tokens`, of which all are real."""
        import pyarrow as pa

        inputs = self.examples.inputs
        columns = {
            "tokens": _column(inputs.tokens),
            "attended": _column(np.asarray(inputs.attended)),
        }
        if isinstance(inputs, Seq2SeqInputs):
            columns["encoder_tokens"] = _column(
                inputs.encoder_tokens, np.asarray(inputs.attention_mask)
            )
        return pa.table(columns)


def calibrate(
    model: Model | Blueprint,
    texts: Sequence[str],
    rows: int = ROWS,
    tokens: int = 0,
    seed: int = 0,
    source: str = "",
) -> Calibration:
    """Rows of text for a model: windows at equal distances, from an offset that the
    seed draws, read as `running_text.examples` says.

    Args:
        texts: tokenized one by one, and put end to end.
        rows: how many windows.
        tokens: of each; 0: the model's limit, at most 512.
        source: what the texts are called in results and errors.

    Raises:
        InputError: there is less text than one window; more tokens than the model
            takes; a special token of the tokenizer stands in the text.
    """
    if rows < 1:
        raise InputError(f"`rows={rows}`: calibration needs one or more")
    config, tokenizer = model.config, model.tokenizer
    try:
        length = running_text.window_length(config, tokens, MOST_TOKENS)
    except InputError as error:
        raise InputError(f"`tokens={tokens}`: {error}") from None
    try:
        parts = [running_text.tokenized(text, tokenizer) for text in texts]
        whole = np.concatenate([np.zeros(0, np.int32), *parts])
        windows, overlapping = running_text.evenly_spaced(whole, rows, length, seed)
        examples = running_text.examples(windows, config, tokenizer, seed)
    except InputError as error:
        where = f"`calibration={source}`" if source else "`texts`"
        raise InputError(f"{where}: {error}") from None
    return Calibration(examples, source, length, overlapping, seed, len(whole))


def bundled(
    model: Model | Blueprint, rows: int = ROWS, tokens: int = 0, seed: int = 0
) -> Calibration:
    """Rows of the stories that ship for training; see `calibrate`."""
    return calibrate(model, cbt.bundled_texts(), rows, tokens, seed, "bundled")


def _column(values: Array, real: Bool[np.ndarray, "row position"] | None = None):
    """A list a row, of all values or of the real ones."""
    values = np.asarray(values)
    real = np.ones(values.shape, bool) if real is None else real
    return arrays.lists(arrays.numbers(values[real]), real.sum(axis=1).tolist())
