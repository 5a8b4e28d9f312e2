"""What a training step takes, ours and torch's, from the same weights on the same rows.

The loss is that of running text, every token from those before it; the optimizer is
AdamW in float32, gradients clipped by their global norm, without dropout. Both take the
same steps, so that their losses must stay equal.
"""

import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import flags, random_weights
from experiments.benchmark import training_torch
from experiments.benchmark.measuring import interleaved, spread
from jaxsparse.model import Model, load_model
from jaxsparse.models.apply import make_text_loss
from jaxsparse.models.inputs import CausalInputs
from jaxsparse.running_text import Examples, portioned_loss_sums
from jaxsparse.training.optimizer import Schedule, adamw
from jaxsparse.training.step import first_state, update_step
from jaxsparse.types import InputError

SHAPES = ((4, 256), (4, 512))  # rows, and tokens of each
SCHEDULE = Schedule(steps=1_000_000, warmup=0, learning_rate=1e-4)  # as if constant
CLOSE = 1e-4  # relative, of losses

Losses = dict[str, list[float]]


def measure(
    shape: str,
    tokenizer: Path,
    settings: flags.Benchmark,
    place: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Seconds of each repetition and losses of every step, by rows and who trained;
    ready for JSON.

    Args:
        place: an empty directory for the weights.
    """
    tell("writing random weights")
    random_weights.write(shape, tokenizer, place / shape, settings.seed)
    model = load_model(str(place / shape))
    found = {}
    for rows, length in SHAPES:
        which = f"{rows} x {length}"
        generator = np.random.default_rng(settings.seed)
        size = rows, min(length, model.config.positions)
        tokens = generator.integers(0, model.config.vocab, size, np.int32)
        losses: Losses = {"ours": [], "torch": []}
        steps = {
            "ours": _step(model, tokens),
            "torch": training_torch.step(place / shape, tokens, SCHEDULE),
        }
        works = {
            (who, which): functools.partial(_keep, losses[who], step)
            for who, step in steps.items()
        }
        for work in works.values():
            work()  # compiles
        timings = interleaved(works, settings.repeats, tell)
        found[which] = {
            "tokens": tokens.size,
            "losses": losses,
            "seconds": {who: timing.seconds for (who, _), timing in timings.items()},
        }
    return {"shape": shape, "steps": found}


def _keep(losses: list[float], step: Callable[[], float]) -> None:
    losses.append(step())


def _step(model: Model, tokens: np.ndarray) -> Callable[[], float]:
    """Trains a step; the mean loss before it, in nats."""
    loss = make_text_loss(model.blueprint.family, model.config, "float32", model.form)
    transform = adamw(SCHEDULE)
    update = update_step(functools.partial(portioned_loss_sums, loss), transform)
    # A copy, since a step takes the memory of what it is given.
    params = {path: jax.numpy.array(leaf) for path, leaf in model.params.items()}
    state = first_state(params, transform)
    positions = np.broadcast_to(
        np.arange(tokens.shape[1], dtype=np.int32), tokens.shape
    )
    inputs = CausalInputs(tokens, positions, np.zeros_like(tokens), positions[:, :-1])
    targets = tokens[:, 1:]
    batch = jax.device_put(Examples(inputs, targets, np.ones(targets.shape, bool)))

    def step() -> float:
        nonlocal state
        state, loss = update(state, batch)
        jax.block_until_ready(state)
        return float(loss)

    return step


def check_shape(shape: str) -> None:
    """Raises InputError for one whose training is not measured."""
    if not shape.startswith("gpt2-"):
        raise InputError(
            f"--model={shape}: --training measures GPT-2; name gpt2-small, say"
        )


def disagreement(result: dict[str, Any]) -> str | None:
    """What is wrong where losses differ; of a sweep none are compared."""
    for which, row in result.get("steps", {}).items():
        for ours, torch in zip(*row["losses"].values(), strict=True):
            if not abs(ours - torch) <= CLOSE * abs(torch):
                return (
                    f"{result['shape']}, {which}: the loss is {ours:.5f} nats of ours, "
                    f"{torch:.5f} of torch; the ratios mean nothing"
                )
    return None


def table(result: dict[str, Any]) -> list[str]:
    """Lines: a training step of each batch, medians."""
    lines = [
        f"{result['shape']}: a training step, AdamW, float32; medians",
        f"  {'rows x tokens':16}{'ours':>10}{'tokens/s':>10}{'torch':>10}"
        f"{'tokens/s':>10}{'torch/ours':>12}{'spread':>12}",
    ]
    for which, row in result["steps"].items():
        ours, torch = row["seconds"]["ours"], row["seconds"]["torch"]
        ratios = [slow / fast for fast, slow in zip(ours, torch, strict=True)]
        cells = "".join(
            f"{taken:8.2f} s{row['tokens'] / taken:10.1f}"
            for taken in map(statistics.median, (ours, torch))
        )
        lines.append(
            f"  {which:16}{cells}{statistics.median(ratios):12.2f}{spread(ratios):>12}"
        )
    return lines
