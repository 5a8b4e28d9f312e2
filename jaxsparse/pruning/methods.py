"""Methods by name: `criterion[+update]`, in two dicts of functions.

A criterion says which weights are kept; an update, what those that are kept become. To
add one, write its function and an entry here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from jaxsparse.pruning import scores
from jaxsparse.pruning.admm import admm
from jaxsparse.pruning.pcg import pcg
from jaxsparse.pruning.scores import Criterion, Matrix
from jaxsparse.pruning.solution import Solution
from jaxsparse.pruning.sparsegpt import sparsegpt
from jaxsparse.pruning.statistics import Statistics
from jaxsparse.pruning.user_methods import from_file
from jaxsparse.types import InputError

Mask = Bool[np.ndarray, "in out"]


@dataclass(frozen=True)
class Update:
    """New values for the weights that are kept, and what it needs for them."""

    # None: not of single matrices; whole blocks are fitted on their rows.
    function: Callable[[Matrix, Mask, Statistics], Solution] | None
    needs: tuple[str, ...] = ()  # of statistics.NEEDS
    moves_biases: bool = False


def bias(weights: Matrix, mask: Mask, statistics: Statistics) -> Solution:
    """The weights stay; what those that go gave on average goes into the bias."""
    values = np.where(mask, weights, np.float32(0))
    return Solution(values, mask, np.asarray(statistics.mean) @ (weights - values))


def conjugate_gradients(
    weights: Matrix, mask: Mask, statistics: Statistics
) -> Solution:
    assert statistics.gram is not None
    return pcg(weights, mask, statistics.gram)


METHODS: dict[str, Criterion] = {
    "magnitude": Criterion(scores.magnitude, ("matrix", "output", "global")),
    "random": Criterion(scores.random, ("matrix", "output", "global"), draws=True),
    "gradient": Criterion(
        scores.gradient, ("matrix", "output", "global"), ("gradient",)
    ),
    "fisher": Criterion(scores.fisher, ("matrix", "output", "global"), ("fisher",)),
    "wanda": Criterion(scores.wanda, ("output", "matrix"), ("squares",)),
    "ria": Criterion(scores.ria, ("matrix", "output"), ("squares",)),
    "sparsegpt": Criterion(sparsegpt, ("block",), ("gram",), solves=True),
    "admm": Criterion(admm, ("matrix",), ("gram",), solves=True),
}
UPDATES: dict[str, Update] = {
    "bias": Update(bias, ("mean",), moves_biases=True),
    "pcg": Update(conjugate_gradients, ("gram",)),
    "reconstruct": Update(None),  # see `calibration.fitting`
}
INFLUENCE = "influence"  # the method of pattern layers, which no weight has a part in

_OF_A_FILE = re.compile(r"(.+\.py):([^:+/]*)(?:(\+)([^:]*))?", re.DOTALL)


@dataclass(frozen=True)
class Method:
    """What `criterion[+update]` stands for."""

    criterion: Criterion
    update: Update | None
    source: str | None  # SHA-256 of the user's file that the criterion is from


def in_a_file(method: str) -> bool:
    """Whether the criterion is a function of a user's file."""
    return bool(_OF_A_FILE.fullmatch(method))


def method_named(method: str) -> Method:
    """Finds a criterion and its update; a user's file is run for it.

    Raises:
        InputError: there is no such criterion or update; both update single matrices;
            a file that cannot be used.
    """
    if found := _OF_A_FILE.fullmatch(method):
        file, name, plus, update = found.groups()
        criterion, source = from_file(method, file, name)
    else:
        name, plus, update = method.partition("+")
        if name == INFLUENCE:
            raise InputError(f"`method={method}`: it goes with `pattern=layers` alone")
        if name not in METHODS:
            raise InputError(
                f"`method={method}`: no criterion {name!r}; there are "
                f"{', '.join(METHODS)}, or FILE.py:NAME for one of your own"
            )
        criterion, source = METHODS[name], None
    if not plus:
        return Method(criterion, None, source)
    if update not in UPDATES:
        raise InputError(
            f"`method={method}`: no update {update!r}; there are {', '.join(UPDATES)}"
        )
    chosen = UPDATES[update]
    if criterion.solves and chosen.function:
        raise InputError(
            f"`method={method}`: {name} has an update of its own; leave +{update} out"
        )
    return Method(criterion, chosen, source)
