"""How a gradient becomes an update of the parameters."""

from dataclasses import dataclass
from typing import Any

import optax

from jaxsparse.types import Leaves


@dataclass(frozen=True)
class Schedule:
    """Steps and rates of `adamw`: linear warm-up, then cosine decay.

    `relative` steps are a fraction of each leaf's root mean square (Shazeer & Stern
    2018, section 8): where a family's leaves differ in scale a hundredfold, as T5's do,
    one absolute rate is too little for its embeddings or too much for its queries.
    """

    steps: int
    warmup: int  # steps
    learning_rate: float  # at its peak
    final: float = 0.05  # of the peak, at the end
    weight_decay: float = 0.1  # of kernels and embeddings
    beta_2: float = 0.98
    clip: float = 1.0  # global norm of the gradient
    relative: bool = False


def adamw(schedule: Schedule) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019), gradients clipped by their global norm."""
    return optax.chain(
        *directions(schedule), optax.scale_by_learning_rate(rates(schedule))
    )


def directions(schedule: Schedule) -> tuple[optax.GradientTransformation, ...]:
    """What `adamw` does but for the learning rate."""
    return (
        optax.clip_by_global_norm(schedule.clip),
        optax.scale_by_adam(b2=schedule.beta_2),
        optax.scale_by_param_block_rms() if schedule.relative else optax.identity(),
        optax.add_decayed_weights(schedule.weight_decay, _decays),
    )


def rates(schedule: Schedule) -> optax.Schedule:
    """Step -> the learning rate."""
    return optax.warmup_cosine_decay_schedule(
        0.0,
        schedule.learning_rate,
        schedule.warmup,
        schedule.steps,
        schedule.learning_rate * schedule.final,
    )


def _decays(params: Leaves) -> Any:
    """True for kernels and embeddings; scales and biases are left alone."""
    return {path: not path.endswith(("scale", "bias")) for path in params}
