"""Rotary positions (Su et al. 2021): queries and keys turned by angles that grow with
their positions, so that their product depends on the distance alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int

from jaxsparse.models.config import Reader
from jaxsparse.types import Array, InputError

Frequencies = Float32[np.ndarray, " pair"]  # radians a position
Turn = tuple[Float[Array, "row position pair"], Float[Array, "row position pair"]]


@dataclass(frozen=True)
class Rotary:
    """How far each pair of a head's features is turned from position to position.

    Feature n is paired with feature n + pairs; features behind all pairs stay.
    """

    frequencies: tuple[float, ...]  # radians a position, of each pair; float32
    scale: float = 1.0  # of what is turned

    def turn(self, positions: Int[Array, "row position"], dtype: jnp.dtype) -> Turn:
        """The cosines and sines at these positions; angles are float32."""
        frequencies = jnp.array(self.frequencies, jnp.float32)
        angles = positions[..., None].astype(jnp.float32) * frequencies
        cosine, sine = jnp.cos(angles) * self.scale, jnp.sin(angles) * self.scale
        return cosine.astype(dtype), sine.astype(dtype)


def turned(
    heads: Float[Array, "row position head feature"], by: Turn
) -> Float[Array, "row position head feature"]:
    """Queries or keys, turned; features that are no part of a pair stay as they are."""
    cosine, sine = (part[:, :, None] for part in by)
    pairs = cosine.shape[-1]
    first, second, rest = jnp.split(heads, (pairs, 2 * pairs), axis=-1)
    return jnp.concatenate(
        (first * cosine - second * sine, second * cosine + first * sine, rest), axis=-1
    )


def read(
    reader: Reader,
    head_dim: int,
    positions: int,
    base: str = "rope_theta",
    share: str = "",
) -> Rotary:
    """What config.json says of rotary positions: in `rope_parameters`, or the older way
    in keys of its own and `rope_scaling`, which wins over it.

    Args:
        positions: max_position_embeddings.
        base: what the family's older files call the base of the frequencies.
        share: what they call the share of a head's features that is turned; "": all
            are, in this family.

    Raises:
        InputError: a scaling that is not implemented, by name; a value that it needs.
    """
    said = _parameters(reader, base, share)
    kind = said.get("rope_type")
    if not isinstance(kind, str) or kind not in SCALINGS:
        raise InputError(
            f"config.json: rotary scaling {kind!r} is not implemented; "
            f"known: {', '.join(SCALINGS)}"
        )
    part = said.number("partial_rotary_factor")
    if not share and part != 1:  # transformers turns all, or some, by the scaling
        raise InputError(
            f"config.json: partial_rotary_factor {part:g} is not implemented of "
            f"{reader.model_type}; known: 1"
        )
    size = int(head_dim * part)
    if not 2 <= size <= head_dim or size % 2:
        raise InputError(
            f"config.json: partial_rotary_factor {part:g} of {head_dim} features of a "
            "head must be an even number of them"
        )
    pairs = np.arange(0, size, 2, dtype=np.float32) / size
    if (theta := said.number("rope_theta")) <= 1:
        raise InputError(f"config.json: rope_theta must be more than 1: {theta:g}")
    frequencies = 1 / theta**pairs
    scaled, scale = SCALINGS[kind](frequencies, said, positions)
    return Rotary(tuple(scaled.astype(np.float32).tolist()), scale)


def _parameters(reader: Reader, base: str, share: str) -> Reader:
    """All values under their current names, as transformers brings them together."""
    older = {
        "rope_theta": reader.given(base),
        "partial_rotary_factor": reader.given(share or "partial_rotary_factor"),
    }
    standard = {"partial_rotary_factor": 1.0, **reader.default("rope_parameters")}
    said = reader.given("rope_scaling") or reader.given("rope_parameters") or {}
    if not isinstance(said, dict):
        raise InputError(f"config.json: rope_parameters must be an object: {said!r}")
    if unknown := [key for key in said if key not in KEYS]:
        raise InputError(
            f"config.json: rope_parameters: not implemented: {', '.join(unknown)}"
        )
    values = {key: value for key, value in older.items() if value is not None} | said
    if "type" in said:
        values.setdefault("rope_type", said["type"])
    # A config's own original length wins over the one among the parameters.
    length = "original_max_position_embeddings"
    if (outer := reader.given(length)) is not None:
        values[length] = outer
    return Reader(values, standard, "rope_parameters")


KEYS = frozenset({
    "attention_factor", "beta_fast", "beta_slow", "factor",
    "finetuned",  # of the first files with YaRN; says nothing of the maths
    "high_freq_factor",
    "low_freq_factor", "mscale", "mscale_all_dim", "original_max_position_embeddings",
    "partial_rotary_factor", "rope_theta", "rope_type", "truncate", "type",
})  # fmt: skip

# Each gives the frequencies, and by what to scale what is turned.
Scaling = Callable[[Frequencies, Reader, int], tuple[Frequencies, float]]


def _unscaled(
    frequencies: Frequencies, said: Reader, positions: int
) -> tuple[Frequencies, float]:
    return frequencies, 1.0


def _linear(
    frequencies: Frequencies, said: Reader, positions: int
) -> tuple[Frequencies, float]:
    """Position interpolation (Chen et al. 2023)."""
    return frequencies / said.number("factor"), 1.0


def _llama3(
    frequencies: Frequencies, said: Reader, positions: int
) -> tuple[Frequencies, float]:
    """Long waves interpolated, short ones not, those between in part (Grattafiori et
    al. 2024, section 3.4.2, as released)."""
    factor = said.number("factor")
    low, high = said.number("low_freq_factor"), said.number("high_freq_factor")
    if high <= low:
        raise InputError(
            f"config.json: rope_parameters: high_freq_factor {high:g} must be more "
            f"than low_freq_factor {low:g}"
        )
    waves = 2 * math.pi / frequencies  # positions each
    part = (_original(said, positions) / waves - low) / (high - low)
    part = np.clip(part, 0, 1)
    return (1 - part) * frequencies / factor + part * frequencies, 1.0


def _yarn(
    frequencies: Frequencies, said: Reader, positions: int
) -> tuple[Frequencies, float]:
    """Peng et al. (2024): as `llama3`, by how often a pair turns in the original
    length, with a ramp over pairs; and attention is scaled."""
    original = _original(said, positions)
    given = said.get("factor")
    factor = positions / original if given is None else said.number("factor")
    size, base = 2 * len(frequencies), said.number("rope_theta")

    def pair(key: str, turns: float) -> float:
        """The pair that turns so often, which need not be a whole number."""
        turns = said.number(key) if said.get(key) else turns
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = pair("beta_fast", 32.0), pair("beta_slow", 1.0)
    if "truncate" not in said or said.flag("truncate"):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    if first == last:
        last += 0.001  # as transformers has it
    pairs = np.arange(len(frequencies), dtype=np.float32)
    kept = 1 - np.clip((pairs - first) / (last - first), 0, 1)
    scaled = frequencies / factor * (1 - kept) + frequencies * kept
    return scaled, _yarn_scale(said, factor)


def _yarn_scale(said: Reader, factor: float) -> float:
    def of(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if said.get("attention_factor") is not None:
        return said.number("attention_factor")
    if said.get("mscale") and said.get("mscale_all_dim"):
        return of(said.number("mscale")) / of(said.number("mscale_all_dim"))
    return of(1.0)


def _original(said: Reader, positions: int) -> float:
    """The length that a model was trained on before its context was extended."""
    key = "original_max_position_embeddings"
    return float(positions) if said.get(key) is None else said.number(key)


SCALINGS: dict[str, Scaling] = {
    "default": _unscaled,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}
