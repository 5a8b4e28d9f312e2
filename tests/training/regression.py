"""A model small enough to follow: a regression on embedded rows."""

import jax.numpy as jnp
import numpy as np

from jaxsparse.training.optimizer import Schedule

SCHEDULE = Schedule(steps=10, warmup=2, learning_rate=0.1)


def params():
    """A regression's: features are embedded rows, scaled, mixed, shifted."""
    rng = np.random.default_rng(0)
    shapes = {
        "wte/embedding": (5, 4),
        "ln/scale": (4,),
        "ln/bias": (4,),
        "h/kernel": (4, 2),
        "h/bias": (2,),
    }
    leaves = {path: rng.normal(size=shape) for path, shape in shapes.items()}
    return {path: jnp.asarray(leaf, jnp.float32) for path, leaf in leaves.items()}
