"""Books as one long row of tokens, and windows into it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
from jaxtyping import Int

from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError


@dataclass(frozen=True)
class Corpus:
    """Token ids of all books, one after the other."""

    tokens: Int[np.ndarray, " token"]

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        tokenizer: tokenizers.Tokenizer,
        end_of_text: int | None,
        progress: Progress = NOBODY,
    ) -> "Corpus":
        """`end_of_text` stands behind each text, where a family has such a token."""
        ends = [] if end_of_text is None else [end_of_text]
        rows = []
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append(np.array([*ids, *ends], np.int32))
            progress.done(1)
        return cls(np.concatenate(rows))

    def windows(
        self, length: int, rows: int, batch: int, seed: int
    ) -> Int[np.ndarray, "row position"]:
        """Batch number `batch` of an endless shuffled sequence of windows.

        An epoch is a random permutation of the windows that tile the corpus from a
        random start. A function of its arguments alone, so that a resumed run sees what
        an uninterrupted one would have seen.

        Raises:
            InputError: the corpus is shorter than two windows.
        """
        count = self.count(length)
        numbers = np.arange(batch * rows, (batch + 1) * rows)
        begins = []
        for number in numbers.tolist():
            start, order = _epoch(count, length, number // count, seed)
            begins.append(start + length * int(order[number % count]))
        return np.stack([self.tokens[begin : begin + length] for begin in begins])

    def count(self, length: int) -> int:
        """How many windows an epoch has. Raises InputError as `windows`."""
        count = (len(self.tokens) - length + 1) // length
        if count < 1:
            raise InputError(
                f"{len(self.tokens)} tokens are less than two rows of {length}; "
                "name more books"
            )
        return count


@functools.lru_cache(maxsize=4)
def _epoch(
    windows: int, length: int, epoch: int, seed: int
) -> tuple[int, Int[np.ndarray, " window"]]:
    """Where an epoch's first window starts, and the order of its windows."""
    generator = np.random.default_rng([seed, length, epoch])
    return int(generator.integers(length)), generator.permutation(windows)
