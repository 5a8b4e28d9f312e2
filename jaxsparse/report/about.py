"""What was run, for the head of a page: from results, and from the run.json of every
run, of which any part may be missing."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxsparse.points import Point
from jaxsparse.report.labels import row_limit

LONGEST_TITLE = 60  # letters of the models' names in it

Facts = Mapping[str, Any]  # a run.json


def title(points: Sequence[Point]) -> str:
    """The models, as many of them as a line holds, and what is asked of them."""
    first, *others = dict.fromkeys(point.setup.model for point in points)
    names = first
    while others and len(f"{names}, {others[0]}") <= LONGEST_TITLE:
        names += f", {others.pop(0)}"
    more = f" and {len(others)} more" if others else ""
    return f"{names}{more}: how much can be cut away?"


def about(points: Sequence[Point], facts: Sequence[Facts]) -> list[tuple[str, str]]:
    """Pairs of a short name and what it was; several runs say what each has."""
    setups = list(dict.fromkeys(point.setup for point in points))
    models = dict.fromkeys(f"{setup.model} ({setup.family})" for setup in setups)
    recipes = list(dict.fromkeys(point.curve.recipe for point in points))
    pruning = {
        "": (recipe.method for recipe in recipes),
        "scope": (recipe.scope for recipe in recipes),
        "prunable": (recipe.prunable for recipe in recipes),
        "pattern": (recipe.pattern for recipe in recipes),
        "allocation": (r.allocation for r in recipes if r.allocation != "uniform"),
        "statistics": (recipe.statistics for recipe in recipes),
    }
    executions = list(dict.fromkeys(point.curve.execution for point in points))
    sparsities = sorted({point.sparsity for point in points} - {0.0})
    limits = list(dict.fromkeys(setup.presentation.context_tokens for setup in setups))
    presentations = {
        "protocol": (setup.presentation.protocol for setup in setups),
        "context": (setup.presentation.context for setup in setups),
        "detokenize": (setup.presentation.detokenize for setup in setups),
        "rows of": (row_limit(limit) for limit in limits if limits != [0]),
        "": (setup.dtype for setup in setups),
        "execution": (e for e in executions if executions != ["dense"]),
    }
    total = len(points[0].questions)
    rows = {
        "models": ", ".join(models),
        "questions": _joined(
            [_questions(points[0]), *(_chosen(run, total) for run in facts)], ", "
        ),
        "asked": _listed(presentations),
        "pruned": _listed(pruning),
        "trained back": _joined(_trainings(points)),
        "sparsities": ", ".join(f"{value:g}" for value in sparsities),
        "calibrated on": _joined(said for run in facts for said in calibrated_on(run)),
        "started": _joined(map(_started, facts)),
        "version": _joined(map(_version, facts)),
        "device": _joined(map(_devices, facts)),
    }
    return [(name, text) for name, text in rows.items() if text]


def _trainings(points: Sequence[Point]) -> Iterator[str]:
    """What was learned, and by which seeds."""
    seeds: dict[str, list[int]] = {}
    for training in dict.fromkeys(point.curve.training for point in points):
        if training:
            seeds.setdefault(training.title, []).append(training.seed)
    for title, of in seeds.items():
        listed = ", ".join(map(str, of))
        yield f"{title}, {'seeds' if len(of) > 1 else 'seed'} {listed}"


def fact(facts: Facts, *names: str) -> Any:
    """What a run.json says at these names, one inside the other; None where it has
    nothing there."""
    found: Any = facts
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def sessions(facts: Facts) -> Iterator[tuple[int, str]]:
    """What scored the answers of a run: how many each session did, and its devices."""
    made_by = fact(facts, "answers", "made_by")
    for session in made_by if isinstance(made_by, list) else ():
        number = fact(session, "answers")
        if isinstance(number, int) and number:
            yield number, _devices(session)


def calibrated_on(facts: Facts) -> Iterator[str]:
    """The rows that a run calibrated its models on; models whose tokens alone differ
    are named together."""
    found = fact(facts, "calibration")
    models: dict[str, list[str]] = {}
    for name, rows in found.items() if isinstance(found, Mapping) else ():
        if isinstance(rows, Mapping):
            digest = _text(rows, "digest")[:8]
            models.setdefault(_windows(rows), []).append(f"{name} {digest}")
    for windows, names in models.items():
        yield f"{windows} ({', '.join(names)})"


def _windows(rows: Facts) -> str:
    source, number, tokens, seed, all_tokens = (
        fact(rows, name) for name in ("source", "rows", "tokens", "seed", "text_tokens")
    )
    said = f"{source}: {number} windows of {tokens} tokens, seed {seed}"
    if fact(rows, "overlapping") is True:
        said += f", which overlap: the text has {all_tokens} tokens"
    return said


def _listed(values: Mapping[str, Iterable[str]]) -> str:
    joined = {name: _joined(of, ", ") for name, of in values.items()}
    return "; ".join(f"{name} {text}".strip() for name, text in joined.items() if text)


def _joined(texts: Iterable[str], between: str = "; ") -> str:
    return between.join(dict.fromkeys(text for text in texts if text))


def _text(facts: Facts, *names: str) -> str:
    found = fact(facts, *names)
    return found if isinstance(found, str) else ""


def _questions(point: Point) -> str:
    """How many, of which classes."""
    counts = Counter(point.classes)
    classes = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    if len(set(counts.values())) == 1:
        each = " each of" if len(counts) > 1 else ""
        classes = f"{counts[point.classes[0]]:,}{each} {', '.join(counts)}"
    split = f", split {point.split}" if point.split else ""
    return f"{len(point.questions):,}: {classes}{split}"


def _chosen(facts: Facts, total: int) -> str:
    """Of which data, and how."""
    data, number = (
        _text(facts, "settings", "data"),
        fact(facts, "settings", "num_examples"),
    )
    how = ""
    if number == 0:
        how = "all of them"
    elif isinstance(number, int) and number <= total:
        how = "the first of each class"
        if _text(facts, "settings", "sample") == "random":
            how = f"drawn at random, seed {fact(facts, 'settings', 'seed')}"
    return _joined([f"data {data}" if data else "", how], ", ")


def _started(facts: Facts) -> str:
    """As people write it; in the time zone that run.json has."""
    return _text(facts, "started").replace("T", " ").replace("+00:00", " UTC")


def _version(facts: Facts) -> str:
    commit, jax = _text(facts, "git_commit")[:7], _text(facts, "versions", "jax")
    changed = ", changed" if fact(facts, "git_changes") is True else ""
    ours = _text(facts, "versions", "jaxsparse")
    code = f"{ours}{f' ({commit}{changed})' if commit else ''}".strip()
    packages = {"jaxsparse": code, "jax": jax}
    return _joined((f"{name} {of}" for name, of in packages.items() if of), ", ")


def _devices(facts: Facts) -> str:
    """How many of which: cpu:0 and cpu:1 are 2 × cpu."""
    found = fact(facts, "devices")
    if not isinstance(found, list):
        return ""
    return ", ".join(_counted(map(str, found)))


def _counted(names: Iterable[str]) -> Iterator[str]:
    kinds = Counter(re.sub(r":\d+$|\(.*\)$", "", name) for name in names)
    for kind, count in kinds.items():
        yield f"{count} × {kind}" if count > 1 else kind
