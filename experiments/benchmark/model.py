"""One model of the benchmark: written, loaded by everyone, measured side by side."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import random_weights
from experiments.benchmark import measuring
from experiments.benchmark.harness import Harness, write_task
from experiments.benchmark.measuring import Key, Timing
from experiments.benchmark.ours import Ours
from experiments.benchmark.peers import Torch
from experiments.benchmark.rows import naive_rows
from experiments.flags import Benchmark
from jaxsparse import cbt, scoring
from jaxsparse.evaluation import ScoringPlan
from jaxsparse.model import Model, load_model

ALL, MIX = "all", "mix"  # all questions; those that the peers are asked too


@dataclass(frozen=True)
class Sets:
    """Questions by what is measured on them."""

    questions: dict[str, tuple[cbt.Question, ...]]

    @classmethod
    def of(cls, questions: Sequence[cbt.Question], peers: int, classes: bool) -> "Sets":
        mix = cbt.select(questions, peers)
        sets = {ALL: tuple(questions), MIX: mix}
        for word_class in cbt.WORD_CLASSES if classes else ():
            members = tuple(one for one in mix if one.word_class == word_class)
            sets |= {word_class: members} if members else {}
        return cls(sets)


def measure(
    shape: str,
    tokenizer: Path,
    questions: Sequence[cbt.Question],
    conditions: Benchmark,
    place: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Everything that is known of a shape afterwards, ready for JSON.

    Args:
        place: an empty directory for its checkpoint.
    """
    tell("writing random weights")
    directory = place / shape
    parameters = random_weights.write(shape, tokenizer, directory, conditions.seed)
    sets = Sets.of(questions, conditions.peer_questions, conditions.classes)
    measuring.release()
    with measuring.peak_memory() as peak:
        before = peak.bytes
        tell("loading and compiling")
        ours, plans, compiled = _ours(directory, sets, conditions)
    own_memory = peak.bytes - before

    works: dict[Key, Callable[[], Any]] = {}
    _add_ours(works, ours, plans)
    loaded = _add_peers(works, directory, place, ours, plans, conditions)
    order = list(dict.fromkeys(which for _, which in works))
    side_by_side = sorted(works.items(), key=lambda work: order.index(work[0][1]))
    measured = measuring.interleaved(dict(side_by_side), conditions.repeats, tell)
    if harness := loaded.get("harness"):
        measured["harness", MIX].seconds = harness.seconds
    return {
        "shape": shape,
        "dtype": conditions.dtype,
        "parameters": parameters,
        "questions": {which: len(one.encoded) for which, one in plans.items()},
        "ids": [one.id for one in questions],
        "row_tokens": _row_tokens(plans[ALL]),
        "operations": _operations(ours, plans),
        "seconds": _seconds(measured),
        "sweep": measured["sweep", ALL].result,
        "compile": compiled,
        "memory": {"ours": own_memory, **_peers_memory(measured, loaded)},
        "device_memory": measuring.device_peak(),
        "differences": _differences(measured),
        "peers": {
            name: _left_out(name, shape, conditions)
            for name in conditions.peers
            if (name, MIX) not in works
        },
    }


def _ours(
    directory: Path, sets: Sets, conditions: Benchmark
) -> tuple[Ours, dict[str, ScoringPlan], dict[str, float]]:
    """Loaded, questions read, and every shape compiled by scoring it once."""
    model = load_model(str(directory), conditions.dtype)
    ours = Ours.of(model, conditions.batch_tokens, conditions.levels_at_once)
    read = functools.cache(ours.plan)  # the peers may be asked all of them
    plans = {which: read(some) for which, some in sets.questions.items()}
    ours.score(plans[ALL])
    compiled = {
        "seconds": ours.scorer.compile_seconds,
        "compilations": ours.scorer.compilations,
        "padding": scoring.padding(plans[ALL].encoded, plans[ALL].batches),
        "batch_tokens": ours.batch_tokens,
        "levels_at_once": ours.levels_of(plans[ALL]),
    }
    for some in plans.values():
        if some is not plans[ALL]:
            ours.score(some)
    return ours, plans, compiled


def _add_ours(
    works: dict[Key, Callable[[], Any]], ours: Ours, plans: dict[str, ScoringPlan]
) -> None:
    scorer = ours.sweep_scorer(plans[ALL])
    if scorer is not ours.scorer:
        ours.sweep(plans[ALL], scorer)  # compiles
    works["matmul", "before"] = measuring.matmul(_matmul_dtype(ours.model))
    works["ours", ALL] = lambda: ours.score(plans[ALL])
    works["sweep", ALL] = lambda: ours.sweep(plans[ALL], scorer)
    works["matmul", "between"] = works["matmul", "before"]
    for which, some in plans.items():
        if which != ALL:
            works["ours", which] = lambda some=some: ours.score(some)


def _matmul_dtype(model: Model) -> str:
    """What products are computed in."""
    return "float32" if model.form.widens_bfloat16 else model.dtype


def _add_peers(
    works: dict[Key, Callable[[], Any]],
    directory: Path,
    place: Path,
    ours: Ours,
    plans: dict[str, ScoringPlan],
    conditions: Benchmark,
) -> dict[str, Any]:
    """Loads who is asked for, warmed up; also what memory there was before."""
    measuring.release()
    loaded: dict[str, Any] = {"before": measuring.rss_anon()}
    if not conditions.peers:
        return loaded
    size = conditions.peer_batch
    torch = Torch.load(directory, ours.model.config)
    rows = {which: naive_rows(some.encoded) for which, some in plans.items()}
    torch.batched(rows[MIX][:size], size)
    if "torch" in conditions.peers:
        works["torch", MIX] = lambda: torch.one_question_at_a_time(rows[MIX])
    if "batched" in conditions.peers:
        for which in [which for which in plans if which != ALL]:
            works["batched", which] = lambda which=which: torch.batched(
                rows[which], size
            )
    if _left_out("harness", directory.name, conditions) is None:
        harness = Harness.load(torch.model, ours.model.tokenizer, size)
        task = write_task(plans[MIX], place)
        works["harness", MIX] = lambda: harness.scores(task)
        loaded["harness"] = harness
    return loaded


def _left_out(peer: str, shape: str, conditions: Benchmark) -> str | None:
    """Why a peer is not measured, if so."""
    from experiments.benchmark import harness

    if peer not in conditions.peers:
        return "not asked for"
    if not shape.startswith("gpt2"):
        return "scores causal models only"
    return None if harness.installed() else harness.INSTALL


def _row_tokens(plan: ScoringPlan) -> float:
    """Median tokens of a naive row: story, query and option."""
    return float(np.median([row.length for row in naive_rows(plan.encoded)]))


def _operations(ours: Ours, plans: dict[str, ScoringPlan]) -> dict[str, Any]:
    costs = ours.model.blueprint.family.operations(ours.model.config)
    return {
        which: {
            "ours": ours.operations(some),
            "naive": sum(row.operations(costs) for row in naive_rows(some.encoded)),
        }
        for which, some in plans.items()
    }


def _seconds(measured: dict[Key, Timing]) -> dict[str, dict[str, list[float]]]:
    """By questions, then by who answered them."""
    seconds: dict[str, dict[str, list[float]]] = {}
    for (who, which), one in measured.items():
        seconds.setdefault(which, {})[who] = one.seconds
    return seconds


def _peers_memory(
    measured: dict[Key, Timing], loaded: dict[str, Any]
) -> dict[str, int]:
    return {
        who: one.peak - loaded["before"]
        for (who, which), one in measured.items()
        if which == MIX and who != "ours"
    }


def _differences(measured: dict[Key, Timing]) -> dict[str, float]:
    """The largest between ours and each peer's scores, in nats; of those above 1000
    the thousandth part of the millionth of the score, as float32 has no more."""
    ours = measured["ours", MIX].result
    return {
        who: float(np.max(np.abs(one.result - ours) / np.maximum(1, abs(ours) / 1000)))
        for (who, which), one in measured.items()
        if which == MIX and who != "ours"
    }
