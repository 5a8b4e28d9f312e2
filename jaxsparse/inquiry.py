"""Variants, questions and a journal: what is not known is scored, and all of it becomes
points."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxsparse import hosts, portions, scoring
from jaxsparse.accuracy import accuracies
from jaxsparse.answers import Answers, padded
from jaxsparse.evaluation import Scorer, ScoringPlan, score_batches
from jaxsparse.journal import Answer, Journal, key_of
from jaxsparse.points import Curve, Point, Setup, TextLoss
from jaxsparse.progress import Progress
from jaxsparse.types import InputError, Presentation
from jaxsparse.variants import Variant


@dataclass(frozen=True)
class Inquiry:
    """What is asked of whom, and where the answers go."""

    variants: dict[str, Variant]  # by the journal's key, each once; dense first
    plan: ScoringPlan
    journal: Journal
    progress: Progress

    @property
    def dense(self) -> Variant:
        return next(iter(self.variants.values()))

    def score_unknown(self, scorer: Scorer) -> None:
        """Scores what the journal lacks; leaves live no longer than their portion."""
        lacking = self._lacking()
        total = len(self.plan.questions) * len(self.variants)
        left = sum(map(len, lacking))
        stage = self.plan.presentation.protocol
        self.progress.stage(stage, total, known=total - left, unit="answers")
        for keys, wanted, levels in portions.divided(
            self.variants, lacking, scorer.levels_at_once
        ):
            portion = [self.variants[key] for key in keys]
            names = dict.fromkeys([portion[0].name, portion[-1].name])
            self.progress.point(" … ".join(names))
            model = portion[0].model
            batches = score_batches(
                scorer,
                self.plan,
                model.apply,
                model.params,
                # No name, so that they are gone before the next.
                portions.stacked(portion, levels),
                wanted,
                levels,
            )
            for members, scores, seconds in batches:
                self._record(keys, members, scores[: len(keys)], seconds)

    def _lacking(self) -> list[frozenset[int]]:
        """The numbers of the questions that the journal, process 0's, has no answer to,
        of each variant; of questions that are the same the first."""
        digests = self.plan.digests
        first = {digest: n for n, digest in reversed(list(enumerate(digests)))}
        lacking = np.zeros((len(self.variants), len(digests)), np.uint8)
        with hosts.together():
            for row, key in zip(lacking, self.variants, strict=True):
                unknown = self.journal.unknown(key, digests)
                row[[first[digest] for digest in unknown]] = 1
        lacking = hosts.from_first(lacking)
        return [frozenset(np.flatnonzero(row).tolist()) for row in lacking]

    def _record(
        self,
        keys: Sequence[str],
        members: Sequence[int],
        scores: np.ndarray,
        seconds: float,
    ) -> None:
        """Keeps the answers of a batch, in one transaction."""
        model, encoded = self.dense.model, self.plan.encoded
        share = seconds / len(members) / len(keys)
        answers = [
            (
                key,
                self.plan.digests[number],
                Answer(
                    said[: len(encoded[number].option_tokens)],
                    np.array(encoded[number].option_tokens, np.int32),
                    share,
                ),
            )
            for key, of_variant in zip(keys, scores, strict=True)
            for number, said in zip(members, of_variant, strict=True)
        ]
        if not all(np.isfinite(answer.scores).all() for _, _, answer in answers):
            try_other = "" if model.dtype == "float32" else "try `dtype=float32`, or "
            raise InputError(
                f"`dtype={model.dtype}`: {self.plan.presentation.protocol} scores of "
                f"{model.name} are not finite; {try_other}leave the model out"
            )
        with hosts.together():
            self.journal.record(answers)
        self.progress.done(len(answers))

    def points(
        self,
        curves: Sequence[Variant],
        scorer: Scorer,
        losses: Mapping[str, tuple[TextLoss, ...]],
    ) -> Iterator[Point]:
        model, presentation = self.dense.model, self.plan.presentation
        setup = Setup(model.name, model.family, model.dtype, presentation)
        answers = {key: self._recall(key) for key in self.variants}
        dense = answers[answer_key(self.dense, presentation)]
        option_tokens, truncated = self.plan.option_tokens, self.plan.truncated
        workload = scorer.workload(self.plan)
        for variant in curves:
            said = answers[answer_key(variant, presentation)]
            yield Point(
                curve=Curve(setup, variant.recipe, variant.training, variant.execution),
                digest=model.digest,
                sparsity=variant.sparsity,
                achieved_sparsity=variant.achieved_sparsity,
                total_sparsity=variant.total_sparsity,
                answers=said,
                option_tokens=option_tokens,
                truncated=truncated,
                accuracies=tuple(accuracies(said, dense, truncated)),
                matrices=variant.matrices,
                workload=workload,
                texts=losses.get(key_of(variant.identity), ()),
                parameters=variant.parameters,
                bytes=variant.bytes,
                training_seconds=variant.training_seconds,
            )

    def _recall(self, key: str) -> Answers:
        """What a variant said to every question.

        Raises:
            KeyError: one has not been scored.
        """
        known = self.journal.answers(key, self.plan.digests)
        found = [known[digest] for digest in self.plan.digests]
        return Answers(
            self.plan.questions,
            padded([answer.scores for answer in found]),
            np.array([answer.seconds for answer in found]),
        )


def answer_key(variant: Variant, presentation: Presentation) -> str:
    """All that decides what a variant says to a question, but for the question."""
    return key_of(
        {
            **variant.identity,
            **presentation.identity,
            "scoring_revision": scoring.REVISION,
        }
    )
