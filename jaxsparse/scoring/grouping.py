"""Which questions share a shape: padding weighed against compilations.

Questions whose rows are about equally long begin as a group. Then, over and over, those
two groups become one that cost least together, until that would cost more than a
compilation, or make padding more than it may be. Costs are operations, padding
included: scored positions are dear where the vocabulary is large.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxsparse.device import Form
from jaxsparse.models.operations import Operations
from jaxsparse.scoring.encoded import Encoded

# Of a row: the encoder's tokens (0 without one), tokens, scored positions.
Lengths = tuple[int, int, int]

TOKENS_ONLY = Operations(token=1, pair=0, scored=0, encoder_token=1)

MOST_SHAPES = 12  # and so compilations, of one model under one protocol
MOST_PADDING = 0.15  # of the tokens computed, where groups can be chosen so
# Of a full batch, what a compilation weighs at least: a large model takes longer.
COMPILATION = 0.5


@dataclass(frozen=True)
class Budget:
    """What a batch may hold, and what it costs."""

    tokens: int  # rows x length
    operations: Operations
    rows_multiple: int  # of the rows of every batch
    form: Form

    def rows(self, total, largest, lengths):
        """Rows of each batch, such that the last is about as full as the others.

        Args (numbers, or arrays of any one shape):
            total: rows of all questions that have this shape.
            largest: rows of the question that has most.
            lengths: of the shape, on the last axis.
        """
        row_tokens = lengths[..., 0] + lengths[..., 1]
        fitting = self.tokens // row_tokens // self.rows_multiple * self.rows_multiple
        most = np.maximum(fitting, self._rounded_up(largest))
        return self._rounded_up(np.maximum(-(-total // -(-total // most)), largest))

    def _rounded_up(self, rows):
        return -(-rows // self.rows_multiple) * self.rows_multiple

    def cost(self, total, largest, lengths) -> Any:
        """Operations of all batches of a shape."""
        rows = self.rows(total, largest, lengths)
        batches = -(-total // rows)
        return batches * rows * self.operations.padded(lengths.astype(float))

    @property
    def compilation(self) -> float:
        """Operations that a shape must save."""
        dearest = max(self.operations.token, self.operations.encoder_token)
        return max(self.form.compilation, COMPILATION * self.tokens * dearest)

    @property
    def in_tokens(self) -> "Budget":
        """The same, every token costing one."""
        return replace(self, operations=TOKENS_ONLY)


def rounded(length: int) -> int:
    """Few lengths: short ones as they are (one masked token is one), then by eights,
    long ones by 32."""
    if length <= 8:
        return length
    multiple = 8 if length <= 64 else 32
    return -(-length // multiple) * multiple


def groups(
    encoded: Sequence[Encoded], budget: Budget
) -> list[tuple[Lengths, list[int]]]:
    """The lengths of each shape, and the questions that share it; shortest first."""
    alike: dict[Lengths, list[int]] = {}
    for number, question in enumerate(encoded):
        size = question.sizes
        longest = rounded(size.encoder), rounded(size.tokens), rounded(size.scored)
        alike.setdefault(longest, []).append(number)
    cells = list(alike.values())
    rows = [[encoded[number].sizes.rows for number in cell] for cell in cells]
    needed = sum(question.sizes.all_tokens for question in encoded)
    merging = _Merging(
        budget,
        needed,
        np.array(list(alike)),
        np.array([sum(counts) for counts in rows]),
        np.array([max(counts) for counts in rows]),
    )
    return sorted(
        (longest, sorted(number for cell in together for number in cells[cell]))
        for longest, together in merging.run()
    )


@dataclass
class _Merging:
    """Groups on their way to become fewer."""

    budget: Budget
    needed: int  # tokens, without padding
    lengths: Int[np.ndarray, "group 3"]
    total: Int[np.ndarray, " group"]  # rows
    largest: Int[np.ndarray, " group"]  # rows of the question that has most

    def run(self) -> list[tuple[Lengths, list[int]]]:
        """The lengths of each group that is left, and which of the first it holds."""
        members = [[number] for number in range(len(self.total))]
        dearer = self._dearer(np.arange(len(members)))
        np.fill_diagonal(dearer, np.inf)
        while len(members) > 1:
            first, second = sorted(divmod(int(np.argmin(dearer)), len(members)))
            if len(members) <= MOST_SHAPES and not self._pays(first, second, dearer):
                break
            members[first] += members.pop(second)
            self._merge(first, second)
            dearer = np.delete(np.delete(dearer, second, axis=0), second, axis=1)
            dearer[first] = self._dearer(np.array([first]))
            dearer[first, first] = np.inf
            dearer[:, first] = dearer[first]
        longest = [tuple(map(int, lengths)) for lengths in self.lengths]
        return list(zip(longest, members, strict=True))  # pyright: ignore[reportReturnType]

    def _together(self, budget: Budget, chosen) -> Any:
        """The cost of each of `chosen` joined with each group there is."""
        return budget.cost(
            self.total[chosen, None] + self.total,
            np.maximum(self.largest[chosen, None], self.largest),
            np.maximum(self.lengths[chosen, None], self.lengths),
        )

    def _dearer(self, chosen) -> Any:
        """What each of `chosen` costs more joined with each group than both alone."""
        alone = self.budget.cost(self.total, self.largest, self.lengths)
        return self._together(self.budget, chosen) - alone[chosen, None] - alone

    def _pays(self, first: int, second: int, dearer) -> bool:
        """Whether a compilation less is worth the padding that it takes."""
        if dearer[first, second] <= 0:
            return True
        budget = self.budget.in_tokens
        alone = budget.cost(self.total, self.largest, self.lengths)
        joined = self._together(budget, np.array([first]))[0, second]
        tokens = alone.sum() - alone[first] - alone[second] + joined
        padding = 1 - self.needed / tokens
        worth = dearer[first, second] <= self.budget.compilation
        return bool(worth and padding <= MOST_PADDING)

    def _merge(self, first: int, second: int) -> None:
        self.total[first] += self.total[second]
        self.largest[first] = max(self.largest[first], self.largest[second])
        self.lengths[first] = np.maximum(self.lengths[first], self.lengths[second])
        self.total = np.delete(self.total, second)
        self.largest = np.delete(self.largest, second)
        self.lengths = np.delete(self.lengths, second, axis=0)
