"""Our side of the benchmark: scorer and batches of a sweep, without its journal."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxsparse import cbt, scoring, sweep, trees
from jaxsparse.evaluation import Leaves, Prepared, Scorer, prepare
from jaxsparse.model import Model

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
        scorer = Scorer(model.apply, 1, model.compiler_options)
        return cls(model, scorer, batch_tokens, levels_at_once)

    def prepare(self, questions: Sequence[cbt.Question]) -> Prepared:
        return prepare(self.model, questions, "cloze", batch_tokens=self.batch_tokens)

    def operations(self, prepared: Prepared) -> int:
        """Those of the rows themselves: what pads a batch is of no use."""
        costs = self.model.blueprint.family.operations(self.model.config)
        return sum(costs.of_row(row) for one in prepared.encoded for row in one.rows)

    def score(self, prepared: Prepared) -> np.ndarray:
        """The scores of the dense model; float32[question, option]."""
        return self._score(self.scorer, prepared, self._dense())[0]

    def sweep(self, prepared: Prepared, scorer: Scorer) -> dict[str, float]:
        """Seconds of five levels of magnitude masks, by what took them."""
        start = time.perf_counter()
        pruned = sweep.prune(self.model, RECIPE, SPARSITIES)
        decided = time.perf_counter()
        for leaves in self._levels(pruned.survival):
            self._score(scorer, prepared, leaves)
        return {
            "masks": decided - start,
            "levels": time.perf_counter() - decided,
        }

    def sweep_scorer(self) -> Scorer:
        """One level at a time needs no compilation of its own."""
        if self.levels_at_once == 1:
            return self.scorer
        return Scorer(
            self.model.apply, self.levels_at_once, self.model.compiler_options
        )

    def _dense(self) -> Leaves:
        leaves = trees.flatten(self.model.params)
        return {path: leaves[path] for path in self.model.prunable("blocks")}

    def _levels(self, survival: Leaves) -> Iterator[Leaves]:
        """As many at once as asked; the last repeat the last level, as in a sweep."""
        dense, size = self._dense(), self.levels_at_once
        numbers = [None, *range(len(SPARSITIES))]
        for begin in range(0, len(numbers), size):
            chunk = numbers[begin : begin + size]
            levels = [
                dense if n is None else sweep.pruned_leaves(dense, survival, n)
                for n in chunk + chunk[-1:] * (size - len(chunk))
            ]
            yield levels[0] if size == 1 else _stack(levels)

    def _score(self, scorer: Scorer, prepared: Prepared, leaves: Leaves) -> np.ndarray:
        """float32[level, question, option]"""
        first = prepared.encoded[0]
        shape = scorer.levels_at_once, len(prepared.encoded), len(first.terms)
        scores = np.zeros(shape, np.float32)
        for planned in prepared.batches:
            batch = scoring.batch(
                prepared.encoded, planned, self.model.config, prepared.asked.protocol
            )
            said, _ = scorer.score(self.model.params, leaves, batch)
            scores[:, list(planned.questions)] = said[:, : len(planned.questions)]
        return scores


def _stack(levels: Sequence[Leaves]) -> Leaves:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *levels)
