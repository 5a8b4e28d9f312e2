"""Variants to train back: what each starts as, its steps and its rate.

oneshot   the variant as it is, its zeros staying zero
gradual   the dense model, masks decided again while sparsity grows to the variant's
dense     the dense model as a whole, pruned afterwards: the control
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxsparse import variants
from jaxsparse.calibration import Calibration
from jaxsparse.model import Model
from jaxsparse.training.optimizer import Schedule
from jaxsparse.training.training import Training
from jaxsparse.types import InputError
from jaxsparse.variants import Variant

STEPS = 120
MOST_STEPS = 2**31 - 1  # what int32 counts
HIGHEST_RATE = 3e38  # what float32 holds
# Of questions, and of running text, which a gradient is less noisy of; by reading.
RATES = {
    "causal": (2e-4, 6e-4),
    "masked": (1e-4, 5e-4),
    "replaced": (1e-4, 1e-4),
    "seq2seq": (0.015, 0.02),
}


@dataclass(frozen=True, eq=False)
class Job:
    """A variant to train back, by one training; see `finetune`."""

    variant: Variant
    training: Training
    schedule: Schedule
    start: Variant  # what is trained
    calibration: Calibration | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        variant: Variant,
        training: Training,
        schedule: Schedule,
        calibration: Calibration | None = None,
    ) -> "Job":
        start = _start(model, variant, training)
        return cls(variant, training, schedule, start, calibration)

    @property
    def grows(self) -> bool:
        """Whether masks are decided while it is trained."""
        return self.training.schedule == "gradual" and self.variant.sparsity > 0


def _start(model: Model, variant: Variant, training: Training) -> Variant:
    """What is trained. Masks that grow may be of a head that is tied in `model`."""
    if training.schedule == "dense":
        return variants.dense(model, variant.recipe)
    if training.schedule == "gradual":
        return variants.dense(variant.model, variant.recipe)
    return variant


def schedules(
    model: Model,
    objective: str,
    number: int,
    steps: int | Sequence[int],
    learning_rate: float | Sequence[float],
    warmup: float,
) -> list[Schedule]:
    """Steps and rate of each of so many variants, see `finetune`."""
    all_steps = [steps] * number if isinstance(steps, int) else list(steps)
    if isinstance(learning_rate, int | float):
        learning_rate = [learning_rate] * number
    of_questions, of_text = RATES[model.config.reading]
    own = of_text if objective == "lm" else of_questions
    all_rates = [rate or own for rate in learning_rate]
    for name, values in ("steps", all_steps), ("learning_rate", all_rates):
        if len(values) != number:
            raise InputError(
                f"`{name}`: {len(values)} values for {number} variants; give one, or "
                "one for each"
            )
    for each in all_steps:
        if not 1 <= each <= MOST_STEPS:
            raise InputError(f"`steps={each}`: 1 to {MOST_STEPS:,}")
    for rate in all_rates:
        if not 0 < rate <= HIGHEST_RATE:
            raise InputError(
                f"`learning_rate={rate}`: a number above 0 that float32 holds"
            )
    return [
        Schedule(
            steps=each, warmup=min(round(warmup * each), each - 1), learning_rate=rate
        )
        for each, rate in zip(all_steps, all_rates, strict=True)
    ]
