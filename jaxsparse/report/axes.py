"""The axes of a panel of curves, and how they are drawn: sparsity as it is, or the
weights left in logarithms, so that 0.9 and 0.99 do not fall together."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """The view box of a panel, and its margins; in its units."""

    width: int
    height: int
    above: int
    below: int
    labelled: bool  # whether the axes say what they are
    left: int = 30
    aside: int = 54  # for the names of level lines

    @property
    def right(self) -> int:
        return self.width - self.aside

    @property
    def base(self) -> int:
        return self.height - self.below


@dataclass(frozen=True)
class Axis:
    """Where a sparsity stands between left (0) and right (1), and what is written."""

    name: str
    label: str
    ticks: tuple[tuple[float, str], ...]
    place: Callable[[float], float]
    broken: float | None = None  # between the last weight left and none at all


def linear() -> Axis:
    ticks = tuple((place, f"{place:g}") for place in (0.0, 0.25, 0.5, 0.75, 1.0))
    return Axis(
        "linear", "sparsity of the prunable weights", ticks, lambda sparsity: sparsity
    )


def remaining(shown: Sequence[float]) -> Axis:
    """The weights left, in logarithms; behind a gap, none of them."""
    decades = max(
        [1.0, *(-math.log10(1 - sparsity) for sparsity in shown if sparsity < 1)]
    )
    end = 0.86 if 1 in shown else 1.0
    steps = (1, 0.5, 0.2) if decades < 2.5 else (1,)
    shares = (step / 10**k for k in range(math.ceil(decades) + 1) for step in steps)
    ticks = [
        (end * at, f"{100 * share:g}")
        for share in shares
        if (at := -math.log10(share) / decades) < 1 + 1e-9
    ]
    if end < 1:
        ticks.append((1.0, "0"))

    def place(sparsity: float) -> float:
        return 1.0 if sparsity == 1 else -end * math.log10(1 - sparsity) / decades

    label = "prunable weights left, % (log scale)"
    return Axis("log", label, tuple(ticks), place, (1 + end) / 2 if end < 1 else None)


def names(axis: Axis, frame: Frame) -> Iterator[str]:
    """What the axes are."""
    middle = (frame.left + frame.right) / 2
    yield f'<text class="name" x="0" y="{frame.above - 9}">accuracy, %</text>'
    below = f'x="{middle:g}" y="{frame.height - 4}">{axis.label}</text>'
    yield f'<text class="name middle" {below}'


def accuracies(top: float, y: Callable[[float], float], frame: Frame) -> Iterator[str]:
    """The level lines and their percents."""
    step = 10 if top < 0.35 else 20
    for percent in range(0, round(100 * top) + 1, step):
        at = f"{y(percent / 100):.1f}"
        kind = "grid" if percent else "base"
        yield f'<path class="{kind}" d="M{frame.left} {at}H{frame.right}"/>'
        place = f'x="{frame.left - 6}" y="{at}" dy=".35em"'
        yield f'<text class="tick end" {place}>{percent}</text>'


def sparsities(axis: Axis, frame: Frame) -> Iterator[str]:
    """The base line's ticks, and its gap."""
    span, base = frame.right - frame.left, frame.base
    for place, text in axis.ticks:
        at = f"{frame.left + place * span:.1f}"
        yield f'<path class="base" d="M{at} {base}v4"/>'
        yield f'<text class="tick middle" x="{at}" y="{base + 15}">{text}</text>'
    if axis.broken is not None:
        at = f"{frame.left + axis.broken * span:.1f}"
        yield f'<path class="gap" d="M{at} {base}m-5 4l4-8m3 8l4-8"/>'
