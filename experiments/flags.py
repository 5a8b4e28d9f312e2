"""The settings that flags make. Everything that can be wrong with a flag by itself, and
that its kind of value does not tell, is found here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from absl.flags import FlagValues

from experiments import paths, results
from experiments.jobs import OF_SPARSE, PEERS, flags_of
from experiments.shared_flags import NEWCOMERS_QUESTIONS, SPARSITIES
from experiments.shared_settings import (
    choices_of,
    data_of,
    levels_of,
    margin_of,
    names_of,
    recipes_of,
    seeds_of,
    sparsities_of,
    word_classes_of,
)
from jaxsparse import parallel, scoring
from jaxsparse.models.shapes import SHAPES
from jaxsparse.pruning import Recipe
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
    context_tokens: int
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
        put = self.context, self.detokenize, self.context_tokens
        return tuple(Presentation(protocol, *put) for protocol in self.protocols)


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
    training: bool
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
        "models": choices_of("model", values.model, tuple(SHAPES)),
        "peers": choices_of("peers", values.peers, PEERS) if any(values.peers) else (),
        "sparsities": sparsities_of(
            values.sparsities or (OF_SPARSE if values.sparse else SPARSITIES)
        ),
        "json": paths.new_file("json", values.json),
        "tokenizer": values.tokenizer and Path(os.path.expanduser(values.tokenizer)),
    }
    modes = ("parts", "masks", "methods", "sparse", "training", "host")
    modes = [f"--{mode}" for mode in modes if values[mode].value]
    if len(modes) > 1:
        raise InputError(f"{' and '.join(modes)} are measured one at a time")
    if values.training and values["model"].using_default_value:
        checked["models"] = ("gpt2-small",)
    if values.num_examples is None:
        checked["num_examples"] = 10_000 if values.host else 24
    for name in {field.name for field in fields(Benchmark)} - {*checked}:
        checked[name] = values[name].value
    return Benchmark(**checked)


def settings_from_flags() -> Settings:
    """Raises InputError for what no run could mean."""
    original = _original_experiment()
    models = original.get("models") or names_of("model", FLAGS.model)
    newcomer = not models
    if newcomer and FLAGS["model"].present:
        raise InputError(
            "--model is empty; pass a directory or a name such as gpt2-small, or leave "
            "the flag out for the bundled models"
        )
    models = tuple(models or BUNDLED)
    data = data_of(FLAGS, models)
    num_examples = FLAGS.num_examples
    if num_examples is None:
        few = newcomer and data == "bundled"
        num_examples = NEWCOMERS_QUESTIONS if few else 0
    protocols = original.get("protocols") or FLAGS.protocol
    if protocols is None:
        protocols = scoring.PROTOCOLS if newcomer else ("cloze",)
    protocols = choices_of("protocol", list(protocols), scoring.PROTOCOLS)
    seeds = seeds_of(FLAGS)
    several = f"--seeds={','.join(FLAGS.seeds)}"
    if seeds[1:] and not FLAGS["text"].present:
        raise InputError(f"{several}: several go with --text; name text files")
    settings = settings_of(
        FLAGS,
        models,
        data,
        seeds,
        num_examples=num_examples,
        protocols=protocols,
        context=original.get("context") or FLAGS.context,
        skip_malformed=FLAGS.skip_malformed or bool(original),
        out=results.directory(
            FLAGS,
            results.SCORE_FLAGS,
            model=models,
            data=data,
            num_examples=num_examples,
            protocol=protocols,
            seed=seeds[0],
        ),
    )
    if seeds[1:] and all(recipe.seed is None for recipe in settings.recipes):
        raise InputError(
            f"{several}: no --method draws or is calibrated, so that all would be the "
            "same; leave it out"
        )
    return settings


def settings_of(
    values: FlagValues,
    models: tuple[str, ...],
    data: str,
    seeds: tuple[int, ...],
    goes_with: Sequence[str] = paths.OF_CALIBRATION,
    **known: Any,
) -> Settings:
    """The settings of a job that has the sweep's flags.

    Args:
        goes_with: flags that go with --calibration.
        known: what its flags do not say as it stands.
    """
    recipes = recipes_of(values, seeds[0])
    known |= {
        "models": models,
        "data": data,
        "word_classes": word_classes_of(values, data),
        "texts": paths.texts(values),
        "recipes": recipes,
        "calibration": paths.calibration(values, recipes, goes_with),
        "sparsities": levels_of(values, recipes),
        "mesh": parallel.parse(values.mesh),
        "margin": margin_of(values),
        "seed": seeds[0],
        "seeds": seeds,
    }
    for name in {field.name for field in fields(Settings)} - {*known}:
        known[name] = values[name].value
    return Settings(**known)


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
