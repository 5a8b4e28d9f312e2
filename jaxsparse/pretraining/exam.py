"""Children's Book Test accuracy of a model that is still learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsparse import device
from jaxsparse.answers import Answers
from jaxsparse.cbt import Question
from jaxsparse.evaluation import Scorer, ScoringPlan, score_batches
from jaxsparse.models import Family
from jaxsparse.models.apply import Apply
from jaxsparse.types import Leaves, Presentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Exam:
    """Questions as one model reads them, asked again and again."""

    plan: ScoringPlan
    apply: Apply
    scorer: Scorer

    @classmethod
    def of(
        cls,
        questions: Sequence[Question],
        tokenizer: "PreTrainedTokenizerFast",
        family: Family,
        config: Any,
        apply: Apply,
    ) -> "Exam":
        """Raises InputError for a question that the model cannot answer."""
        form = device.current()
        plan = ScoringPlan.of(
            questions,
            Presentation(),
            family,
            config,
            tokenizer,
            batch_tokens=BATCH_TOKENS,
            form=form,
        )
        return cls(plan, apply, Scorer(form=form))

    def accuracy(self, params: Leaves) -> float:
        """The fraction answered correctly, cloze protocol, full story."""
        options = max(len(question.options) for question in self.plan.questions)
        scores = np.zeros((len(self.plan.questions), options), np.float32)
        batches = score_batches(self.scorer, self.plan, self.apply, params, {})
        for members, (said,), _ in batches:
            scores[list(members)] = said
        return float(Answers(self.plan.questions, scores).correct.mean())
