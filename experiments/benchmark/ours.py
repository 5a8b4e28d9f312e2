"""Our side of the benchmark: scorer and batches of a sweep, without its journal."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxsparse import capacity, cbt, portions, variants
from jaxsparse.evaluation import Scorer, ScoringPlan, all_scores
from jaxsparse.model import Model
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import Recipe
from jaxsparse.types import Leaves, Presentation

SPARSITIES = (0.1, 0.5, 0.9, 0.99)  # and dense: five variants
RECIPE = Recipe("magnitude")


@dataclass(frozen=True)
class Ours:
    dense: variants.Variant
    scorer: Scorer
    batch_tokens: int
    levels_at_once: int

    @classmethod
    def of(cls, model: Model, batch_tokens: int, levels_at_once: int) -> "Ours":
        """Zeros stand for what a sweep would choose."""
        scorer = Scorer(1, model.compiler_options, form=model.form)
        batch_tokens = batch_tokens or capacity.batch_tokens(model, RECIPE.prunable)
        dense = variants.dense(model, RECIPE)
        return cls(dense, scorer, batch_tokens, levels_at_once)

    @property
    def model(self) -> Model:
        return self.dense.model

    def levels_of(self, plan: ScoringPlan) -> int:
        """How many of the five variants go in one call."""
        return self.levels_at_once or capacity.levels_at_once(
            self.model,
            tuple(self.dense.shapes),
            plan.shapes,
            1 + len(SPARSITIES),
        )

    def plan(self, questions: Sequence[cbt.Question]) -> ScoringPlan:
        return ScoringPlan.of(
            questions,
            Presentation(),
            self.model.blueprint.family,
            self.model.config,
            self.model.tokenizer,
            batch_tokens=self.batch_tokens,
            form=self.model.form,
        )

    def operations(self, plan: ScoringPlan) -> int:
        """Those of the rows themselves: what pads a batch is of no use."""
        costs = self.model.blueprint.family.operations(self.model.config)
        return sum(
            costs.of_row(row) for encoded in plan.encoded for row in encoded.rows
        )

    def score(self, plan: ScoringPlan) -> np.ndarray:
        """The scores of the dense model; float32[question, option]."""
        return self._score(self.scorer, plan, self.dense.leaves())[0]

    def score_variant(
        self, plan: ScoringPlan, variant: variants.Variant, leaves: Leaves
    ) -> np.ndarray:
        """The scores of one variant, whose leaves are given."""
        model = variant.model
        return all_scores(self.scorer, plan, model.apply, model.params, leaves)[0]

    def sweep(self, plan: ScoringPlan, scorer: Scorer) -> dict[str, float]:
        """Seconds of five variants, dense and magnitude masks, by what took them."""
        start = time.perf_counter()
        pruned = OneShot(self.model).variants(RECIPE, SPARSITIES)
        decided = time.perf_counter()
        everything = (self.dense, *pruned)
        size = scorer.levels_at_once
        for begin in range(0, len(everything), size):
            # No name for the leaves, so that they are gone before the next.
            portion = everything[begin : begin + size]
            self._score(scorer, plan, portions.stacked(portion, size))
        return {
            "masks": decided - start,
            "levels": time.perf_counter() - decided,
        }

    def sweep_scorer(self, plan: ScoringPlan) -> Scorer:
        """One variant at a time needs no compilation of its own."""
        levels = self.levels_of(plan)
        if levels == 1:
            return self.scorer
        model = self.model
        return Scorer(levels, model.compiler_options, form=model.form)

    def _score(self, scorer: Scorer, plan: ScoringPlan, changed: Leaves) -> np.ndarray:
        """float32[variant, question, option]"""
        model = self.model
        return all_scores(scorer, plan, model.apply, model.params, changed)
