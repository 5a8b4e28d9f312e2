"""What is pruned and how: the recipe of a curve, and what it took of each matrix."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jaxsparse.pruning.allocation import ALLOCATIONS
from jaxsparse.pruning.groups import LAYERS, NEURONS, STRUCTURED, UNSTRUCTURED, n_of_m
from jaxsparse.pruning.methods import (
    INFLUENCE,
    Criterion,
    Method,
    Update,
    in_a_file,
    method_named,
)
from jaxsparse.pruning.statistics import NEEDS
from jaxsparse.types import InputError

ORDERS = ("sequential", "dense")
_OF_THE_LOSS = {"gradient", "fisher"}  # of the dense model, whatever is pruned


@dataclass(frozen=True)
class Recipe:
    """All that decides which weights go and what the others become, but for how many.

    Of patterns that remove units, those of a layer compete (neurons) or of a stack,
    statistics are of the dense model, and `layers` has a method of its own, influence,
    whatever method is given.

    Raises:
        InputError: no such method.
    """

    method: str  # criterion[+update]
    scope: str = ""  # becomes the criterion's own
    prunable: str = "blocks"
    pattern: str = UNSTRUCTURED
    seed: int | None = 0  # None of what neither draws nor is calibrated
    allocation: str = "uniform"
    statistics: str = ""  # becomes the method's own; stays empty of what needs none

    def __post_init__(self):
        if self.pattern == LAYERS:
            if self.method != INFLUENCE:
                method_named(self.method)
            object.__setattr__(self, "method", INFLUENCE)
        if not self.scope:
            object.__setattr__(self, "scope", self._scopes[0])
        if not self.statistics:
            object.__setattr__(self, "statistics", self._own_order())
        if not (self.criterion.draws or self.calibrated):
            object.__setattr__(self, "seed", None)

    @classmethod
    def written(cls, **fields: Any) -> "Recipe":
        """A recipe as a table has it. It may name a method of a newer version, or of
        somebody's file, which is not run: then nothing is filled in."""
        if not in_a_file(fields["method"]):
            with suppress(InputError):
                return cls(**fields)
        recipe = object.__new__(cls)
        vars(recipe).update(fields)
        return recipe

    @property
    def _named(self) -> Method:
        if self.pattern == LAYERS:
            return Method(Criterion(_no_scores, ("stack",)), None, None)
        return method_named(self.method)

    @property
    def criterion(self) -> Criterion:
        return self._named.criterion

    @property
    def update(self) -> Update | None:
        return self._named.update

    @property
    def fits_blocks(self) -> bool:
        """Whether what is kept of a block is fitted as a whole, on its rows."""
        return self.update is not None and self.update.function is None

    @property
    def source(self) -> str | None:
        """The SHA-256 of the user's file that the criterion is from, if it is."""
        return self._named.source

    @property
    def structured(self) -> bool:
        """Whether what goes is removed, so that the model has smaller arrays."""
        return self.pattern in STRUCTURED

    @property
    def title(self) -> str:
        """The method, and of smaller shapes what is removed."""
        if self.pattern == LAYERS:
            return f"{self.method} ({self.pattern})"
        return f"{self.method} {self.pattern}" if self.structured else self.method

    @property
    def _scopes(self) -> tuple[str, ...]:
        if not self.structured:
            return self.criterion.scopes
        return ("layer",) if self.pattern == NEURONS else ("stack",)

    @property
    def needs(self) -> tuple[str, ...]:
        """What criterion and update must know of a matrix, of `NEEDS`."""
        update = self.update.needs if self.update else ()
        return tuple(need for need in NEEDS if need in self.criterion.needs + update)

    @property
    def calibrated(self) -> bool:
        return self._has_order or self.allocation == "owl"

    @property
    def _has_order(self) -> bool:
        """Whether it is told by statistics of inputs or of the loss, or by what blocks
        do to their inputs."""
        return bool(self.needs or self.update) or self.pattern == LAYERS

    @property
    def own_sparsity(self) -> float | None:
        """The one sparsity of a pattern N:M."""
        if self.structured:
            return None
        consecutive = n_of_m(self.pattern)
        return 1 - consecutive[0] / consecutive[1] if consecutive else None

    @property
    def dense_masks(self) -> bool:
        """Whether scores are of the dense model in any order: those of the loss, where
        all matrices compete, and of what is removed as a whole."""
        of_the_loss = bool(_OF_THE_LOSS.intersection(self.criterion.needs))
        return of_the_loss or self.structured or self.scope == "global"

    @property
    def masks_nest(self) -> bool:
        """Whether the masks of all sparsities come from one order of the weights, which
        no pruning changes."""
        criterion = self.criterion
        sequential = self.statistics == "sequential" and not self.dense_masks
        return not (criterion.solves or (criterion.needs and sequential))

    @property
    def dense_needs(self) -> set[str]:
        """What must be known of every matrix of the dense model."""
        needs = {"squares"} if self.allocation == "owl" else set()
        if self.statistics == "dense":
            needs.update(self.needs)
        elif self.masks_nest:
            needs.update(self.criterion.needs)
        return needs

    def _own_order(self) -> str:
        if not self._has_order:
            return ""
        if self.structured:
            return "dense"
        return "sequential" if self.update or not self.dense_masks else "dense"

    def check(self) -> None:
        """Raises InputError for what cannot be pruned so."""
        if self.structured:
            self._check_structured()
        else:
            n_of_m(self.pattern)
        if self.fits_blocks and self.prunable != "blocks":
            raise InputError(
                f"`prunable={self.prunable}`: `method={self.method}` fits what is kept "
                "of blocks, and of nothing else; choose blocks, or another update"
            )
        if self.scope not in self._scopes:
            raise InputError(
                f"`scope={self.scope}`: method {self.title} defines "
                f"{', '.join(self._scopes)}"
            )
        self._check_allocation()
        self._check_statistics()
        seeded = self.criterion.draws or self.calibrated
        if seeded and not (isinstance(self.seed, int) and self.seed >= 0):
            raise InputError(f"`seed={self.seed}`: not an integer from 0 on")

    def _check_structured(self) -> None:
        if self.prunable != "blocks":
            raise InputError(
                f"`prunable={self.prunable}`: `pattern={self.pattern}` removes parts "
                "of blocks; choose blocks"
            )
        if self.criterion.solves:
            raise InputError(
                f"`method={self.method}`: it has no scores, which "
                f"`pattern={self.pattern}` adds up; choose another method"
            )
        if self.update and not self.update.moves_biases:
            raise InputError(
                f"`method={self.method}`: its update is of single weights; with "
                f"`pattern={self.pattern}` choose +bias, or none"
            )

    def _check_allocation(self) -> None:
        if self.allocation not in ALLOCATIONS:
            raise InputError(
                f"`allocation={self.allocation}`: there are {', '.join(ALLOCATIONS)}"
            )
        if self.allocation == "uniform":
            return
        if self.scope == "global":
            raise InputError(
                f"`allocation={self.allocation}`: with `scope=global` the scores "
                "allocate; choose scope matrix or output, or allocation uniform"
            )
        if self.pattern != UNSTRUCTURED:
            raise InputError(
                f"`allocation={self.allocation}`: `pattern={self.pattern}` takes the "
                "same of every matrix; choose allocation uniform"
            )

    def _check_statistics(self) -> None:
        if not self._has_order and self.statistics:
            raise InputError(
                f"`statistics={self.statistics}`: {self.method} needs none; leave "
                "statistics out"
            )
        if self._has_order and self.statistics not in ORDERS:
            raise InputError(
                f"`statistics={self.statistics}`: there are {', '.join(ORDERS)}"
            )
        if self.statistics == "sequential" and self._own_order() == "dense":
            raise InputError(
                f"`statistics=sequential`: {self.title} of scope {self.scope} scores "
                "the dense model; choose dense"
            )


def _no_scores(*given: Any) -> Any:
    raise ValueError("influence is of blocks, not of weights")


@dataclass(frozen=True)
class MatrixSparsity:
    """What is pruned of one matrix of the dense model."""

    path: str
    layer: int
    weights: int
    pruned: int  # zero, or removed
    # How far its outputs are from the dense one's on calibration rows, a fraction of
    # their sum of squares; None where that was not measured.
    error: float | None = None
    damping_raised: int = 0  # tenfold, so many times, until it could be factored
