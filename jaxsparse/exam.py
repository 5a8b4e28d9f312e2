"""Questions that one model is asked again and again while it learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxsparse import device
from jaxsparse.answers import Answers
from jaxsparse.cbt import Question
from jaxsparse.device import Form
from jaxsparse.evaluation import Scorer, ScoringPlan, all_scores
from jaxsparse.models import Family
from jaxsparse.models.apply import Apply
from jaxsparse.types import Leaves, Presentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Exam:
    """Questions as one model reads them, and the function that answers them."""

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
        presentation: Presentation | None = None,
        form: Form | None = None,
        scorer: Scorer | None = None,
        rows_multiple: int = 1,
    ) -> "Exam":
        """
        Args:
            presentation: by default cloze, of the full story.
            form: how `apply` is computed; by default as suits the devices.
            scorer: one at a time; by default of one device.
            rows_multiple: what divides the rows of every batch.

        Raises:
            InputError: a question that the model cannot answer.
        """
        form = form or device.current()
        plan = ScoringPlan.of(
            questions,
            presentation or Presentation(),
            family,
            config,
            tokenizer,
            batch_tokens=BATCH_TOKENS,
            rows_multiple=rows_multiple,
            form=form,
        )
        return cls(plan, apply, scorer or Scorer(form=form))

    def answers(self, params: Leaves) -> Answers:
        (scores,) = all_scores(self.scorer, self.plan, self.apply, params, {})
        return Answers(self.plan.questions, scores)

    def accuracy(self, params: Leaves) -> float:
        """The fraction answered correctly."""
        return float(self.answers(params).correct.mean())
