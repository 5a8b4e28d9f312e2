"""What training takes of a device's memory, said before it starts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from jaxsparse import device, parallel
from jaxsparse.finetuning.lessons import QuestionLessons, StoryLessons
from jaxsparse.finetuning.trained import trained_shapes
from jaxsparse.model import Model
from jaxsparse.types import InputError

USABLE = 0.9  # of what is there
# Of each token and layer, in hidden sizes and in feed-forward sizes: what a gradient
# keeps of norms, attention's inputs and outputs, and of the activation.
HIDDEN_KEPT, FFN_KEPT = 12, 4
_MEMORY = Path("/proc/meminfo")
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class Need:
    """Bytes of one device."""

    model: int  # the dense model as it is loaded
    state: int  # master weights, gradients, moments and masks, of all runs in one call
    activations: int  # of the rows whose gradient is taken at once

    @property
    def total(self) -> int:
        return self.model + self.state + self.activations

    def of(self, runs: int) -> "Need":
        """The same of so many runs in one call."""
        return Need(self.model, runs * self.state, runs * self.activations)


def needed(
    model: Model,
    shapes: Mapping[str, tuple[int, ...]],
    prunable: Sequence[str],
    adapted: tuple[str, int],
    lessons: Sequence[QuestionLessons | StoryLessons],
    remat: bool,
    distill: str,
) -> Need:
    """What training one variant takes, on one device of its mesh.

    Args:
        shapes: of the variant's leaves.
        prunable: paths of those that have masks.
        adapted: which part is trained, and the rank of its adapters.
        lessons: what is learned from; their largest parts count.
        distill: what the dense model is asked beside.
    """
    trained = trained_shapes(shapes, prunable, *adapted)
    sharing, devices = (
        (model.mesh.shape["model"] if model.mesh else 1),
        parallel.rows_multiple(model.mesh),
    )
    itemsize = jnp.dtype(model.dtype).itemsize
    layers = sum(stack.depth for stack in model.blueprint.family.stacks(model.config))
    portion = model.form.text_targets if distill != "hidden" else None
    largest = max(
        activation_bytes(
            model.config, layers, dict(lengths), -(-rows // devices), itemsize, remat,
            distill, portion if isinstance(lesson, StoryLessons) else None,
        )
        for lesson in lessons
        for rows, lengths in lesson.row_shapes
    )  # fmt: skip
    return Need(
        model=sum(leaf.nbytes for leaf in model.params.values()) // sharing,
        state=state_bytes(shapes, trained, prunable) // sharing,
        activations=largest,
    )


def state_bytes(
    shapes: Mapping[str, tuple[int, ...]],
    trained: Mapping[str, tuple[int, ...]],
    prunable: Iterable[str],
) -> int:
    """Of one run: every leaf in float32 and, of what is trained, the gradient's sum, a
    gradient to add to it and two moments; a byte a mask. Kernels that are not trained
    themselves are once more merged with their masks, and where an adapter is added to
    them their gradient is there too."""
    of_trained = sum(map(math.prod, trained.values()))
    fixed = sum(
        math.prod(shape) for path, shape in shapes.items() if path not in trained
    )
    masks = sum(math.prod(shapes[path]) for path in prunable)
    merged = sum(math.prod(shapes[path]) for path in prunable if path not in trained)
    if not trained.keys() <= shapes.keys():
        merged *= 2
    return 4 * (5 * of_trained + fixed + merged) + masks


def activation_bytes(
    config: Any,
    layers: int,
    lengths: Mapping[str, int],
    rows: int,
    itemsize: int,
    remat: bool,
    distill: str = "none",
    targets: int | None = None,
) -> int:
    """Of rows whose gradient is taken: what is kept of every layer, or with `remat` of
    one and the hidden states between them; and logits three times over, in float32.
    The dense model that is asked beside keeps a layer and its logits, or with
    distill=hidden the states behind every layer, as the trained one does then.

    Args:
        layers: of all stacks.
        lengths: of each field of a row.
        targets: so many have logits at once; None: all.
    """
    encoder, tokens = lengths.get("encoder_tokens", 0), lengths["tokens"]
    wide = HIDDEN_KEPT * config.hidden + FFN_KEPT * config.ffn
    attention = config.heads * max(encoder, tokens)
    of_layer = (encoder + tokens) * (wide * itemsize + 4 * attention)
    kept = of_layer * layers
    if remat:
        kept = of_layer + layers * (encoder + tokens) * config.hidden * itemsize
    if distill != "none":
        kept += of_layer
    if distill == "hidden":
        kept += 2 * 4 * layers * (encoder + tokens) * config.hidden
    scored = rows * lengths["scored"]
    of_scored = (4 if distill == "options" else 3) * 4 * config.vocab
    return rows * kept + min(scored, targets or scored) * of_scored


def available(held: int = 0) -> int:
    """Bytes that this process may take of its device; 0 where nothing says.

    Args:
        held: that it has taken already, of a CPU's memory.
    """
    if limit := device.memory():
        return limit
    found = []
    if _MEMORY.is_file():
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        free = int(lines.get("MemAvailable", "0").split()[0]) * 1024
        found.append(free and free + held)
    for path in _LIMITS:
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdigit():
            found.append(int(text))
    return min(filter(None, found), default=0)


def check(
    need: Need, there: int, instead: Iterable[tuple[str, Need]], name: str
) -> None:
    """Raises InputError where training does not fit, with what of `instead` would.

    Args:
        there: bytes; 0 where nothing says how many.
        instead: a change of the arguments, in words, and what would then be needed;
            asked for only where training does not fit. Of several in the same words up
            to their "=" the first that fits is said.
    """
    if not there or need.total <= USABLE * there:
        return
    fitting: dict[str, str] = {}
    for how, other in instead:
        if other.total <= USABLE * there:
            fitting.setdefault(how.partition("=")[0], how)
    ways = " or ".join(fitting.values())
    advice = f"{ways} would fit" if fitting else "no change here fits"
    raise InputError(
        f"{name}: training takes about {_gb(need.total)} (weights and moments "
        f"{_gb(need.model + need.state)}, activations {_gb(need.activations)}), and "
        f"{_gb(there)} are there; {advice}"
    )


def _gb(number: int) -> str:
    return f"{number / 1e9:.1f} GB"
