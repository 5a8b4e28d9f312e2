"""What training lowers: the loss of a part, from a model's leaves; on the device.

    choice    cross entropy of the right option, by a softmax over the options' scores
    lm        cross entropy of the targets of running text
    options   what the dense model's distribution over the options tells beside it:
              its Kullback-Leibler divergence
    hidden    how far the hidden states are from the dense model's

All of them in nats but the last, which has no unit; float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from jaxsparse.device import Form
from jaxsparse.finetuning.parts import NO_ANSWER, Part, QuestionPart
from jaxsparse.models.apply import Apply, ApplyWithStates, LayerStates, TextLoss
from jaxsparse.running_text import Examples, loss_sums, portioned_loss_sums
from jaxsparse.scoring import option_scores
from jaxsparse.types import Array, Leaves

EPSILON = 1e-6  # of the mean square of hidden states


@dataclass(frozen=True)
class Losses:
    """The loss of a part: a sum whose parts add up to the mean over a step.

    With distill=hidden `states` gives the outputs too, so that a part is run once.
    """

    apply: Apply  # of questions
    form: Form
    text_loss: TextLoss | None = None  # of running text, where any is learned from
    dense_apply: Apply | None = None  # the dense model's, of distill=options
    states: ApplyWithStates | None = None  # of distill=hidden
    dense_states: ApplyWithStates | None = None

    def __call__(
        self, leaves: Leaves, dense: Leaves, part: Part
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        """The weighted loss, and how many of the part's questions are answered right.

        Args:
            dense: the leaves of the dense model; empty where nothing is distilled.
        """
        asks = isinstance(part, QuestionPart)
        inputs = part.batch.inputs if asks else part.examples.inputs
        apply: Apply | None = None
        away = jnp.float32(0)
        if self.states and self.dense_states:
            outputs, states = self.states(leaves, inputs)
            _, of_dense = self.dense_states(dense, inputs)
            of_rows = square_head(states, jax.lax.stop_gradient(of_dense))
            # A row that fills a part up is a question's without tokens, or a window
            # once more without targets.
            real = True if asks else jnp.any(part.examples.valid, axis=1)
            away = jnp.sum(of_rows, where=real) * part.row_weight
            apply = _giving(outputs)
        if asks:
            loss, correct = self._of_questions(apply or self.apply, leaves, dense, part)
        else:
            loss = self._of_text(apply, leaves, part.examples)
            correct = jnp.int32(0)
        return loss * part.weight + away, correct

    def _of_text(
        self, apply: Apply | None, leaves: Leaves, examples: Examples
    ) -> Float[Array, ""]:
        """By the outputs where these are there already, else a portion at a time."""
        if apply:
            return loss_sums(apply, leaves, examples)[0]
        assert self.text_loss
        return portioned_loss_sums(self.text_loss, leaves, examples)[0]

    def _of_questions(
        self, apply: Apply, leaves: Leaves, dense: Leaves, part: QuestionPart
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        scores = option_scores(apply, leaves, part.batch, self.form)
        asked = part.answers != NO_ANSWER
        losses = choice_losses(scores, part.answers)
        if self.dense_apply:
            told = option_scores(self.dense_apply, dense, part.batch, self.form)
            losses += divergences(jax.lax.stop_gradient(told), scores, asked)
        right = asked & (jnp.argmax(scores, axis=-1) == part.answers)
        return jnp.sum(losses), jnp.sum(right, dtype=jnp.int32)


def _giving(outputs: jax.Array) -> Apply:
    """What computes nothing: outputs that are there."""
    return lambda leaves, inputs: outputs


def choice_losses(
    scores: Float[Array, "question option"], answers: Int[Array, " question"]
) -> Float[Array, " question"]:
    """-log p(answer), p a softmax over the options' scores; 0 where none is asked."""
    asked = answers != NO_ANSWER
    # A question that fills up has no score but minus infinity, whose gradient is none.
    log_p = jax.nn.log_softmax(jnp.where(asked[:, None], scores, 0.0), axis=-1)
    of_answer = jnp.take_along_axis(log_p, jnp.maximum(answers, 0)[:, None], axis=-1)
    return jnp.where(asked, -of_answer[:, 0], 0.0)


def divergences(
    told: Float[Array, "question option"],
    scores: Float[Array, "question option"],
    asked: Any,
) -> Float[Array, " question"]:
    """KL(told || scores) of the distributions over each question's options (Hinton et
    al. 2015, at temperature 1); 0 where none is asked. Options that a question lacks
    score minus infinity in both."""
    there = asked[:, None] & jnp.isfinite(told) & jnp.isfinite(scores)
    log_p, log_q = (
        jax.nn.log_softmax(jnp.where(there, each, jnp.finfo(jnp.float32).min), axis=-1)
        for each in (told, scores)
    )
    terms = jnp.where(there, jnp.exp(log_p) * (log_p - log_q), 0.0)
    return jnp.sum(terms, axis=-1)


def square_head(
    states: Mapping[str, LayerStates], of_dense: Mapping[str, LayerStates]
) -> Float[Array, " row"]:
    """Of each row the sum over the layers of all stacks of mean((h_s - h_t)^2) / (mean
    h_t^2 + epsilon), means over the row's real tokens and the hidden size; 0 of a row
    without any. By rows, so that the parts of a step add up.

    Source: Kurtic et al. (2023), "Sparse fine-tuning for inference acceleration of
    large language models", SquareHead.
    """
    total: Any = 0.0
    for path, dense in of_dense.items():
        real = dense.attended[None, :, :, None]
        sizes = jnp.maximum(jnp.sum(dense.attended, axis=1), 1) * dense.states.shape[-1]

        def means(squares: Any, real: Any = real, sizes: Any = sizes) -> Any:
            return jnp.sum(squares, axis=(2, 3), where=real) / sizes

        away = means(jnp.square(states[path].states - dense.states))
        total += jnp.sum(away / (means(jnp.square(dense.states)) + EPSILON), axis=0)
    return total
