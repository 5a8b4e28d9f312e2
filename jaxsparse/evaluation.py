"""The device loop: questions into batches, batches into scores. One loop for sweeps,
for the exams of models that are still learning, and for the benchmark.
"""

import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from jaxsparse import hosts, parallel, scoring
from jaxsparse.cbt import Question
from jaxsparse.device import CPU, Form
from jaxsparse.models import Family
from jaxsparse.models.apply import Apply, in_parts
from jaxsparse.points import Workload
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.readings import Readings
from jaxsparse.types import InputError, Leaves, Presentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class ScoringPlan:
    """All questions as one model reads them, and the batches they go in."""

    questions: tuple[Question, ...]
    presentation: Presentation
    config: Any  # of the model's family
    encoded: tuple[scoring.Encoded, ...]
    batches: tuple[scoring.BatchPlan, ...]

    @classmethod
    def of(
        cls,
        questions: Sequence[Question],
        presentation: Presentation,
        family: Family,
        config: Any,
        tokenizer: "PreTrainedTokenizerFast",
        *,
        batch_tokens: int,
        rows_multiple: int = 1,
        form: Form = CPU,
        readings: Readings | None = None,
        progress: Progress = NOBODY,
    ) -> "ScoringPlan":
        """Encodes every question, then plans the batches from the full list.

        Args:
            batch_tokens: rows x length that a batch may have.
            rows_multiple: what divides the rows of every batch.
            form: the model's, which says what a compilation is worth.
            readings: where questions are looked up first, and kept.

        Raises:
            InputError: no questions; one that the model cannot read, or a token that it
                does not have.
        """
        if not questions:
            raise InputError("`questions` holds none; give one or more")
        progress.stage(f"{presentation.protocol} · reading", len(questions))
        reader = scoring.Reader(tokenizer, config, presentation)
        encoded = (readings or Readings()).read(reader, questions, progress)
        costs = family.operations(config)
        batches = scoring.plan(encoded, batch_tokens, costs, rows_multiple, form)
        return cls(tuple(questions), presentation, config, encoded, batches)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Of the questions' content."""
        return tuple(question.digest for question in self.questions)

    @property
    def shapes(self) -> frozenset[scoring.BatchShape]:
        """Those of the batches; one compilation each."""
        return frozenset(batch.shape for batch in self.batches)

    @property
    def option_tokens(self) -> tuple[tuple[int, ...], ...]:
        """How many tokens each option of each question has."""
        return tuple(encoded.option_tokens for encoded in self.encoded)

    @property
    def truncated(self) -> Bool[np.ndarray, " question"]:
        """Which questions have lost sentences from the left."""
        return np.array([encoded.dropped > 0 for encoded in self.encoded])


# What a variant says of each question of a batch, or of each row of text.
Measure = Callable[[Apply, Leaves, Any, Form], jax.Array]

# Waits for the scores of a batch, and says what seconds they took.
WaitForScores = Callable[[], tuple[Float[np.ndarray, "variant question option"], float]]


@dataclass
class Scorer:
    """Scores batches with several variants' leaves at once. Compiles once for each
    function and each set of shapes and dtypes, of batch and leaves.

    `levels_at_once` sets of leaves, unless a call has fewer, are stacked on axis 0 and
    mapped over, which vmaps them; one at a time is the plain function.
    """

    levels_at_once: int = 1
    compiler_options: Mapping[str, Any] = field(default_factory=dict)
    mesh: Mesh | None = None
    progress: Progress = field(default_factory=Progress)  # is told of compilations
    form: Form = CPU
    measure: Measure = scoring.option_scores
    compile_seconds: float = 0.0
    _compiled: dict[Any, Any] = field(default_factory=dict)
    _waiting: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "scores")
    )

    @property
    def compilations(self) -> int:
        return len(self._compiled)

    def score(
        self,
        apply: Apply,
        params: Leaves,
        changed: Leaves,
        batch: Any,
        levels: int | None = None,
    ) -> WaitForScores:
        """Hands a batch to the device, and returns what waits for it: the scores of
        each variant, and the seconds they took without compilation.

        Args:
            params: the leaves that all variants share.
            changed: those that differ, in place of theirs; of several variants at once
                stacked on axis 0.
            batch: what is measured, on its devices, see `placed`.
            levels: sets of leaves in `changed`; by default `levels_at_once`.
        """
        shared = {path: leaf for path, leaf in params.items() if path not in changed}
        levels = levels or self.levels_at_once
        compiled = self._compile(apply, shared, changed, batch, levels)
        start = time.perf_counter()
        scores = compiled(shared, changed, batch)

        def wait() -> tuple[np.ndarray, float]:
            return np.asarray(scores), time.perf_counter() - start

        # A thread of its own takes the time at which they are there, whatever the host
        # is at; all else stays in this one, where processes keep to one order.
        return self._waiting.submit(wait).result

    def _compile(
        self, apply: Apply, shared: Leaves, changed: Leaves, batch: Any, levels: int
    ) -> Any:
        arguments = (shared, changed, batch)
        leaves, structure = jax.tree.flatten(arguments)
        key = (apply, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self._compiled:
            start = time.perf_counter()
            if self.form.part_tokens and self.mesh is None:
                apply = in_parts(apply, self.form.part_tokens)
            function = jax.jit(
                functools.partial(
                    score_variants, apply, self.measure, self.form, levels
                ),
                out_shardings=parallel.everywhere(self.mesh),
            )
            # Not all are equally fast, and those that call it first do not wait long.
            with hosts.together(), self.progress.busy("compiling"):
                lowered = function.lower(*arguments)
                self._compiled[key] = lowered.compile(dict(self.compiler_options))
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[key]

    def workload(self, plan: ScoringPlan) -> Workload:
        """What scoring took, once it is done."""
        return Workload(
            shapes=len(plan.shapes),
            batches=len(plan.batches),
            padding=scoring.padding(plan.encoded, plan.batches),
            levels_at_once=self.levels_at_once,
            read_as_a_whole=sum(not one.tokens.by_words for one in plan.encoded),
            compilations=self.compilations,
            compile_seconds=self.compile_seconds,
        )


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
            places=parallel.place_everywhere(mesh, terms.places),
            valid=parallel.place_everywhere(mesh, terms.valid),
        ),
    )


def score_variants(
    apply: Apply,
    measure: Measure,
    form: Form,
    levels_at_once: int,
    shared: Leaves,
    changed: Leaves,
    batch: Any,
) -> Float[jax.Array, "variant question option"]:
    """The sweep axis: a scan over variants of vmaps of `levels_at_once` of them.

    Args:
        changed: the leaves that differ; stacked on axis 0 unless one at a time.
    """

    def score(leaves: Leaves) -> Float[jax.Array, "question option"]:
        return measure(apply, {**shared, **leaves}, batch, form)

    if levels_at_once == 1:
        return score(changed)[None]
    return jax.lax.map(score, changed, batch_size=levels_at_once)


def score_batches(
    scorer: Scorer,
    plan: ScoringPlan,
    apply: Apply,
    params: Leaves,
    changed: Leaves,
    wanted: Collection[int] | None = None,
    levels: int | None = None,
) -> Iterator[
    tuple[tuple[int, ...], Float[np.ndarray, "variant question option"], float]
]:
    """Scores questions batch by batch.

    Batches keep the shapes that were planned from all questions; of one that is wanted
    in part, the rest is padding. So a run that goes on computes what it would have.

    The device never waits for the host: while it computes a batch, the next is made,
    and whoever asked has the scores of the last.

    device   |    batch 1    |    batch 2    |    batch 3    |
    host     | make 2        | make 3 keep 1 | make 4 keep 2 |

    Args:
        changed, levels: see `Scorer.score`.
        wanted: numbers of questions; without, all.

    Yields:
        of each batch the numbers of its questions, their scores, and seconds.
    """
    last = running = None
    for planned in plan.batches:
        members = tuple(n for n in planned.questions if wanted is None or n in wanted)
        if not members:
            continue
        batch = scoring.batch(
            plan.encoded,
            replace(planned, questions=members),
            plan.config,
            plan.presentation.protocol,
        )
        batch = placed(scorer.mesh, batch)
        if last:
            yield last
        last = running and _scored(*running)
        running = members, scorer.score(apply, params, changed, batch, levels)
    if last:
        yield last
    if running:
        yield _scored(*running)


def _scored(
    members: tuple[int, ...], wait: WaitForScores
) -> tuple[tuple[int, ...], np.ndarray, float]:
    scores, seconds = wait()
    return members, scores[:, : len(members)], seconds


def all_scores(
    scorer: Scorer, plan: ScoringPlan, apply: Apply, params: Leaves, changed: Leaves
) -> Float[np.ndarray, "variant question option"]:
    """The scores of all questions in one array; see `score_batches`. As in `Answers`,
    minus infinity stands for options that a question lacks."""
    options = max(encoded.options for encoded in plan.encoded)
    shape = scorer.levels_at_once, len(plan.encoded), options
    scores = np.full(shape, -np.inf, np.float32)
    for members, said, _ in score_batches(scorer, plan, apply, params, changed):
        scores[:, list(members), : said.shape[-1]] = said
    return scores
