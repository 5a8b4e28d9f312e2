"""The settings that the flags of `prune` make."""

import os
from dataclasses import dataclass
from pathlib import Path

from absl.flags import FlagValues

from experiments import paths
from experiments.jobs import flags_of
from experiments.shared_settings import (
    choices_of,
    data_of,
    levels_of,
    names_of,
    only,
    recipes_of,
    word_classes_of,
)
from jaxsparse import parallel, scoring
from jaxsparse.pruning import Recipe
from jaxsparse.types import InputError, Presentation


@dataclass(frozen=True)
class Asking:
    """Which questions `prune` asks, of the validation and of the test split, where it
    looks for the largest sparsity."""

    margin: float  # a fraction
    data: str
    word_classes: tuple[str, ...] | None
    num_examples: int  # of each split
    sample: str
    skip_malformed: bool
    presentation: Presentation
    batch_tokens: int
    seed: int

    @property
    def presentations(self) -> tuple[Presentation, ...]:
        return (self.presentation,)

    @property
    def detokenize(self) -> str:
        return self.presentation.detokenize


@dataclass(frozen=True)
class Pruning:
    """What the flags of `prune` say: one model, one recipe, one sparsity, or those to
    go up through."""

    model: str
    recipe: Recipe
    sparsities: tuple[float, ...]
    asking: Asking | None  # None: prune at the one sparsity
    calibration: str | None  # None: nothing is calibrated, or measured on rows
    calibration_rows: int
    calibration_tokens: int
    allow_overlap: bool
    seed: int
    dtype: str
    mesh: parallel.Axes | None
    directory: Path
    format: str
    results: Path | None  # of a sweep


def pruning_from_flags() -> Pruning:
    """Raises InputError for what `prune` cannot do."""
    values = flags_of("prune")
    model = only("prune", "model", names_of("model", values.model))
    asking = _asking(values, model)
    if values.calibration == "train" and asking is None:
        raise InputError(
            "--calibration=train: prune asks no questions without --margin, and has no "
            "stories of theirs; name a text file, or bundled"
        )
    only("prune", "pattern", names_of("pattern", values.pattern))
    recipe = only("prune", "method", recipes_of(values, values.seed))
    levels = levels_of(values, [recipe])
    if recipe.own_sparsity is not None:
        levels = (recipe.own_sparsity,)
    elif asking is None:
        only("prune", "sparsities", levels)
    elif not (levels := tuple(level for level in levels if level)):
        raise InputError("--sparsities: name some above 0 for --margin to choose from")
    if asking and values.results:
        raise InputError("--results and --margin exclude each other; leave one out")
    return Pruning(
        model=model,
        recipe=recipe,
        sparsities=levels,
        asking=asking,
        calibration=paths.calibration(values, [recipe]),
        calibration_rows=values.calibration_rows,
        calibration_tokens=values.calibration_tokens,
        allow_overlap=values.allow_overlap,
        seed=values.seed,
        dtype=values.dtype,
        mesh=parallel.parse(values.mesh),
        directory=paths.new_directory("export", values.export),
        format=values.format,
        results=Path(os.path.expanduser(values.results)) if values.results else None,
    )


ASKING = (
    "data", "word_classes", "num_examples", "sample", "skip_malformed", "protocol",
    "context", "detokenize", "context_tokens", "batch_tokens",
)  # fmt: skip


def _asking(values: FlagValues, model: str) -> Asking | None:
    """What goes with --margin, of `prune`."""
    if values.margin is None:
        if alone := [name for name in ASKING if values[name].present]:
            raise InputError(
                f"--{alone[0]} goes with --margin, for which prune asks questions; "
                "without it, leave it out"
            )
        return None
    if not values.margin:
        raise InputError(
            "--margin=0: that nothing at all is lost is shown by no number of "
            "questions; accept more than 0 points"
        )
    data = data_of(values, [model])
    protocol = values.protocol if values.protocol is not None else ["cloze"]
    protocol = only(
        "prune", "protocol", choices_of("protocol", protocol, scoring.PROTOCOLS)
    )
    return Asking(
        margin=values.margin / 100,
        data=data,
        word_classes=word_classes_of(values, data),
        num_examples=values.num_examples or 0,
        sample=values.sample,
        skip_malformed=values.skip_malformed,
        presentation=Presentation(
            protocol, values.context, values.detokenize, values.context_tokens
        ),
        batch_tokens=values.batch_tokens,
        seed=values.seed,
    )
