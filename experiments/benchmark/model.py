"""One model of the benchmark: written, loaded by everyone, measured side by side."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import flags, random_weights
from experiments.benchmark import harness, measuring
from experiments.benchmark.measuring import Key, Timing
from experiments.benchmark.ours import Ours
from experiments.benchmark.peers import Torch
from experiments.benchmark.rows import naive_rows
from jaxsparse import cbt, scoring
from jaxsparse.evaluation import ScoringPlan
from jaxsparse.model import load_model

ALL, MIX = "all", "mix"  # all questions; those that the peers are asked too

Works = dict[Key, Callable[[], Any]]


def measure(
    shape: str,
    tokenizer: Path,
    questions: Sequence[cbt.Question],
    settings: flags.Benchmark,
    place: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Everything that is known of a shape afterwards, ready for JSON.

    Args:
        place: an empty directory for its checkpoint.
    """
    tell("writing random weights")
    parameters = random_weights.write(shape, tokenizer, place / shape, settings.seed)
    measuring.release()
    with measuring.peak_memory() as peak:
        before = peak.bytes
        tell("loading and compiling")
        ours, plans, compiled = _ours(
            place / shape, _sets(questions, settings), settings
        )
    own_memory = peak.bytes - before

    timings, without_peers = _side_by_side(ours, plans, place, settings, tell)
    peers = {
        who: timing
        for (who, which), timing in timings.items()
        if which == MIX and who != "ours"
    }
    return {
        "shape": shape,
        "dtype": settings.dtype,
        "parameters": parameters,
        "questions": {which: len(some.encoded) for which, some in plans.items()},
        "ids": [question.id for question in questions],
        "row_tokens": float(  # the median of naive rows: story, query and option
            np.median([row.length for row in naive_rows(plans[ALL].encoded)])
        ),
        "operations": _operations(ours, plans),
        "seconds": _seconds(timings),
        "sweep": timings["sweep", ALL].result,
        "compile": compiled,
        "memory": {
            "ours": own_memory,
            **{who: timing.peak - without_peers for who, timing in peers.items()},
        },
        "device_memory": measuring.device_peak(),
        "differences": {
            who: _difference(timings["ours", MIX].result, timing.result)
            for who, timing in peers.items()
        },
        "peers": {
            name: _left_out(name, ours.model.config.reading, settings)
            for name in settings.peers
            if (name, MIX) not in timings
        },
    }


def _sets(
    questions: Sequence[cbt.Question], settings: flags.Benchmark
) -> dict[str, tuple[cbt.Question, ...]]:
    """Questions by what is measured on them."""
    mix = cbt.select(questions, settings.peer_questions)
    sets = {ALL: tuple(questions), MIX: mix}
    for word_class in cbt.WORD_CLASSES if settings.classes else ():
        members = tuple(item for item in mix if item.word_class == word_class)
        sets |= {word_class: members} if members else {}
    return sets


def _ours(
    directory: Path,
    sets: dict[str, tuple[cbt.Question, ...]],
    settings: flags.Benchmark,
) -> tuple[Ours, dict[str, ScoringPlan], dict[str, float]]:
    """Loaded, questions read, and every shape compiled by scoring it once."""
    model = load_model(str(directory), settings.dtype)
    ours = Ours.of(model, settings.batch_tokens, settings.levels_at_once)
    read = functools.cache(ours.plan)  # the peers may be asked all of them
    plans = {which: read(some) for which, some in sets.items()}
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


def _side_by_side(
    ours: Ours,
    plans: dict[str, ScoringPlan],
    place: Path,
    settings: flags.Benchmark,
    tell: Callable[[str], None],
) -> tuple[dict[Key, Timing], int]:
    """Times everybody, and says what memory there was before the peers were loaded."""
    works: Works = {}
    _add_ours(works, ours, plans)
    measuring.release()
    without_peers = measuring.rss_anon()
    through_harness = _add_peers(works, place, ours, plans, settings)
    order = list(dict.fromkeys(which for _, which in works))
    by_questions = sorted(works.items(), key=lambda work: order.index(work[0][1]))
    timings = measuring.interleaved(dict(by_questions), settings.repeats, tell)
    if through_harness:
        timings["harness", MIX].seconds = through_harness.seconds
    return timings, without_peers


def _add_ours(works: Works, ours: Ours, plans: dict[str, ScoringPlan]) -> None:
    scorer = ours.sweep_scorer(plans[ALL])
    if scorer is not ours.scorer:
        ours.sweep(plans[ALL], scorer)  # compiles
    # What products are computed in.
    dtype = "float32" if ours.model.form.widens_bfloat16 else ours.model.dtype
    works["matmul", "before"] = measuring.matmul(dtype)
    works["ours", ALL] = lambda: ours.score(plans[ALL])
    works["sweep", ALL] = lambda: ours.sweep(plans[ALL], scorer)
    works["matmul", "between"] = works["matmul", "before"]
    for which, some in plans.items():
        if which != ALL:
            works["ours", which] = lambda some=some: ours.score(some)


def _add_peers(
    works: Works,
    place: Path,
    ours: Ours,
    plans: dict[str, ScoringPlan],
    settings: flags.Benchmark,
) -> harness.Harness | None:
    """Loads who is asked for, warmed up; returns the harness, if it is one of them."""
    if not settings.peers:
        return None
    size = settings.peer_batch
    torch = Torch.load(place / ours.model.name, ours.model.config)
    rows = {which: naive_rows(some.encoded) for which, some in plans.items()}
    torch.batched(rows[MIX][:size], size)
    if "torch" in settings.peers:
        works["torch", MIX] = lambda: torch.one_question_at_a_time(rows[MIX])
    if "batched" in settings.peers:
        for which in [which for which in plans if which != ALL]:
            works["batched", which] = lambda which=which: torch.batched(
                rows[which], size
            )
    if _left_out("harness", ours.model.config.reading, settings):
        return None
    loaded = harness.Harness.load(torch.model, ours.model.tokenizer, size)
    task = harness.write_task(plans[MIX], place)
    works["harness", MIX] = lambda: loaded.scores(task)
    return loaded


def _left_out(peer: str, reading: str, settings: flags.Benchmark) -> str | None:
    """Why a peer is not measured, if so."""
    if peer not in settings.peers:
        return "not asked for"
    if reading != "causal":
        return "scores causal models only"
    return None if harness.installed() else harness.INSTALL


def _operations(ours: Ours, plans: dict[str, ScoringPlan]) -> dict[str, Any]:
    costs = ours.model.blueprint.family.operations(ours.model.config)
    return {
        which: {
            "ours": ours.operations(some),
            "naive": sum(row.operations(costs) for row in naive_rows(some.encoded)),
        }
        for which, some in plans.items()
    }


def _seconds(timings: dict[Key, Timing]) -> dict[str, dict[str, list[float]]]:
    """By questions, then by who answered them."""
    seconds: dict[str, dict[str, list[float]]] = {}
    for (who, which), timing in timings.items():
        seconds.setdefault(which, {})[who] = timing.seconds
    return seconds


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest between ours and a peer's scores, in nats; of those above 1000
    the thousandth part of the millionth of the score, as float32 has no more."""
    return float(np.max(np.abs(theirs - ours) / np.maximum(1, abs(ours) / 1000)))
