"""What training changes of a run: `trained` leaves, the optimizer's, and `masks`.

Of several runs in one call every array has them on a new axis 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Bool

from jaxsparse import parallel
from jaxsparse.finetuning.trained import Masks, Split
from jaxsparse.types import Leaves

State = dict[str, Any]


def first_state(
    parts: Split,
    leaves: Leaves,
    masked: Sequence[str],
    transform: optax.GradientTransformation,
) -> State:
    """Of one run.

    Args:
        leaves: all of the model's.
        masked: paths of those whose zeros stay.
    """
    # Copies, since the state's memory is used again.
    trained = {path: jnp.array(leaf) for path, leaf in parts.trained.items()}
    return {
        "trained": trained,
        "optimizer": transform.init(trained),
        "masks": {path: jnp.asarray(leaves[path]) != 0 for path in masked},
    }


def on_mesh(mesh: Mesh | None, state: State) -> State:
    """A state on the devices of a mesh, each leaf divided as `shardings` has it."""
    return state if mesh is None else jax.device_put(state, shardings(mesh, state))


def held(mesh: Mesh | None, tree: Any) -> Any:
    """What comes out of a step, divided as what went in: a program for other places
    would round otherwise, and a run that goes on would not end with the same bits."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, shardings(mesh, tree))


def shardings(mesh: Mesh, tree: Any) -> Any:
    """Leaves of the model, and what is kept for each of them, are divided as the model
    is; all else, such as the optimizer's count, is on every device."""

    def of(keys: Any, leaf: Any) -> NamedSharding:
        path = str(getattr(keys[-1], "key", ""))
        spec = parallel.leaf_spec(path, leaf.shape, mesh.shape["model"])
        return NamedSharding(mesh, spec)

    return jax.tree.map_with_path(of, tree)


def no_sums(state: State, runs: int) -> State:
    """What the gradients, losses and right answers of a step's parts are added to."""
    shape = (runs,) if runs > 1 else ()
    return {
        "gradient": jax.tree.map(jnp.zeros_like, dict(state["trained"])),
        "loss": jnp.zeros(shape, jnp.float32),
        "right": jnp.zeros(shape, jnp.int32),
    }


def together(trees: Sequence[Any]) -> Any:
    """One tree as it is; several stacked on a new axis 0."""
    if len(trees) == 1:
        return trees[0]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def of_run(leaves: Mapping[str, Any], number: int, runs: int) -> Mapping[str, Any]:
    """The leaves of one of so many runs."""
    if runs == 1:
        return leaves
    return {path: leaf[number] for path, leaf in leaves.items()}


def grown(trained: Leaves, masks: Masks, decided: Masks) -> tuple[Leaves, Masks]:
    """Leaves and masks of one run when masks were decided again: what was pruned
    before stays pruned."""
    masks = {
        **masks,
        **{path: jnp.asarray(mask) & masks[path] for path, mask in decided.items()},
    }
    return {
        path: jnp.where(masks[path], leaf, 0.0) if path in masks else leaf
        for path, leaf in trained.items()
    }, masks


def finite(state: State, runs: int) -> Bool[np.ndarray, " run"]:
    """Of which runs all that is trained is finite."""
    found = np.ones(runs, bool)
    for leaf in state["trained"].values():
        found &= np.asarray(jnp.isfinite(leaf).reshape(runs, -1).all(axis=1))
    return found
