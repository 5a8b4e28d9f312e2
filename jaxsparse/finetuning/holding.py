"""How sparsity is held: only what is kept has a gradient, the last transform puts every
update on the mask; and how sparsity grows, where it does."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from jaxsparse.finetuning.trained import Masks
from jaxsparse.types import Leaves

GROWING = 0.75  # of the steps of schedule=gradual; then masks stay, and weights recover


def of_kept(gradient: Leaves, masks: Masks) -> Leaves:
    """The gradient of the weights that are kept, zero elsewhere: what pruned weights
    would want counts neither for the norm that is clipped nor for moments."""
    kept = {
        path: jnp.where(mask, gradient[path], 0.0)
        for path, mask in masks.items()
        if path in gradient
    }
    return {**gradient, **kept}


def keep_zeros() -> optax.GradientTransformationExtraArgs:
    """The last transform of a chain, whose `update` is told `masks`: where one is
    False, the update takes what is there away, whatever decay and momentum say, so that
    the weight is exactly zero after it."""

    def update(
        updates: Leaves, state: Any, params: Leaves, *, masks: Masks, **_: Any
    ) -> tuple[Mapping[str, Any], Any]:
        on_mask = {
            path: jnp.where(mask, updates[path], -params[path])
            for path, mask in masks.items()
            if path in updates
        }
        return {**updates, **on_mask}, state

    return optax.GradientTransformationExtraArgs(_no_state, update)  # pyright: ignore[reportArgumentType]


def at_rate() -> optax.GradientTransformationExtraArgs:
    """Scales by minus the learning rate, which `update` is told as `rate`."""

    def update(
        updates: Leaves,
        state: Any,
        params: Leaves | None = None,
        *,
        rate: Any,
        **_: Any,
    ) -> tuple[Mapping[str, Any], Any]:
        return {path: -rate * leaf for path, leaf in updates.items()}, state

    return optax.GradientTransformationExtraArgs(_no_state, update)  # pyright: ignore[reportArgumentType]


def _no_state(params: Any) -> optax.EmptyState:
    return optax.EmptyState()


def decisions(steps: int, mask_every: int) -> int:
    """How often schedule=gradual decides masks, `mask_every` steps apart: as often as
    GROWING of the steps have room for."""
    return int(GROWING * steps) // mask_every


def cubic(sparsity: float, decision: int, of: int) -> float:
    """The sparsity of a decision, of so many: s (1 - (1 - t)^3), which grows fast while
    there is much to cut, from 0 to exactly s.

    Source: Zhu & Gupta (2017), "To prune, or not to prune", equation 1.
    """
    return sparsity * (1 - (1 - decision / of) ** 3)
