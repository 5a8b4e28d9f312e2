"""One model on all questions: scores on the device, accuracies on the host."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxsparse import scoring, stats, trees
from jaxsparse.cbt import Question
from jaxsparse.model import Apply, Model
from jaxsparse.types import Array, InputError, Params

Leaves = Mapping[str, Array]  # path -> leaf

# Told a stage and its number of questions, gives what to tell how many are done.
Track = Callable[[str, int], Callable[[int], Any]]


def untracked(stage: str, questions: int) -> Callable[[int], Any]:
    """Tells nobody."""
    return lambda done: None


@dataclass(frozen=True)
class Asked:
    """What one model was asked under one protocol."""

    questions: tuple[Question, ...]
    protocol: str
    context: str
    detokenize: str
    option_tokens: tuple[tuple[int, ...], ...]  # question, option
    truncated: Bool[np.ndarray, " question"]  # lost sentences from the left


@dataclass(frozen=True)
class Prepared:
    """All questions as one model reads them, and their batches."""

    asked: Asked
    encoded: tuple[scoring.Encoded, ...]
    batches: tuple[scoring.Planned, ...]

    @property
    def shapes(self) -> frozenset[scoring.Shape]:
        """One compilation each."""
        return frozenset(batch.shape for batch in self.batches)


def prepare(
    model: Model,
    questions: Sequence[Question],
    protocol: str,
    *,
    context: str = "full",
    detokenize: str = "ptb",
    batch_tokens: int,
    track: Track = untracked,
) -> Prepared:
    """Encodes every question, then plans the batches from the full list."""
    done = track(f"{protocol}: reading", len(questions))
    encoded = []
    for question in questions:
        encoded.append(
            scoring.encode(
                question,
                model.tokenizer,
                model.config,
                protocol,
                context=context,
                detokenize=detokenize,
            )
        )
        done(1)
    batches = scoring.plan(encoded, batch_tokens)
    asked = Asked(
        questions=tuple(questions),
        protocol=protocol,
        context=context,
        detokenize=detokenize,
        option_tokens=tuple(one.option_tokens for one in encoded),
        truncated=np.array([one.dropped > 0 for one in encoded]),
    )
    return Prepared(asked, tuple(encoded), batches)


@dataclass
class Scorer:
    """Scores batches at several levels at once; compiles once for each shape.

    A level is a set of pruned leaves. `levels_at_once` of them are stacked on axis 0
    and mapped over, which vmaps them; one at a time is the plain function.
    """

    apply: Apply
    levels_at_once: int = 1
    compiler_options: Mapping[str, Any] = field(default_factory=dict)
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
        compiled = self._compile(params, levels, batch)
        start = time.perf_counter()
        scores = np.asarray(compiled(params, levels, batch))
        return scores, time.perf_counter() - start

    def _compile(self, params: Params, levels: Leaves, batch: scoring.Batch) -> Any:
        leaves, structure = jax.tree.flatten(batch)
        key = (structure, tuple(leaf.shape for leaf in leaves))
        if key not in self._compiled:
            start = time.perf_counter()
            lowered = jax.jit(self._score_levels).lower(params, levels, batch)
            self._compiled[key] = lowered.compile(dict(self.compiler_options))
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[key]

    def _score_levels(self, params: Params, levels: Leaves, batch: scoring.Batch):
        return score_levels(self.apply, params, levels, batch, self.levels_at_once)


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


@dataclass(frozen=True)
class Scores:
    """What one model said at one point of a sweep."""

    scores: Float[np.ndarray, "question option"]  # nats, or probabilities
    seconds: Float[np.ndarray, " question"]  # its share of its batch

    @property
    def predicted(self) -> Int[np.ndarray, " question"]:
        """The best option of each question; the first of equals."""
        return np.argmax(self.scores, axis=1)

    @property
    def tied(self) -> Bool[np.ndarray, " question"]:
        best = self.scores.max(axis=1, keepdims=True)
        return (self.scores == best).sum(axis=1) > 1

    def correct(self, questions: Sequence[Question]) -> Bool[np.ndarray, " question"]:
        return np.array(
            [
                question.options[choice] == question.answer
                for question, choice in zip(questions, self.predicted, strict=True)
            ]
        )


def score_all(
    scorer: Scorer,
    prepared: Prepared,
    model: Model,
    levels: Leaves,
    progress: Callable[[int], Any] = lambda questions: None,
) -> list[Scores]:
    """Scores every question at every given level.

    Args:
        progress: told the number of questions done, after each batch.

    Returns:
        one `Scores` for each level.
    """
    count = scorer.levels_at_once
    questions = len(prepared.asked.questions)
    options = prepared.batches[0].shape.options
    scores = np.full((count, questions, options), np.nan, np.float32)
    seconds = np.zeros(questions)
    for planned in prepared.batches:
        batch = scoring.batch(
            prepared.encoded, planned, model.config, prepared.asked.protocol
        )
        members = np.array(planned.questions)
        batch_scores, elapsed = scorer.score(model.params, levels, batch)
        scores[:, members] = batch_scores[:, : len(members)]
        seconds[members] = elapsed / len(members) / count
        progress(len(members))
    if not np.isfinite(scores).all():
        raise InputError(
            f"--dtype={model.dtype}: {prepared.asked.protocol} scores of {model.name} "
            "are not finite; try --dtype=float32, or leave the model out"
        )
    return [Scores(level_scores, seconds) for level_scores in scores]


@dataclass(frozen=True)
class Accuracy:
    """The answers to the questions of one word class, or of all, at one point."""

    word_class: str
    questions: int
    correct: int
    accuracy: float  # fraction
    ci_low: float  # Wilson, 95 %
    ci_high: float
    dense_accuracy: float
    p_vs_dense: float | None  # exact McNemar; None for dense itself
    truncated: int
    ties: int
    seconds: float
    questions_per_second: float


def accuracies(asked: Asked, point: Scores, dense: Scores) -> Iterator[Accuracy]:
    """One row for each word class present, and one, `all`, for all pooled."""
    questions = asked.questions
    correct, dense_correct = point.correct(questions), dense.correct(questions)
    classes = np.array([question.word_class for question in questions])
    for word_class in (*dict.fromkeys(classes.tolist()), "all"):
        chosen = np.full(len(questions), True)
        if word_class != "all":
            chosen = classes == word_class
        total, right = int(chosen.sum()), int(correct[chosen].sum())
        low, high = stats.wilson(right, total)
        seconds = float(point.seconds[chosen].sum())
        yield Accuracy(
            word_class=word_class,
            questions=total,
            correct=right,
            accuracy=right / total,
            ci_low=low,
            ci_high=high,
            dense_accuracy=float(dense_correct[chosen].mean()),
            p_vs_dense=None
            if point is dense
            else stats.mcnemar(correct[chosen], dense_correct[chosen]),
            truncated=int(asked.truncated[chosen].sum()),
            ties=int(point.tied[chosen].sum()),
            seconds=seconds,
            questions_per_second=total / seconds,
        )
