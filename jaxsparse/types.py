"""Array and tree aliases, and the one exception that means "the input is at fault".

Axis names, as they appear in shape annotations throughout:

    question option    the ten options of a question
    row position       tokens of one row of a batch; a question has one or more rows
    scored             the positions of a row whose outputs are asked for
    layer in out       a stacked kernel: layers on axis 0, inputs on -2, outputs on -1
    hidden heads head_dim ffn vocab    the usual sizes of a transformer

Einsum letters: b batch, q k positions, h heads, d head_dim, m hidden, f ffn, v vocab.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jax

    Array = jax.Array | np.ndarray
else:

    def __getattr__(name: str) -> Any:
        """Only `Array` takes JAX, and most of a second: who reads does without."""
        if name != "Array":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import jax

        return jax.Array | np.ndarray


Leaves = Mapping[str, Any]  # path -> array; layers are stacked on its axis 0

PROTOCOLS = ("cloze", "append")
CONTEXTS = ("full", "query", "last")
LONGEST = 4096  # tokens of a row, where a model takes more and nothing else is said


@dataclass(frozen=True)
class Presentation:
    """How a question is put to a model; DESIGN's words for what its values mean.

    Raises:
        InputError: no such protocol or context, or no number of tokens.
    """

    protocol: str = "cloze"  # one of PROTOCOLS
    context: str = "full"  # one of CONTEXTS: how much of the story is read
    detokenize: str = "ptb"  # one of cbt.STYLES: how its tokens become text
    # Of a row at most, with its special tokens; 0: what the model takes, up to LONGEST.
    context_tokens: int = 0

    def __post_init__(self):
        for name, legal in (("protocol", PROTOCOLS), ("context", CONTEXTS)):
            if (value := getattr(self, name)) not in legal:
                raise InputError(f"`{name}={value}`: choose one of {', '.join(legal)}")
        if not 0 <= self.context_tokens < 2**31:
            raise InputError(
                f"`context_tokens={self.context_tokens}`: from 0 to {2**31 - 1}"
            )

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides how a question is put; as in journals that were made before
        rows had a limit beside the model's."""
        values = asdict(self)
        if not self.context_tokens:
            del values["context_tokens"]
        return values


def brief(error: BaseException) -> str:
    """Another library's exception in one line, for an error message of ours."""
    said = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class Unusable(ValueError):
    """A question that a model cannot answer: its query does not fit even without a
    story, or an option has no tokens."""


class InputError(ValueError):
    """What the user gave cannot be used; one line says what, where and what to do.

    The binaries print it and exit with status 2. Any other exception is our own fault
    and keeps its traceback.
    """
