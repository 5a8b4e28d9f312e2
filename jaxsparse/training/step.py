"""Gradient descent on one model: the step, and a loop that survives a kill.

Batches are functions of the step number, and the state that a checkpoint holds is all
there is; so a run that was killed and started again ends with the same weights, bit for
bit, as one that was not.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxsparse.progress import NOBODY, Progress
from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.training.optimizer import Schedule, adamw
from jaxsparse.types import InputError, Leaves

# params, batch -> the summed loss in nats, and of how many targets
LossSums = Callable[[Leaves, Any], tuple[Float[Array, ""], Int[Array, ""]]]


def update_step(
    loss_sums: LossSums, transform: optax.GradientTransformation
) -> Callable[..., tuple[dict[str, Any], Float[Array, ""]]]:
    """A jitted step: state, batch -> the next state, and the mean loss before it.

    The old state's memory is reused.
    """

    def mean_loss(params: Leaves, batch: Any) -> Float[Array, ""]:
        total, count = loss_sums(params, batch)
        return total / jnp.maximum(count, 1)

    def step(state: dict[str, Any], batch: Any):
        loss, gradients = jax.value_and_grad(mean_loss)(state["params"], batch)
        updates, optimizer_state = transform.update(
            gradients, state["optimizer"], state["params"]
        )
        params = optax.apply_updates(state["params"], updates)
        return {"params": params, "optimizer": optimizer_state}, loss

    return jax.jit(step, donate_argnums=0)


def first_state(
    params: Leaves, transform: optax.GradientTransformation
) -> dict[str, Any]:
    return {"params": params, "optimizer": transform.init(params)}


def train(
    loss_sums: LossSums,
    params: Leaves,
    schedule: Schedule,
    batch: Callable[[int], Any],
    checkpoints: Checkpoints,
    *,
    checkpoint_every: int,
    after_step: Callable[[int, Leaves, Float[Array, ""] | None], Any],
    progress: Progress = NOBODY,
) -> Leaves:
    """Trains to the schedule's end, from the newest checkpoint if there is one.

    Args:
        params: where a new run starts; their memory is reused.
        batch: step -> its batch; asked for in order, and again after a restart.
        checkpoint_every: steps.
        after_step: told the number of steps done, the parameters then, and the loss
            (nats, a mean), still on the device; once where a run resumes, None for it.
        progress: is told how far things are.

    Raises:
        InputError: the loss is not finite; a checkpoint is beyond the schedule's end.
    """
    transform = adamw(schedule)
    state = first_state(params, transform)
    done = checkpoints.latest_step or 0
    if done > schedule.steps:
        raise InputError(
            f"the checkpoint is of step {done}, but there are to be {schedule.steps} "
            "steps; raise them, or start in another directory"
        )
    if done:
        state = checkpoints.load(done, state)
        after_step(done, state["params"], None)
        progress.note(
            f"resuming at step {done} of {schedule.steps}"
            if done < schedule.steps
            else f"all {done} steps are done; nothing to train"
        )
    progress.stage("training", schedule.steps, done, unit="steps", patient=True)
    step = update_step(loss_sums, transform)
    loss, shapes = jnp.asarray(0.0), set()
    while done < schedule.steps:
        examples = batch(done)
        shape = tuple(leaf.shape for leaf in jax.tree.leaves(examples))
        with nullcontext() if shape in shapes else progress.busy("compiling"):
            state, loss = step(state, examples)
        shapes.add(shape)
        done += 1
        progress.done(1)
        after_step(done, state["params"], loss)
        if done % checkpoint_every == 0 or done == schedule.steps:
            # The loss is that before the step: it does not tell what the step did.
            leaves = (loss, *jax.tree.leaves(state["params"]))
            if not all(jnp.isfinite(leaf).all() for leaf in leaves):
                raise InputError(
                    f"after {done} steps the loss, {float(loss)}, or the weights are "
                    "not finite; lower the learning rate, in another directory"
                )
            checkpoints.save(done, state)
    return state["params"]
