"""The benchmark's job: what is measured, of what, and the file that keeps it."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from experiments import devices, facts, flags
from experiments.benchmark import (
    buys,
    host,
    host_table,
    masks,
    methods,
    model,
    parts,
    peers,
    questions,
    table,
    training,
    training_sweep,
)
from experiments.jobs import JOBS, flags_of
from jaxsparse import cbt, device, sparse
from jaxsparse.assets import MODELS
from jaxsparse.models.shapes import published
from jaxsparse.types import InputError
from jaxsparse.weights.tokenizer import load_tokenizer
from jaxsparse.whole import atomic_file, scratch_directory

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "transformers", "lm-eval")
BUNDLED_FAMILIES = {  # that read so
    "causal": "gpt2", "masked": "electra", "replaced": "electra", "seq2seq": "t5",
}  # fmt: skip


def main() -> None:
    settings = flags.benchmark_from_flags()
    devices.find()
    # What compiling takes is to be seen.
    jax.config.update("jax_enable_compilation_cache", False)
    alone = settings.parts or settings.host
    pruned = settings.masks or settings.methods
    other = settings.sparse or settings.training
    if pruned or other or (settings.peers and not alone):
        peers.check_torch()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if settings.parts:
        results = [parts.compare(settings.repeats, settings.seed)]
        print("\n".join(parts.table(results[0])))
    elif settings.host:
        tokenizers = {
            shape: _tokenizer(shape, settings.tokenizer) for shape in settings.models
        }
        results = [host.compare(settings, tokenizers, _tell)]
        print("\n".join(host_table.lines(results[0])))
    elif settings.sparse:
        results = _measure_sparse(settings)
    elif settings.training:
        results = _measure_training(settings)
    else:
        results = (_measure_pruning if pruned else _measure_models)(settings)
    everything = {"started": started, **_conditions(), "results": results}
    with atomic_file(settings.json) as partial:
        partial.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {settings.json}, every repeat")
    for result in () if pruned or alone or settings.sparse else results:
        if wrong := (training if settings.training else table).disagreement(result):
            raise InputError(wrong)


def _measure_models(settings: flags.Benchmark) -> list[dict[str, Any]]:
    given = {shape: _questions(shape, settings) for shape in settings.models}
    results = []
    for shape in settings.models:
        with scratch_directory("benchmark-") as place:
            tokenizer = _tokenizer(shape, settings.tokenizer)
            results.append(
                model.measure(shape, tokenizer, given[shape], settings, place, _tell)
            )
    print(table.text(results, accelerator=device.current() != device.CPU))
    return results


def _measure_sparse(settings: flags.Benchmark) -> list[dict[str, Any]]:
    sparse.check("sparse", settings.dtype, divided=False)
    results = []
    for shape in settings.models:
        asked, tokenizer = (
            _questions(shape, settings),
            _tokenizer(shape, settings.tokenizer),
        )
        with scratch_directory("benchmark-") as place:
            result = buys.measure(shape, tokenizer, asked, settings, place, _tell)
        print("\n".join(buys.table(shape, result)))
        results.append({"shape": shape, **result})
    return results


def _measure_training(settings: flags.Benchmark) -> list[dict[str, Any]]:
    for shape in settings.models:
        training.check_shape(shape)
    results = []
    for shape in settings.models:
        tokenizer = _tokenizer(shape, settings.tokenizer)
        with scratch_directory("benchmark-") as place:
            result = training.measure(shape, tokenizer, settings, place, _tell)
        print("\n".join(training.table(result)))
        results.append(result)
    result = training_sweep.measure(settings, _tell)
    print("\n".join(training_sweep.table(result)))
    return [*results, result]


def _measure_pruning(settings: flags.Benchmark) -> list[dict[str, Any]]:
    results = []
    for shape in settings.models:
        if settings.masks:
            result = masks.compare(
                shape, settings.sparsities, settings.seed, settings.repeats
            )
            lines = masks.table(shape, result)
        else:
            result = methods.compare(shape, settings.seed, settings.repeats, _tell)
            lines = methods.table(shape, result)
        print("\n".join(lines))
        results.append({"shape": shape, **result})
    return results


def _questions(shape: str, settings: flags.Benchmark) -> tuple[cbt.Question, ...]:
    number, seed = settings.num_examples, settings.seed
    tokenizer = load_tokenizer(_tokenizer(shape, settings.tokenizer))
    if settings.data is not None:
        return questions.read(settings.data, number)
    return questions.bundled(tokenizer, settings.tokens, number, seed)


def _tokenizer(shape: str, given: Path | None) -> Path:
    """The directory of the tokenizer that a shape goes with: its family's own, else
    that of the family that is bundled and reads in the same way."""
    family, config = published(shape)
    bundled = BUNDLED_FAMILIES[config.reading]
    if given is None:
        return MODELS / f"tiny-{bundled}"
    for name in family.name, bundled:
        if (given / name / "tokenizer_config.json").is_file():
            return given / name
    raise InputError(
        f"--tokenizer={given}: no tokenizer in {family.name}/ or {bundled}/; put the "
        "files of one in Hugging Face format there"
    )


def _conditions() -> dict[str, Any]:
    """Flags, versions and devices."""
    values = flags_of("benchmark")
    return {
        "flags": {name: values[name].value for name in sorted(JOBS["benchmark"])},
        "versions": facts.versions(PACKAGES),
        "python": sys.version.split()[0],
        "devices": [str(device) for device in jax.devices()],
        "device_kind": jax.devices()[0].device_kind,
        "threads": peers.threads(),
    }


def _tell(what: str) -> None:
    """How far it is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
