"""The scores of options, from what a model says of their tokens; on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxsparse.device import CPU, Form
from jaxsparse.models.attention import log_sum_exp
from jaxsparse.models.inputs import INPUTS
from jaxsparse.scoring.batching import BatchPlan, Terms, stack
from jaxsparse.scoring.encoded import Encoded
from jaxsparse.types import Leaves

# Raised with every change of what scores mean, beyond rounding: a journal tells old
# ones from new ones by it.
REVISION = 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Batch:
    """Rows for the model, and where in its outputs the scores are read."""

    inputs: Any  # of the family
    terms: Terms
    protocol: str = field(metadata={"static": True})
    discriminates: bool = field(metadata={"static": True})


def batch(
    encoded: Sequence[Encoded], planned: BatchPlan, config: Any, protocol: str
) -> Batch:
    """The arrays of a planned batch, on the host."""
    fields, terms = stack(encoded, planned)
    return Batch(
        INPUTS[config.reading](**fields), terms, protocol, config.reading == "replaced"
    )


def option_scores(
    apply: Callable[[Leaves, Any], jax.Array],
    params: Leaves,
    batch: Batch,
    form: Form = CPU,
) -> Float[Array, "question option"]:
    """Scores each option by what the model says of its tokens.

    cloze: the sum of log-probabilities, in nats. append: the mean of probabilities.
    The discriminator's probability is that of the token being the original one.
    An option that pads its question, or a question its batch, has no terms: −inf, for a
    sum of none would be 0, the best there is.
    """
    outputs = apply(params, batch.inputs)
    terms = batch.terms
    if batch.discriminates:
        read = _log_original(outputs, terms)
    else:
        read = _log_probability(outputs, terms, form)
    log_probability = read.reshape(-1)[terms.places]
    if batch.protocol == "cloze":
        scores = jnp.sum(log_probability, axis=-1, where=terms.valid)
    else:
        total = jnp.sum(jnp.exp(log_probability), axis=-1, where=terms.valid)
        scores = total / jnp.maximum(jnp.sum(terms.valid, axis=-1), 1)
    return jnp.where(terms.valid.any(axis=-1), scores, -jnp.inf)


def _log_probability(
    logits: Float[Array, "row scored vocab"], terms: Terms, form: Form
) -> Float[Array, "row read"]:
    def of_row(logits, slots, tokens):
        return logits[slots, tokens] - log_sum_exp(logits, form)[slots]

    return jax.vmap(of_row)(logits, terms.slots, terms.tokens)


def _log_original(
    logits: Float[Array, "row scored"], terms: Terms
) -> Float[Array, "row read"]:
    """log(1 - p(replaced)), where sigmoid(logit) = p(replaced)."""
    return jax.nn.log_sigmoid(-jnp.take_along_axis(logits, terms.slots, axis=1))
