"""Whether JAX finds a device to work on."""

import os

import jax

from jaxsparse.types import InputError, brief


def find() -> None:
    """Asks JAX for its devices, after other processes have been joined, if any.

    Raises:
        InputError: there is none, whatever JAX raises to say so.
    """
    try:
        jax.devices()
    except Exception as error:  # an AssertionError without words, among others
        asked = os.environ.get("JAX_PLATFORMS")
        cause = f"JAX_PLATFORMS={asked}" if asked else "JAX"
        raise InputError(
            f"{cause}: JAX finds no such device ({brief(error)}); unset JAX_PLATFORMS, "
            "or install JAX for that device (pip install -e '.[cuda]' or '.[tpu]')"
        ) from error
