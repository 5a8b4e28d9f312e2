"""One model on all questions: scores on the device, kept in the journal."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from jaxsparse import capacity, hosts, parallel, scoring, trees
from jaxsparse.answers import Answers, padded
from jaxsparse.cbt import Question
from jaxsparse.journal import Answer, Conditions, Journal
from jaxsparse.model import Model
from jaxsparse.models.apply import Apply
from jaxsparse.points import Workload
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import Array, InputError, Params, Presentation

Leaves = Mapping[str, Array]  # path -> leaf


@dataclass(frozen=True)
class Prepared:
    """All questions as one model reads them, and their batches."""

    questions: tuple[Question, ...]
    presentation: Presentation
    digests: tuple[str, ...]  # of the questions
    encoded: tuple[scoring.Encoded, ...]
    batches: tuple[scoring.BatchPlan, ...]

    @property
    def shapes(self) -> frozenset[scoring.BatchShape]:
        """One compilation each."""
        return frozenset(batch.shape for batch in self.batches)

    @property
    def option_tokens(self) -> tuple[tuple[int, ...], ...]:
        """How many tokens each option of each question has."""
        return tuple(encoded.option_tokens for encoded in self.encoded)

    @property
    def truncated(self) -> Bool[np.ndarray, " question"]:
        """Which questions have lost sentences from the left."""
        return np.array([encoded.dropped > 0 for encoded in self.encoded])


def prepare(
    model: Model,
    questions: Sequence[Question],
    presentation: Presentation,
    *,
    batch_tokens: int,
    rows_multiple: int = 1,
    progress: Progress = NOBODY,
) -> Prepared:
    """Encodes every question, then plans the batches from the full list.

    Args:
        rows_multiple: what divides the rows of every batch.
    """
    progress.stage(f"{presentation.protocol} · reading", len(questions))
    encoded = []
    for question in questions:
        encoded.append(
            scoring.encode(question, model.tokenizer, model.config, presentation)
        )
        progress.done(1)
    operations = model.blueprint.family.operations(model.config)
    batches = scoring.plan(encoded, batch_tokens, operations, rows_multiple)
    digests = tuple(question.digest for question in questions)
    return Prepared(tuple(questions), presentation, digests, tuple(encoded), batches)


@dataclass
class Scorer:
    """Scores batches at several levels at once; compiles once for each shape.

    A level is a set of pruned leaves. `levels_at_once` of them are stacked on axis 0
    and mapped over, which vmaps them; one at a time is the plain function.
    """

    apply: Apply
    levels_at_once: int = 1
    compiler_options: Mapping[str, Any] = field(default_factory=dict)
    mesh: Mesh | None = None
    progress: Progress = field(default_factory=Progress)  # is told of compilations
    compile_seconds: float = 0.0
    _compiled: dict[Any, Any] = field(default_factory=dict)

    @property
    def compilations(self) -> int:
        return len(self._compiled)

    def score(
        self, params: Params, levels: Leaves, batch: scoring.Batch
    ) -> tuple[Float[np.ndarray, "level question option"], float]:
        """The scores at each level, and the seconds they took, compilation excluded.

        Args:
            params: the dense parameters.
            levels: path -> pruned leaf; with several levels at once, stacked on axis 0.
        """
        batch = placed(self.mesh, batch)
        compiled = self._compile(params, levels, batch)
        start = time.perf_counter()
        scores = np.asarray(compiled(params, levels, batch))
        return scores, time.perf_counter() - start

    def _compile(self, params: Params, levels: Leaves, batch: scoring.Batch) -> Any:
        leaves, structure = jax.tree.flatten(batch)
        key = (structure, tuple(leaf.shape for leaf in leaves))
        if key not in self._compiled:
            start = time.perf_counter()
            function = jax.jit(
                self._score_levels, out_shardings=parallel.everywhere(self.mesh)
            )
            # Not all are equally fast, and those that call it first do not wait long.
            with hosts.together(), self.progress.busy("compiling"):
                lowered = function.lower(params, levels, batch)
                self._compiled[key] = lowered.compile(dict(self.compiler_options))
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[key]

    def _score_levels(self, params: Params, levels: Leaves, batch: scoring.Batch):
        apply = self.apply
        if self.mesh is None and jax.default_backend() == "cpu":
            apply = capacity.in_parts(apply)
        return score_levels(apply, params, levels, batch, self.levels_at_once)


def placed(mesh: Mesh | None, batch: scoring.Batch) -> scoring.Batch:
    """A batch on its devices: what has rows is divided, so that no logits travel."""
    rows, terms = parallel.place_rows, batch.terms
    return replace(
        batch,
        inputs=rows(mesh, batch.inputs),
        terms=replace(
            terms,
            slots=rows(mesh, terms.slots),
            tokens=rows(mesh, terms.tokens),
            places=parallel.place_whole(mesh, terms.places),
            valid=parallel.place_whole(mesh, terms.valid),
        ),
    )


def score_levels(
    apply: Apply,
    params: Params,
    levels: Leaves,
    batch: scoring.Batch,
    levels_at_once: int,
) -> Float[jax.Array, "level question option"]:
    """The sweep axis: a scan over levels of vmaps of `levels_at_once` of them.

    Args:
        levels: path -> pruned leaves; stacked on axis 0 unless one at a time.
    """
    dense = trees.flatten(params)

    def one_level(pruned: Leaves) -> Float[jax.Array, "question option"]:
        merged = trees.unflatten({**dense, **pruned})
        return scoring.option_scores(apply, merged, batch)

    if levels_at_once == 1:
        return one_level(levels)[None]
    return jax.lax.map(one_level, levels, batch_size=levels_at_once)


def workload(scorer: Scorer, prepared: Prepared) -> Workload:
    """What scoring took, once it is done."""
    return Workload(
        shapes=len(prepared.shapes),
        batches=len(prepared.batches),
        padding=scoring.padding(prepared.encoded, prepared.batches),
        levels_at_once=scorer.levels_at_once,
        compilations=scorer.compilations,
        compile_seconds=scorer.compile_seconds,
    )


def unknown(
    journal: Journal, conditions: Conditions, prepared: Prepared
) -> frozenset[int]:
    """The numbers of the questions that have no answer yet; of questions that are the
    same the first."""
    digests = journal.unknown(conditions, prepared.digests)
    first = {one: n for n, one in reversed(list(enumerate(prepared.digests)))}
    return frozenset(first[one] for one in digests)


def score(
    scorer: Scorer,
    prepared: Prepared,
    model: Model,
    *,
    leaves: Leaves,
    levels: Sequence[Conditions],
    questions: frozenset[int],
    journal: Journal,
    progress: Progress,
) -> None:
    """Scores the given questions at the given levels and records them, a batch in one
    transaction.

    Batches keep the shapes that were planned from all questions; of one that is known
    in part, the rest is padding. So a run that goes on computes what it would have.

    Args:
        leaves: path -> pruned leaf; with several levels at once, stacked on axis 0,
            which may be longer than `levels`.
        questions: their numbers.

    Raises:
        InputError: a score is not finite, or the journal cannot be written.
    """
    for planned in prepared.batches:
        members = tuple(n for n in planned.questions if n in questions)
        if not members:
            continue
        batch = scoring.batch(
            prepared.encoded,
            replace(planned, questions=members),
            model.config,
            prepared.presentation.protocol,
        )
        scores, elapsed = scorer.score(model.params, leaves, batch)
        scores = scores[: len(levels), : len(members)]
        real = batch.terms.valid[: len(members)].any(axis=-1)  # options; the rest pad
        if not np.isfinite(scores[:, real]).all():
            raise InputError(
                f"--dtype={model.dtype}: {prepared.presentation.protocol} scores of "
                f"{model.name} are not finite; try --dtype=float32, or leave the model "
                "out"
            )
        seconds = elapsed / len(members) / len(levels)
        with hosts.together():
            journal.record(
                (
                    conditions,
                    prepared.digests[number],
                    Answer(said[: len(tokens)], np.array(tokens, np.int32), seconds),
                )
                for conditions, at_level in zip(levels, scores, strict=True)
                for number, said in zip(members, at_level, strict=True)
                for tokens in [prepared.encoded[number].option_tokens]
            )
        progress.done(len(members) * len(levels))


def recall(journal: Journal, conditions: Conditions, prepared: Prepared) -> Answers:
    """What the model said to every question.

    Raises:
        KeyError: one has not been scored.
    """
    answers = journal.answers(conditions, prepared.digests)
    found = [answers[digest] for digest in prepared.digests]
    return Answers(
        prepared.questions,
        padded([answer.scores for answer in found]),
        np.array([answer.seconds for answer in found]),
    )
