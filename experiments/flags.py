"""The settings that flags make. Everything that can be wrong with a flag by itself, and
that its kind of value does not tell, is found here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from absl.flags import FlagValues

from experiments import paths, results
from experiments.jobs import OF_SPARSE, PEERS, flags_of
from experiments.shared_flags import NEWCOMERS_QUESTIONS, SPARSITIES
from experiments.values import Integer
from jaxsparse import cbt, parallel, scoring
from jaxsparse.models.shapes import SHAPES
from jaxsparse.pruning import STRUCTURED, Recipe
from jaxsparse.types import InputError, Presentation
from jaxsparse.weights.hub import BUNDLED

FLAGS = flags_of("sweep")

ORIGINAL_MODELS = {  # model_type -> large -> models
    "d-o": {True: ["gpt2-xl"], False: ["gpt2-small"]},
    "e-o": {
        True: ["electra-large", "electra-large-discriminator"],
        False: ["electra-small", "electra-small-discriminator"],
    },
    "e-d": {True: ["t5-3b"], False: ["t5-small"]},
}


@dataclass(frozen=True)
class Settings:
    """What the flags say, checked and with defaults filled in."""

    models: tuple[str, ...]
    data: str
    split: str | None
    word_classes: tuple[str, ...] | None
    num_examples: int
    sample: str
    texts: tuple[str, ...]  # paths of files
    text_tokens: int
    text_details: bool
    calibration: str | None  # None: nothing is calibrated, or measured on rows
    calibration_rows: int
    calibration_tokens: int
    allow_overlap: bool
    protocols: tuple[str, ...]
    context: str
    detokenize: str
    recipes: tuple[Recipe, ...]
    sparsities: tuple[float, ...]
    levels_at_once: int
    dtype: str
    batch_tokens: int
    mesh: parallel.Axes | None
    execution: str
    seed: int  # the first of `seeds`
    seeds: tuple[int, ...]
    skip_malformed: bool
    margin: float | None  # a fraction
    out: Path

    @property
    def prunes(self) -> bool:
        """Whether anything but the models as they are is asked for."""
        own = [recipe.own_sparsity for recipe in self.recipes]
        return any(self.sparsities) or any(own) or self.calibration is not None

    @property
    def presentations(self) -> tuple[Presentation, ...]:
        """How questions are put, once for each protocol."""
        put = self.context, self.detokenize
        return tuple(Presentation(protocol, *put) for protocol in self.protocols)


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


@dataclass(frozen=True)
class Benchmark:
    """What the flags of `benchmark` say."""

    models: tuple[str, ...]  # published shapes
    tokenizer: Path | None
    data: str | None
    num_examples: int
    peer_questions: int
    tokens: int
    classes: bool  # whether word classes are measured each by itself
    peers: tuple[str, ...]
    peer_batch: int
    repeats: int
    masks: bool
    methods: bool
    sparse: bool
    parts: bool
    host: bool
    sparsities: tuple[float, ...]
    seed: int
    dtype: str
    batch_tokens: int
    levels_at_once: int
    json: Path


def benchmark_from_flags() -> Benchmark:
    """Raises InputError for what `benchmark` cannot measure."""
    values = flags_of("benchmark")
    checked: dict[str, Any] = {
        "models": _choices("model", values.model, tuple(SHAPES)),
        "peers": _choices("peers", values.peers, PEERS) if any(values.peers) else (),
        "sparsities": _sparsities(
            values.sparsities or (OF_SPARSE if values.sparse else SPARSITIES)
        ),
        "json": paths.new_file("json", values.json),
        "tokenizer": values.tokenizer and Path(os.path.expanduser(values.tokenizer)),
    }
    modes = ("parts", "masks", "methods", "sparse", "host")
    modes = [f"--{mode}" for mode in modes if values[mode].value]
    if len(modes) > 1:
        raise InputError(f"{' and '.join(modes)} are measured one at a time")
    if values.num_examples is None:
        checked["num_examples"] = 10_000 if values.host else 24
    for name in {field.name for field in fields(Benchmark)} - {*checked}:
        checked[name] = values[name].value
    return Benchmark(**checked)


def pruning_from_flags() -> Pruning:
    """Raises InputError for what `prune` cannot do."""
    values = flags_of("prune")
    model = _only("model", _names("model", values.model))
    asking = _asking(values, model)
    if values.calibration == "train" and asking is None:
        raise InputError(
            "--calibration=train: prune asks no questions without --margin, and has no "
            "stories of theirs; name a text file, or bundled"
        )
    _only("pattern", _names("pattern", values.pattern))
    recipe = _only("method", _recipes(values, values.seed))
    levels = _levels(values, [recipe])
    if recipe.own_sparsity is not None:
        levels = (recipe.own_sparsity,)
    elif asking is None:
        _only("sparsities", levels)
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
    "context", "detokenize", "batch_tokens",
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
    data = _data(values, [model])
    protocol = values.protocol if values.protocol is not None else ["cloze"]
    protocol = _only("protocol", _choices("protocol", protocol, scoring.PROTOCOLS))
    return Asking(
        margin=values.margin / 100,
        data=data,
        word_classes=_word_classes(values, data),
        num_examples=values.num_examples or 0,
        sample=values.sample,
        skip_malformed=values.skip_malformed,
        presentation=Presentation(protocol, values.context, values.detokenize),
        batch_tokens=values.batch_tokens,
        seed=values.seed,
    )


def _data(values: FlagValues, models: Sequence[str]) -> str:
    if values.data == "":
        raise InputError("--data is empty; pass bundled, cbt, a directory, or a file")
    return values.data or ("bundled" if set(models) <= set(BUNDLED) else "cbt")


def _word_classes(values: FlagValues, data: str) -> tuple[str, ...] | None:
    names = values.word_classes
    if names is None:
        return None
    known = cbt.WORD_CLASSES
    if cbt.may_hold_a_task(data):  # its groups are known once it is read
        known = (*known, *names)
    return _choices("word_classes", names, known)


def _only(flag: str, values: tuple[Any, ...]) -> Any:
    if len(values) == 1:
        return values[0]
    if values:
        raise InputError(f"--{flag}: prune takes one, got {len(values)}")
    raise InputError(f"--{flag} is missing; prune takes one")


def settings_from_flags() -> Settings:
    """Raises InputError for what no run could mean."""
    original = _original_experiment()
    models = original.get("models") or _names("model", FLAGS.model)
    newcomer = not models
    if newcomer and FLAGS["model"].present:
        raise InputError(
            "--model is empty; pass a directory or a name such as gpt2-small, or leave "
            "the flag out for the bundled models"
        )
    models = tuple(models or BUNDLED)
    data = _data(FLAGS, models)
    num_examples = FLAGS.num_examples
    if num_examples is None:
        few = newcomer and data == "bundled"
        num_examples = NEWCOMERS_QUESTIONS if few else 0
    protocols = original.get("protocols") or FLAGS.protocol
    if protocols is None:
        protocols = scoring.PROTOCOLS if newcomer else ("cloze",)
    protocols = _choices("protocol", list(protocols), scoring.PROTOCOLS)
    word_classes = _word_classes(FLAGS, data)
    seeds = _seeds(FLAGS)
    recipes = _recipes(FLAGS, seeds[0])
    if seeds[1:] and all(recipe.seed is None for recipe in recipes):
        raise InputError(
            f"--seeds={','.join(FLAGS.seeds)}: no --method draws or is calibrated, so "
            "that all would be the same; leave it out"
        )
    return Settings(
        models=models,
        data=data,
        split=FLAGS.split,
        word_classes=word_classes,
        num_examples=num_examples,
        sample=FLAGS.sample,
        texts=paths.texts(FLAGS),
        text_tokens=FLAGS.text_tokens,
        text_details=FLAGS.text_details,
        calibration=paths.calibration(FLAGS, recipes),
        calibration_rows=FLAGS.calibration_rows,
        calibration_tokens=FLAGS.calibration_tokens,
        allow_overlap=FLAGS.allow_overlap,
        protocols=protocols,
        context=original.get("context") or FLAGS.context,
        detokenize=FLAGS.detokenize,
        recipes=recipes,
        sparsities=_levels(FLAGS, recipes),
        levels_at_once=FLAGS.levels_at_once,
        dtype=FLAGS.dtype,
        batch_tokens=FLAGS.batch_tokens,
        mesh=parallel.parse(FLAGS.mesh),
        execution=FLAGS.execution,
        seed=seeds[0],
        seeds=seeds,
        skip_malformed=FLAGS.skip_malformed or bool(original),
        margin=margin(FLAGS),
        out=results.directory(
            FLAGS,
            model=models,
            data=data,
            num_examples=num_examples,
            protocol=protocols,
            seed=seeds[0],
        ),
    )


def margin(values: FlagValues) -> float | None:
    """--margin, which is in points, as a fraction."""
    return None if values.margin is None else values.margin / 100


def _original_experiment() -> dict:
    """What --model_type, --large and --first_and_sec stand for; empty without them."""
    if FLAGS.model_type is None:
        for name in ("large", "first_and_sec"):
            if FLAGS[name].present:
                raise InputError(f"--{name} goes with --model_type; or pass --model")
        return {}
    for name in ("model", "protocol", "context"):
        if FLAGS[name].present:
            raise InputError(f"--{name} and --model_type exclude each other")
    return {
        "models": ORIGINAL_MODELS[FLAGS.model_type][bool(FLAGS.large)],
        "protocols": scoring.PROTOCOLS,
        "context": "query" if FLAGS.first_and_sec is False else "full",
    }


def _names(flag: str, values: list[str]) -> tuple[str, ...]:
    """A comma list: no empty entries, none twice."""
    names = [value.strip() for value in values]
    if "" in names:
        raise InputError(f"--{flag}={','.join(values)}: an entry is empty")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--{flag}: {', '.join(twice)} is given twice")
    return tuple(names)


def _choices(flag: str, values: list[str], known) -> tuple[str, ...]:
    names = _names(flag, values)
    if not names:
        raise InputError(f"--{flag} is empty; choose from {', '.join(known)}")
    for name in names:
        if name not in known:
            raise InputError(
                f"--{flag}: unknown value {name!r}; choose from {', '.join(known)}"
            )
    return names


def _seeds(values: FlagValues) -> tuple[int, ...]:
    """--seeds, or --seed alone."""
    if not values.seeds:
        return (values.seed,)
    if values["seed"].present:
        raise InputError("--seed and --seeds exclude each other")
    given, kind = ",".join(values.seeds), Integer(0, 2**63 - 1)
    try:
        seeds = tuple(map(kind.parse, _names("seeds", values.seeds)))
    except ValueError:
        raise InputError(f"--seeds={given}: not whole numbers from 0 on") from None
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds={given}: a value is given twice")
    if len(seeds) > 1 and not values["text"].present:
        raise InputError(f"--seeds={given}: several go with --text; name text files")
    return seeds


def _recipes(values: FlagValues, seed: int) -> tuple[Recipe, ...]:
    """Each method with each pattern."""
    methods = _names("method", values.method)
    patterns = _names("pattern", values.pattern)
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


def _levels(values: FlagValues, recipes: Sequence[Recipe]) -> tuple[float, ...]:
    """--sparsities; none where each pattern has its own."""
    if any(recipe.own_sparsity is None for recipe in recipes):
        return _sparsities(values.sparsities)
    if values["sparsities"].present:
        raise InputError(
            f"--sparsities: --pattern={','.join(values.pattern)} has one of its own; "
            "leave --sparsities out"
        )
    return ()


def _sparsities(values: list[str]) -> tuple[float, ...]:
    sparsities = []
    for value in _names("sparsities", values):
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
