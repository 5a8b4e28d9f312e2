"""The form that suits a device: decided here, and passed on to what is computed.

Every form gives the same scores but for rounding, so each can be tried on any device.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Form:
    """How a model is computed, and how much of it at once."""

    attention_block: int | None  # queries at a time, head by head; None: all together
    sums_as_products: bool  # a sum over the vocabulary as a product with ones
    part_tokens: int | None  # of rows computed one part after another; None: all rows
    batch_tokens: int  # rows x length, where memory allows
    logits: int | None  # so many of running text at once; None: as memory allows
    text_targets: int | None  # that are trained on with logits at once; None: all
    vmaps_variants: bool  # several sparsities in one call, where memory allows
    compilation: float  # operations that one compilation less is worth
    widens_bfloat16: bool  # kernels become float32 for their products
    remat: bool = False  # layers are computed again for their gradient: less memory

    def compiler_options(self, dtype: str) -> dict[str, Any]:
        """What XLA must be told when it compiles a model of this dtype.

        Kernels that it widens it would widen before the scan, for all layers at once:
        three times the memory.
        """
        if dtype == "bfloat16" and self.widens_bfloat16:
            return {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}
        return {}


# Caches decide: more tokens at once only leave them, and five variants vmapped take 1.1
# to 2.5 times as long as one after another; blocks of 64 or 256 queries take a tenth
# longer. XLA's sums of exponentials are scalar code. A compilation takes a second or
# more, in which two cores do 1e11 operations.
CPU = Form(
    attention_block=128,
    sums_as_products=True,
    part_tokens=2048,
    batch_tokens=2048,
    logits=1 << 26,
    text_targets=512,
    vmaps_variants=False,
    compilation=1e11,
    widens_bfloat16=True,
)

# Large batches, since small ones leave it idle; done with each long before anything is
# compiled.
ACCELERATOR = Form(
    attention_block=None,
    sums_as_products=False,
    part_tokens=None,
    batch_tokens=32768,
    logits=None,
    text_targets=None,
    vmaps_variants=True,
    compilation=math.inf,
    widens_bfloat16=False,
)


def current() -> Form:
    """The form for the devices that JAX has."""
    return CPU if jax.default_backend() == "cpu" else ACCELERATOR


def memory() -> int:
    """Bytes of a device; 0 where it does not say."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("bytes_limit", 0))
