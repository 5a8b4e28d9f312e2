"""The settings that the flags of `finetune` make."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from absl.flags import FlagValues

from experiments import paths, results
from experiments.finetune_flags import FINETUNE
from experiments.flags import Settings, settings_of
from experiments.jobs import flags_of
from experiments.shared_settings import data_of, names_of, only, seeds_of
from jaxsparse import finetuning
from jaxsparse.pruning import Recipe
from jaxsparse.training.training import Training
from jaxsparse.types import InputError, Presentation
from jaxsparse.weights.hub import BUNDLED

EVENTS = "tensorboard"  # the directory in --out for TensorBoard
NUMBERS = {  # of the library's settings, those that have a flag
    field.name for field in fields(finetuning.Settings)
} & {*FINETUNE}
# What changes neither a score nor a weight, and what a directory has several of.
_NOT_COUNTING = (
    "text", "text_tokens", "text_details", "method", "sparsities", "seeds", "mesh",
    "batch_tokens", "out", "margin", "verbose", "allow_overlap", "checkpoint_every",
    "trained_at_once", "work", "export",
)  # fmt: skip
COUNTING = tuple(name for name in FINETUNE if name not in _NOT_COUNTING)


@dataclass(frozen=True)
class FineTuning:
    """What the flags of `finetune` say: a sweep of test questions, and how its variants
    are trained back before they are asked."""

    sweep: Settings
    split: str  # of the questions that are trained on
    train_examples: int
    validation_split: str
    validation_examples: int
    trainings: tuple[Training, ...]  # one a seed
    numbers: finetuning.Settings
    steps: dict[float, int]  # by sparsity
    learning_rates: dict[float, float]  # likewise; 0: what suits the family
    work: Path
    export: Path | None


def settings_from_flags() -> FineTuning:
    """Raises InputError for what no training could mean."""
    values = flags_of("finetune")
    sweep = _sweep(values)
    _check_needed(values)
    own = {r.own_sparsity for r in sweep.recipes if r.own_sparsity is not None}
    if values.export is not None:
        only("finetune with --export", "model", sweep.models)
        _only_recipe(sweep.recipes)
    numbers: dict[str, Any] = {name: values[name].value for name in NUMBERS}
    return FineTuning(
        sweep=sweep,
        split=values.split,
        train_examples=values.train_examples,
        validation_split=values.validation_split,
        validation_examples=values.validation_examples,
        trainings=tuple(
            Training(
                values.objective, values.train, values.distill, values.schedule, seed
            )
            for seed in sweep.seeds
        ),
        numbers=finetuning.Settings(
            presentation=Presentation(
                values.protocol,
                values.context,
                values.detokenize,
                values.context_tokens,
            ),
            part_tokens=values.batch_tokens,
            at_once=values.trained_at_once,
            **numbers,
        ),
        steps=_each(values, "steps", _steps, own),
        learning_rates=_each(values, "learning_rate", _rate, own),
        work=_work(values, sweep.out),
        export=_export(values),
    )


def _check_needed(values: FlagValues) -> None:
    """Raises InputError for a flag without another that it says more of."""
    for name, flag, wanted in (
        ("rank", "train", ("masklora",)),
        ("mask_every", "schedule", ("gradual",)),
        ("batch_questions", "objective", ("choice", "both")),
        ("story_windows", "objective", ("lm", "both")),
        ("story_tokens", "objective", ("lm", "both")),
    ):
        if values[name].present and values[flag].value not in wanted:
            raise InputError(
                f"--{name} goes with --{flag}={' or '.join(wanted)}; give that as "
                f"well, or leave --{name} out"
            )


def _sweep(values: FlagValues) -> Settings:
    """Of the test questions, and of how models are pruned."""
    models = names_of("model", values.model)
    if not models and values["model"].present:
        raise InputError("--model is empty; leave it out for the bundled models")
    models = models or BUNDLED
    data, seeds = data_of(values, models), seeds_of(values)
    # One for each sparsity is like the sparsities: a directory has several.
    known = {
        name: given if len(given) == 1 else None
        for name, given in (
            ("steps", values.steps),
            ("learning_rate", values.learning_rate),
        )
    }
    return settings_of(
        values,
        models,
        data,
        seeds,
        paths.OF_CALIBRATION[:-1],  # overlap is of training questions, too
        split="test",
        protocols=(values.protocol,),
        levels_at_once=0,
        execution="dense",
        out=results.directory(
            values, COUNTING, model=models, data=data, seed=seeds[0], **known
        ),
    )


def _only_recipe(recipes: Sequence[Recipe]) -> None:
    for flag in "method", "pattern":
        named = tuple({getattr(recipe, flag) for recipe in recipes})
        if len(named) > 1:
            raise InputError(
                f"--{flag}: with --export finetune takes one, got {len(named)}: the "
                "directories are named after sparsity and seed alone"
            )


def _each(
    values: FlagValues, flag: str, read: Callable[[str], Any], own: set[float]
) -> dict[float, Any]:
    """One value for all sparsities, or one for each in the order of --sparsities.

    Args:
        own: sparsities that patterns have of their own.
    """
    given: Any = values[flag].value
    try:
        found = [read(text) for text in given]
    except ValueError as error:
        raise InputError(f"--{flag}={','.join(given)}: {error}") from None
    # As they were given: one for each stands in their order.
    sparsities = [float(text) for text in values.sparsities]
    if len(found) == 1:
        return dict.fromkeys([*sparsities, *own, 0.0], found[0])
    if own:
        raise InputError(
            f"--{flag}={','.join(given)}: --pattern={','.join(values.pattern)} has a "
            "sparsity of its own; give one value for all"
        )
    if len(found) != len(sparsities):
        raise InputError(
            f"--{flag}={','.join(given)}: {len(found)} values for {len(sparsities)} "
            "sparsities; give one, or one for each"
        )
    return dict(zip(sparsities, found, strict=True))


def _steps(text: str) -> int:
    digits = text.isascii() and text.isdigit() and len(text) < 20
    if not (digits and 1 <= int(text) <= finetuning.MOST_STEPS):
        most = finetuning.MOST_STEPS
        raise ValueError(f"{text!r} is no whole number from 1 to {most:,}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= finetuning.HIGHEST_RATE:
        raise ValueError(f"{text!r} is no number from 0 on that float32 holds")
    return rate


def _work(values: FlagValues, out: Path) -> Path:
    if values.work == "":
        raise InputError("--work is empty; name a directory")
    if values.work is None:
        return out / "work"
    return Path(os.path.abspath(os.path.expanduser(values.work)))


def _export(values: FlagValues) -> Path | None:
    if values.export == "":
        raise InputError("--export is empty; name the directory to write")
    if values.export is None:
        return None
    return Path(os.path.abspath(os.path.expanduser(values.export)))


def check_directories(settings: FineTuning) -> None:
    """Raises InputError for directories that cannot be written, or lie in another."""
    paths.check_writable("out", settings.sweep.out)
    paths.check_writable("work", settings.work)
    if settings.export is None:
        return
    paths.check_writable("export", settings.export)
    paths.check_apart(work=settings.work, export=settings.export)
    out, export = settings.sweep.out.resolve(), settings.export.resolve()
    if out == export or export in out.parents:  # the other way round is usual
        paths.check_apart(out=out, export=export)
    paths.check_apart(out=out / EVENTS, export=export)
