"""A step of training, compiled: gradients of parts are added, then one update.

parts ─▶ gradients, added ─▶ of what is kept ─▶ AdamW ─▶ the update on the mask ─▶
leaves
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxsparse.finetuning import holding
from jaxsparse.finetuning.losses import Losses
from jaxsparse.finetuning.parts import Part
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.state import State, held
from jaxsparse.finetuning.trained import Masks, merged
from jaxsparse.training.optimizer import Schedule, directions
from jaxsparse.types import Leaves

Transform = optax.GradientTransformationExtraArgs


def transform_of(settings: Settings, relative: bool) -> Transform:
    """AdamW that is told `rate` and `masks` at every update, masks last.

    Args:
        relative: see `Schedule`.
    """
    schedule = Schedule(
        steps=0, warmup=0, learning_rate=0.0, weight_decay=settings.weight_decay,
        clip=settings.clip, relative=relative,
    )  # fmt: skip
    return optax.chain(*directions(schedule), holding.at_rate(), holding.keep_zeros())


def compiled(
    train: str,
    losses: Losses,
    transform: Transform,
    runs: int,
    compiler_options: Mapping[str, Any],
    mesh: Mesh | None,
) -> tuple[Callable[..., State], Callable[..., tuple[State, State]]]:
    """What adds the gradient of a part, and what updates; of so many runs in one call,
    on axis 0.

    Args:
        train: which leaves are trained, see `trained`.
        mesh: None where there are several runs.
    """
    add = functools.partial(_add, train, losses, mesh)
    update = functools.partial(_update, transform, mesh)
    if runs > 1:
        add = jax.vmap(add, in_axes=(0, 0, 0, 0, None, 0))
        update = jax.vmap(update)
    options = dict(compiler_options)
    return (
        jax.jit(add, donate_argnums=0, compiler_options=options),
        jax.jit(update, donate_argnums=(0, 1), compiler_options=options),
    )


def _add(
    train: str,
    losses: Losses,
    mesh: Mesh | None,
    sums: State,
    trained: Leaves,
    fixed: Leaves,
    masks: Masks,
    dense: Leaves,
    part: Part,
) -> State:
    """The sums of gradients, losses and right answers, with a part added.

    Args:
        trained, fixed: as `split` gives them.
        dense: leaves of the dense model, where something is distilled.
    """

    def loss_of(trained: Leaves) -> Any:
        return losses(merged(train, trained, fixed, masks), dense, part)

    (loss, right), gradient = jax.value_and_grad(loss_of, has_aux=True)(trained)
    added = {"gradient": gradient, "loss": loss, "right": right}
    return held(mesh, jax.tree.map(jnp.add, sums, added))


def _update(
    transform: Transform, mesh: Mesh | None, state: State, sums: State, rate: Any
) -> tuple[State, State]:
    """The next state, and sums of nothing."""
    updates, optimizer = transform.update(
        holding.of_kept(sums["gradient"], state["masks"]),
        state["optimizer"],
        state["trained"],
        masks=state["masks"],
        rate=rate,
    )
    trained = optax.apply_updates(state["trained"], updates)
    zero = jax.tree.map(jnp.zeros_like, sums)
    return held(mesh, ({**state, "trained": trained, "optimizer": optimizer}, zero))
