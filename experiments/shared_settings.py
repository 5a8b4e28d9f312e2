"""What several jobs make of the flags that they share."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from absl.flags import FlagValues

from experiments.values import Integer
from jaxsparse import cbt
from jaxsparse.pruning import STRUCTURED, Recipe
from jaxsparse.types import InputError
from jaxsparse.weights.hub import BUNDLED


def data_of(values: FlagValues, models: Sequence[str]) -> str:
    if values.data == "":
        raise InputError("--data is empty; pass bundled, cbt, a directory, or a file")
    return values.data or ("bundled" if set(models) <= set(BUNDLED) else "cbt")


def word_classes_of(values: FlagValues, data: str) -> tuple[str, ...] | None:
    names = values.word_classes
    if names is None:
        return None
    known = cbt.WORD_CLASSES
    if cbt.may_hold_a_task(data):  # its groups are known once it is read
        known = (*known, *names)
    return choices_of("word_classes", names, known)


def names_of(flag: str, values: list[str]) -> tuple[str, ...]:
    """A comma list: no empty entries, none twice."""
    names = [value.strip() for value in values]
    if "" in names:
        raise InputError(f"--{flag}={','.join(values)}: an entry is empty")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--{flag}: {', '.join(twice)} is given twice")
    return tuple(names)


def choices_of(flag: str, values: list[str], known) -> tuple[str, ...]:
    names = names_of(flag, values)
    if not names:
        raise InputError(f"--{flag} is empty; choose from {', '.join(known)}")
    for name in names:
        if name not in known:
            raise InputError(
                f"--{flag}: unknown value {name!r}; choose from {', '.join(known)}"
            )
    return names


def only(job: str, flag: str, values: tuple[Any, ...]) -> Any:
    """The value of a flag of which a job takes one."""
    if len(values) == 1:
        return values[0]
    if values:
        raise InputError(f"--{flag}: {job} takes one, got {len(values)}")
    raise InputError(f"--{flag} is missing; {job} takes one")


def seeds_of(values: FlagValues) -> tuple[int, ...]:
    """--seeds, or --seed alone."""
    if not values.seeds:
        return (values.seed,)
    if values["seed"].present:
        raise InputError("--seed and --seeds exclude each other")
    given, kind = ",".join(values.seeds), Integer(0, 2**63 - 1)
    names = names_of("seeds", values.seeds)
    try:
        seeds = tuple(map(kind.parse, names))
    except ValueError:
        raise InputError(f"--seeds={given}: not whole numbers from 0 on") from None
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds={given}: a value is given twice")
    return seeds


def recipes_of(values: FlagValues, seed: int) -> tuple[Recipe, ...]:
    """Each method with each pattern."""
    methods = names_of("method", values.method)
    patterns = names_of("pattern", values.pattern)
    for flag, names in ("method", methods), ("pattern", patterns):
        if not names:
            raise InputError(f"--{flag} is empty; leave it out for the default")
    # Where weights go one by one: what is removed as a whole has its own of both.
    scope, order = values.scope or "", values.statistics
    of_weights = [pattern for pattern in patterns if pattern not in STRUCTURED]
    for flag, value in ("scope", scope), ("statistics", order):
        if value and not of_weights:
            raise InputError(
                f"--{flag}={value}: --pattern={','.join(patterns)} has its own; leave "
                f"--{flag} out"
            )
    recipes = [
        Recipe(
            method,
            scope if pattern in of_weights else "",
            values.prunable,
            pattern,
            seed,
            values.allocation,
        )
        for method in methods
        for pattern in patterns
    ]
    recipes = list(dict.fromkeys(recipes))  # of layers there is one for all methods
    ordered = [r for r in recipes if r.statistics and not r.structured]
    if order and not ordered:
        raise InputError(f"--statistics={order}: --method needs none; leave it out")
    if order:
        recipes = [replace(r, statistics=order) if r in ordered else r for r in recipes]
    for recipe in recipes:
        recipe.check()
    return tuple(recipes)


def levels_of(values: FlagValues, recipes: Sequence[Recipe]) -> tuple[float, ...]:
    """--sparsities; none where each pattern has its own."""
    if any(recipe.own_sparsity is None for recipe in recipes):
        return sparsities_of(values.sparsities)
    if values["sparsities"].present:
        raise InputError(
            f"--sparsities: --pattern={','.join(values.pattern)} has one of its own; "
            "leave --sparsities out"
        )
    return ()


def sparsities_of(values: list[str]) -> tuple[float, ...]:
    sparsities = []
    for value in names_of("sparsities", values):
        try:
            sparsity = float(value)
        except ValueError:
            raise InputError(f"--sparsities: {value!r} is not a number") from None
        if not 0 <= sparsity <= 1:
            raise InputError(f"--sparsities: {value} is not a fraction from 0 to 1")
        sparsities.append(sparsity)
    if not sparsities:
        raise InputError("--sparsities is empty; fractions such as 0,0.5,0.9")
    if len(set(sparsities)) < len(sparsities):
        raise InputError(f"--sparsities={','.join(values)}: a value is given twice")
    if sum(sparsity > 0 for sparsity in sparsities) > 255:
        raise InputError(
            f"--sparsities: {len(sparsities)} values; at most 255 above 0 in one run"
        )
    return tuple(sorted(sparsities))


def margin_of(values: FlagValues) -> float | None:
    """--margin, which is in points, as a fraction."""
    return None if values.margin is None else values.margin / 100
