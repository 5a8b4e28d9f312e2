"""Measures, side by side in one process, what ours takes and what others take.

    ./run.sh benchmark --tokenizer=DIR
    ./run.sh benchmark --model=gpt2-medium --num_examples=8 --repeats=1
    ./run.sh benchmark --masks --model=gpt2-small
    ./run.sh benchmark --parts

Questions answered in a second, with random weights of the published shapes and stories
of 500 tokens, the same for all: ours, torch transformers one question at a time, torch
in sorted batches, and lm-evaluation-harness where it is installed. With --masks instead
what magnitude masks of all sparsities take, and what torch's l1_unstructured takes;
with --parts the parts of scoring that are written for CPUs, beside the plain ones.
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from experiments import (
    benchmark_masks,
    benchmark_model,
    benchmark_parts,
    benchmark_peers,
    benchmark_questions,
    benchmark_table,
    devices,
    paths,
)
from experiments.jobs import JOBS, flags_of
from jaxsparse import cbt, device
from jaxsparse.assets import MODELS
from jaxsparse.models.shapes import SHAPES
from jaxsparse.types import InputError
from jaxsparse.weights.tokenizer import load_tokenizer
from jaxsparse.whole import scratch_directory, whole_file

FLAGS = flags_of("benchmark")
PEERS = tuple(benchmark_table.TITLES)
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "transformers", "lm-eval")


def main() -> None:
    models = chosen("model", FLAGS.model, tuple(SHAPES))
    peers = chosen("peers", FLAGS.peers, PEERS) if any(FLAGS.peers) else ()
    if not FLAGS.json:
        raise InputError("--json is empty; name a file to write")
    target = Path(os.path.expanduser(FLAGS.json))
    paths.check_writable("json", target.parent)
    if target.is_dir():
        raise InputError(f"--json={target}: a directory; name a file")
    devices.find()
    # What compiling takes is to be seen.
    jax.config.update("jax_enable_compilation_cache", False)
    if FLAGS.masks or (peers and not FLAGS.parts):
        benchmark_peers.check_torch()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if FLAGS.parts and FLAGS.masks:
        raise InputError("--parts and --masks are measured one at a time")
    if FLAGS.parts:
        results = measure_parts()
    else:
        results = measure_masks(models) if FLAGS.masks else measure(models, peers)
    facts = {"started": started, **provenance(), "results": results}
    with whole_file(target) as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {FLAGS.json}, every repeat")
    for result in () if FLAGS.masks or FLAGS.parts else results:
        if wrong := benchmark_table.disagreement(result):
            raise InputError(wrong)


def chosen(flag: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise InputError(
                f"--{flag}: unknown value {name!r}; choose from {', '.join(known)}"
            )
    if not names:
        raise InputError(f"--{flag} is empty; choose from {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def measure(models: Sequence[str], peers: tuple[str, ...]) -> list[dict[str, Any]]:
    accelerator = device.current() != device.CPU
    conditions = benchmark_model.Conditions(
        dtype=FLAGS.dtype,
        seed=FLAGS.seed,
        repeats=FLAGS.repeats,
        batch_tokens=FLAGS.batch_tokens,
        levels_at_once=FLAGS.levels_at_once,
        peer_batch=FLAGS.peer_batch,
        peers=peers,
        classes=FLAGS.classes,
    )
    given = {shape: questions_of(shape) for shape in models}
    results = []
    for shape in models:
        with scratch_directory("benchmark-") as place:
            results.append(
                benchmark_model.measure(
                    shape,
                    tokenizer_of(shape),
                    given[shape],
                    FLAGS.peer_questions,
                    conditions,
                    place,
                    lambda what, shape=shape: tell(f"{shape}: {what}"),
                )
            )
    print(benchmark_table.text(results, accelerator))
    return results


def tokenizer_of(shape: str) -> Path:
    """The directory of the tokenizer that a shape goes with."""
    family, given = shape.partition("-")[0], FLAGS.tokenizer
    if given is None:
        return MODELS / f"tiny-{family}"
    directory = Path(os.path.expanduser(given)) / family
    if not (directory / "tokenizer_config.json").is_file():
        raise InputError(
            f"--tokenizer={given}: no tokenizer in {family}/; put the files of one in "
            "Hugging Face format there"
        )
    return directory


def questions_of(shape: str) -> tuple[cbt.Question, ...]:
    tokenizer = load_tokenizer(tokenizer_of(shape))
    if FLAGS.data is not None:
        return benchmark_questions.read(FLAGS.data, FLAGS.num_examples)
    return benchmark_questions.bundled(
        tokenizer, FLAGS.tokens, FLAGS.num_examples, FLAGS.seed
    )


def measure_masks(models: Sequence[str]) -> list[dict[str, Any]]:
    sparsities = fractions(FLAGS.sparsities)
    results = []
    for shape in models:
        result = benchmark_masks.compare(shape, sparsities, FLAGS.seed, FLAGS.repeats)
        print("\n".join(benchmark_masks.table(shape, result)))
        results.append({"shape": shape, **result})
    return results


def measure_parts() -> list[dict[str, Any]]:
    seconds = benchmark_parts.compare(FLAGS.repeats, FLAGS.seed)
    print("\n".join(benchmark_parts.table(seconds)))
    return [seconds]


def fractions(values: list[str]) -> list[float]:
    """Numbers in ascending order; whether they are from 0 to 1 is seen in counting."""
    try:
        numbers = sorted(map(float, values))
    except ValueError:
        numbers = []
    if not numbers:
        given = ",".join(values)
        raise InputError(f"--sparsities={given}: give fractions such as 0,0.5,0.9")
    return numbers


def provenance() -> dict[str, Any]:
    """Flags, versions and devices."""
    return {
        "flags": {name: FLAGS[name].value for name in sorted(JOBS["benchmark"])},
        "versions": {name: _version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "devices": [str(device) for device in jax.devices()],
        "device_kind": jax.devices()[0].device_kind,
        "threads": benchmark_peers.threads(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def tell(what: str) -> None:
    """How far it is, on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
