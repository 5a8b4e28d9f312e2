"""Children's Book Test accuracy of a model that is still learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxsparse import scoring
from jaxsparse.cbt import Question
from jaxsparse.evaluation import Scorer
from jaxsparse.models.apply import Apply
from jaxsparse.types import InputError, Params, Presentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH_TOKENS = 4096
CLOZE = Presentation()


@dataclass(frozen=True)
class Exam:
    """Questions as one model reads them, asked again and again."""

    questions: tuple[Question, ...]
    config: Any
    scorer: Scorer
    encoded: tuple[scoring.Encoded, ...]
    batches: tuple[scoring.BatchPlan, ...]

    @classmethod
    def of(
        cls,
        questions: Sequence[Question],
        tokenizer: "PreTrainedTokenizerFast",
        config: Any,
        apply: Apply,
    ) -> "Exam":
        """Raises InputError for a question that the model cannot answer."""
        encoded = []
        for question in questions:
            try:
                encoded.append(scoring.encode(question, tokenizer, config, CLOZE))
            except scoring.Unusable as reason:
                raise InputError(
                    f"{question.source}: {reason}; leave the question out"
                ) from None
        batches = scoring.plan(encoded, BATCH_TOKENS)
        return cls(tuple(questions), config, Scorer(apply), tuple(encoded), batches)

    def accuracy(self, params: Params) -> float:
        """The fraction answered correctly, cloze protocol, full story."""
        correct = 0
        for planned in self.batches:
            batch = scoring.batch(self.encoded, planned, self.config, "cloze")
            (scores,), _ = self.scorer.score(params, {}, batch)
            for number, row in zip(planned.questions, scores, strict=False):
                question = self.questions[number]
                correct += question.options[int(row.argmax())] == question.answer
        return correct / len(self.questions)
