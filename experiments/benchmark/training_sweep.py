"""What five tiny models trained back in one job take, beside five runs of one each."""

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from experiments import flags
from experiments.benchmark.measuring import interleaved, spread
from jaxsparse import cbt
from jaxsparse.finetuning import Settings, finetune
from jaxsparse.model import Model, load_model
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import Recipe
from jaxsparse.training.training import Training
from jaxsparse.variants import Variant

MODEL = "tiny-gpt2"
SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
STEPS = 20
QUESTIONS, VALIDATION = 320, 8  # whose stories are learned from, and that are asked
WAYS = {
    "five runs": "a run for each sparsity, one after another",
    "one job": "all in one job, by whatever way suits the device",
    "one call": "all in one call, vmapped over the sparsities",
}


def measure(settings: flags.Benchmark, tell: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of each repetition by way, compilation included; ready for JSON."""
    model = load_model(MODEL)
    pruned = OneShot(model).variants(Recipe("magnitude"), SPARSITIES)
    trained = functools.partial(
        _trained, model, Training(objective="lm", seed=settings.seed)
    )
    works = {
        "five runs": lambda: [trained([variant], 0) for variant in pruned],
        "one job": lambda: trained(pruned, 0),
        "one call": lambda: trained(pruned, len(pruned)),
    }
    assert works.keys() == WAYS.keys()
    timings = interleaved(
        {(way, MODEL): work for way, work in works.items()}, settings.repeats, tell
    )
    return {
        "shape": f"{MODEL}, five sparsities",
        "seconds": {way: timing.seconds for (way, _), timing in timings.items()},
    }


def _trained(
    model: Model, training: Training, pruned: Sequence[Variant], at_once: int
) -> None:
    """Trains these.

    Args:
        at_once: so many in one call; 0: what suits the device.
    """
    settings = replace(Settings(), at_once=at_once)
    read = functools.partial(cbt.read_questions, "bundled")
    finetune(
        model, pruned, read("train", num_examples=QUESTIONS),
        read("validation", num_examples=VALIDATION), training, settings, steps=STEPS,
    )  # fmt: skip


def table(result: dict[str, Any]) -> list[str]:
    """Lines: each way, and how often the first one's time; medians."""
    seconds = result["seconds"]
    lines = [
        f"{result['shape']}: {STEPS} steps of each, compilation included; medians",
        f"  {'':12}{'seconds':>9}{'of five runs':>14}{'spread':>12}",
    ]
    for way, taken in seconds.items():
        ratios = [
            one / five for one, five in zip(taken, seconds["five runs"], strict=True)
        ]
        lines.append(
            f"  {way:12}{statistics.median(taken):9.1f}"
            f"{statistics.median(ratios):14.2f}{spread(ratios):>12}  {WAYS[way]}"
        )
    return lines
