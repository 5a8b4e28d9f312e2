"""Questions put to a model, ours and the oracle: what the tests of scoring share."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsparse import scoring
from jaxsparse.cbt import Question
from jaxsparse.evaluation import ScoringPlan
from jaxsparse.model import Model
from jaxsparse.types import Presentation
from tests import reference, tiny

DATA = Path(__file__).parents[1].parent / "shared/data"
FAMILIES = ("gpt2", "electra-generator", "electra-discriminator", "t5")
# Each with a tokenizer of another kind, see `tiny`.
LATER = ("llama", "mistral", "qwen3", "pythia", "opt", "bert", "roberta")
COMBINATIONS = [
    (variant, protocol) for variant in FAMILIES for protocol in scoring.PROTOCOLS
]
ALL_COMBINATIONS = [
    (variant, protocol)
    for variant in (*FAMILIES, *LATER)
    for protocol in scoring.PROTOCOLS
]


def plan_of(model: Model, questions, presentation, batch_tokens, **options):
    """The batches in which a model is asked questions."""
    return ScoringPlan.of(
        questions,
        presentation,
        model.blueprint.family,
        model.config,
        model.tokenizer,
        batch_tokens=batch_tokens,
        form=model.form,
        **options,
    )


@dataclass(frozen=True)
class Pair:
    """One checkpoint, as transformers and as we read it."""

    torch: Any
    model: Model

    @property
    def tokenizer(self) -> Any:
        return self.model.tokenizer


@dataclass(frozen=True)
class Asked:
    """A question and how it is put; the limit is the model's unless given."""

    question: Question
    context: str = "full"
    limit: int | None = None
    detokenize: str = "none"

    def encode(self, model: Model, protocol: str) -> scoring.Encoded:
        config = model.config
        if self.limit:
            config = dataclasses.replace(config, positions=self.limit)
        put = Presentation(protocol, self.context, self.detokenize)
        return scoring.encode(self.question, model.tokenizer, config, put)

    def for_reference(self) -> dict[str, Any]:
        """The arguments of `reference.score` behind the protocol."""
        sentences, query, options = scoring.passage.detokenize(
            self.question, self.detokenize
        )
        return {
            "sentences": sentences,
            "query": query,
            "options": options,
            "context": self.context,
            "limit": self.limit,
        }

    def reference(self, pair: Pair, protocol: str) -> reference.Reference:
        arguments = self.for_reference()
        return reference.score(pair.torch, pair.tokenizer, protocol, **arguments)


def question(
    query: str, options: Sequence[str], context: Sequence[str] = ("Ned ran .",)
) -> Question:
    return Question(
        context=tuple(context),
        query=query,
        options=tuple(options),
        answer=options[0],
        word_class="CN",
        split="test",
        id="CN-test-1",
        source="here:1",
    )


def generated(seed: int) -> Question:
    story, query, options, _ = tiny.question_text(seed)
    return question(query, options, story)


def one_batch(encoded: Sequence[scoring.Encoded]) -> scoring.BatchPlan:
    """All questions in one batch, whatever that takes of padding."""
    many = 4096  # rows: a second batch would have as many again, for nothing
    (planned,) = scoring.plan(encoded, 1 << 20, rows_multiple=many)
    rows = sum(len(question.rows) for question in encoded)
    shape = dataclasses.replace(planned.shape, rows=rows)
    return dataclasses.replace(planned, shape=shape)


def option_terms(encoded: scoring.Encoded) -> list[list[tuple[int, ...]]]:
    """Of each option its terms: (row, slot, token)."""
    terms = encoded.laid_out.terms
    return [
        [tuple(term[1:]) for term in terms[terms[:, 0] == option].tolist()]
        for option in range(encoded.options)
    ]


def option_scores(
    model: Model,
    encoded: Sequence[scoring.Encoded],
    protocol: str,
    batch_tokens: int | None = None,
) -> np.ndarray:
    """Planned, in one batch unless told otherwise, stacked and scored; (question,
    option), in the order of `encoded`."""
    if batch_tokens is None:
        planned = [one_batch(encoded)]
    else:
        planned = scoring.plan(encoded, batch_tokens)
    options = max(question.options for question in encoded)
    scores = np.full((len(encoded), options), np.nan, np.float32)
    for one in planned:
        batch = scoring.batch(encoded, one, model.config, protocol)
        found = score_batch(model, batch)[: len(one.questions)]
        scores[list(one.questions), : found.shape[1]] = found
    return scores


def score_batch(model: Model, batch: scoring.Batch) -> np.ndarray:
    return np.asarray(_score(model.apply, model.params, batch))


_score = jax.jit(scoring.option_scores, static_argnums=0)


def tolerance(protocol: str, expected: np.ndarray) -> np.ndarray:
    """1e-3 nats, or 1e-6 of the score where that is more; probabilities 1e-3."""
    size = np.abs(expected)
    return np.maximum(1e-3, 1e-6 * size) if protocol == "cloze" else 1e-3 * size
