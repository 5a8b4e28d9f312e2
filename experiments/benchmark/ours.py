"""Our side of the benchmark: scorer and batches of a sweep, without its journal."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse import capacity, cbt, scoring, sweep, trees
from jaxsparse.evaluation import Leaves, Prepared, Scorer, prepare
from jaxsparse.model import Model
from jaxsparse.types import Presentation

SPARSITIES = (0.1, 0.5, 0.9, 0.99)  # and dense: five levels
RECIPE = sweep.Recipe("magnitude", "matrix")


@dataclass(frozen=True)
class Ours:
    model: Model
    scorer: Scorer
    batch_tokens: int
    levels_at_once: int

    @classmethod
    def of(cls, model: Model, batch_tokens: int, levels_at_once: int) -> "Ours":
        """Zeros stand for what a sweep would choose."""
        scorer = Scorer(model.apply, model.form, 1, model.compiler_options)
        batch_tokens = batch_tokens or capacity.batch_tokens(model, RECIPE.prunable)
        return cls(model, scorer, batch_tokens, levels_at_once)

    def levels_of(self, prepared: Prepared) -> int:
        """How many of the five go in one call."""
        return self.levels_at_once or capacity.levels_at_once(
            self.model,
            self.model.prunable(RECIPE.prunable),
            prepared.shapes,
            1 + len(SPARSITIES),
        )

    def prepare(self, questions: Sequence[cbt.Question]) -> Prepared:
        return prepare(
            self.model, questions, Presentation(), batch_tokens=self.batch_tokens
        )

    def operations(self, prepared: Prepared) -> int:
        """Those of the rows themselves: what pads a batch is of no use."""
        costs = self.model.blueprint.family.operations(self.model.config)
        return sum(costs.of_row(row) for each in prepared.encoded for row in each.rows)

    def score(self, prepared: Prepared) -> np.ndarray:
        """The scores of the dense model; float32[question, option]."""
        return self._score(self.scorer, prepared, self._dense())[0]

    def sweep(self, prepared: Prepared, scorer: Scorer) -> dict[str, float]:
        """Seconds of five levels of magnitude masks, by what took them."""
        start = time.perf_counter()
        pruned = sweep.prune(self.model, RECIPE, SPARSITIES)
        decided = time.perf_counter()
        for numbers in _chunks(scorer.levels_at_once):
            # No name for the leaves, so that they are gone before the next.
            self._score(scorer, prepared, self._level(pruned.survival, numbers))
        return {
            "masks": decided - start,
            "levels": time.perf_counter() - decided,
        }

    def sweep_scorer(self, prepared: Prepared) -> Scorer:
        """One level at a time needs no compilation of its own."""
        levels = self.levels_of(prepared)
        if levels == 1:
            return self.scorer
        model = self.model
        return Scorer(model.apply, model.form, levels, model.compiler_options)

    def _dense(self) -> Leaves:
        leaves = trees.flatten(self.model.params)
        return {path: leaves[path] for path in self.model.prunable("blocks")}

    def _level(self, survival: Leaves, numbers: Sequence[int | None]) -> Leaves:
        dense = self._dense()
        levels = [
            dense if n is None else sweep.pruned_leaves(dense, survival, n)
            for n in numbers
        ]
        return levels[0] if len(levels) == 1 else _stack(levels)

    def _score(self, scorer: Scorer, prepared: Prepared, leaves: Leaves) -> np.ndarray:
        """float32[level, question, option]"""
        first = prepared.encoded[0]
        shape = scorer.levels_at_once, len(prepared.encoded), len(first.terms)
        scores = np.zeros(shape, np.float32)
        for planned in prepared.batches:
            batch = scoring.batch(prepared.encoded, planned, self.model.config, "cloze")
            said, _ = scorer.score(self.model.params, leaves, batch)
            scores[:, list(planned.questions)] = said[:, : len(planned.questions)]
        return scores


def _chunks(size: int) -> Iterator[list[int | None]]:
    """As many levels at once as asked; the last chunk repeats the last one."""
    numbers = [None, *range(len(SPARSITIES))]
    for begin in range(0, len(numbers), size):
        chunk = numbers[begin : begin + size]
        yield chunk + chunk[-1:] * (size - len(chunk))


def _stack(levels: Sequence[Leaves]) -> Leaves:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels)
