"""What pruning buys on this machine: time, memory and file size of pruned models beside
the dense one, in one run.

feed-forward    the two matrices of a block and what is between them, by XLA's dense
                product, ours, torch's dense product and torch's sparse rows
whole models    the questions of the benchmark, by the scorer of a sweep
"""

import functools
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import flags, random_weights
from experiments.benchmark import feed_forward_torch
from experiments.benchmark.measuring import interleaved, seconds, spread
from experiments.benchmark.ours import Ours
from jaxsparse import cbt, sparse
from jaxsparse.calibration import bundled
from jaxsparse.evaluation import ScoringPlan
from jaxsparse.execution import executed
from jaxsparse.model import load_model
from jaxsparse.models.shapes import published
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import Recipe
from jaxsparse.sparse import Execution, SparseKernel
from jaxsparse.variants import Variant, save

TOKENS = 2048
REMOVED = (0.25, 0.5)  # of neurons, and of layers
PATTERN = "2:4"
LOADED = "experiments.benchmark.loaded"
CALIBRATION_ROWS = 8  # layers are chosen by them; how well is not measured here


def measure(
    shape: str,
    tokenizer: Path,
    questions: Sequence[cbt.Question],
    settings: flags.Benchmark,
    place: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Seconds of each repetition, by what was pruned; ready for JSON.

    Args:
        place: an empty directory for its checkpoints.
    """
    products = _feed_forward(shape, settings, tell)
    tell("writing random weights")
    random_weights.write(shape, tokenizer, place / shape, settings.seed)
    model = load_model(str(place / shape))
    ours = Ours.of(model, settings.batch_tokens, 1)
    plan = ours.plan(questions)
    variants = dict(_variants(ours.dense, settings.sparsities))
    rows: dict[str, dict[str, Any]] = {
        name: {"seconds": [], "parameters": variant.parameters}
        for name, variant in variants.items()
    }
    # First, while nothing is packed here: both processes need room.
    for name, variant in variants.items():
        tell(f"file and memory of {name}")
        rows[name] |= _alone(variant, place / name.replace(" ", "-"), settings)
    for repeat in range(1 + settings.repeats):  # the first compiles
        for name, variant in variants.items():
            tell(f"repeat {repeat} of {settings.repeats}: {name}")
            taken = _seconds(ours, plan, variant)
            rows[name]["seconds"] += [taken] if repeat else []
    sweeps = _sweeps(ours, plan, settings, tell)
    return {
        "questions": len(questions),
        "feed_forward": products,
        "models": rows,
        "sweeps": sweeps,
    }


def _variants(
    dense: Variant, sparsities: Sequence[float]
) -> Iterator[tuple[str, Variant]]:
    """Dense, pruned weight by weight and executed sparsely, and smaller shapes."""
    model = dense.model
    pruner = OneShot(model, bundled(model, CALIBRATION_ROWS))
    execution = Execution.of("sparse", model.dtype, model.mesh)
    unstructured = pruner.variants(Recipe("magnitude"), sparsities)
    (of_pattern,) = pruner.variants(Recipe("magnitude", pattern=PATTERN), ())
    yield "dense", dense
    for variant in executed([*unstructured, of_pattern], execution):
        own = variant.recipe.own_sparsity
        yield PATTERN if own else f"{variant.sparsity:.0%}", variant
    for pattern in ("neurons", "layers"):
        for variant in pruner.variants(Recipe("magnitude", pattern=pattern), REMOVED):
            yield f"{pattern} {variant.sparsity:.0%}", variant


def _seconds(ours: Ours, plan: ScoringPlan, variant: Variant) -> float:
    """Of scoring, by leaves that are there already and gone afterwards."""
    leaves = variant.leaves()
    jax.block_until_ready(leaves)
    return seconds(lambda: ours.score_variant(plan, variant, leaves))


def _sweeps(
    ours: Ours,
    plan: ScoringPlan,
    settings: flags.Benchmark,
    tell: Callable[[str], None],
) -> dict[str, list[float]]:
    """Seconds of all sparsities by either execution: masks, packing and scores."""

    def swept(kind: str) -> None:
        pruner, model = OneShot(ours.model), ours.model
        execution = Execution.of(kind, model.dtype, model.mesh)
        pruned = pruner.variants(Recipe("magnitude"), settings.sparsities)
        for variant in executed(pruned, execution):
            ours.score_variant(plan, variant, variant.leaves())

    works = {("sweep", k): functools.partial(swept, k) for k in ("dense", "sparse")}
    timings = interleaved(works, settings.repeats, tell)
    return {kind: timing.seconds for (_, kind), timing in timings.items()}


def _feed_forward(
    shape: str, settings: flags.Benchmark, tell: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """By sparsity, then by who multiplied."""
    _, config = published(shape)
    generator = np.random.default_rng(settings.seed)
    x = generator.standard_normal((TOKENS, config.hidden), np.float32)
    matrices = [
        generator.standard_normal(size, np.float32) * np.float32(size[0] ** -0.5)
        for size in ((config.hidden, config.ffn), (config.ffn, config.hidden))
    ]
    found = {}
    for sparsity in settings.sparsities:
        pruned = [
            np.where(generator.random(m.shape) < sparsity, np.float32(0), m)
            for m in matrices
        ]
        works = {
            (who, f"{sparsity:.0%}"): work
            for who, work in {
                **_products(jnp.asarray(x), pruned),
                **feed_forward_torch.works(x, pruned),
            }.items()
        }
        for work in works.values():
            work()
        repeats = 3 * settings.repeats
        timings = interleaved(works, repeats, lambda what: None)
        found[f"{sparsity:.0%}"] = {
            who: timing.seconds for (who, _), timing in timings.items()
        }
        tell(f"{shape}: feed-forward at {sparsity:.0%}")
    return found


def _products(
    x: jax.Array, matrices: Sequence[np.ndarray]
) -> dict[str, Callable[[], Any]]:
    """GELU between the two, as GPT-2 has it."""
    execution = Execution.of("sparse", "float32", None)
    kernels = [sparse.by_zeros(matrix, execution) for matrix in matrices]

    @jax.jit
    def dense(x: jax.Array, first: jax.Array, second: jax.Array) -> Any:
        return jax.nn.gelu(x @ first) @ second

    @jax.jit
    def by_kept(x: jax.Array, first: SparseKernel, second: SparseKernel) -> Any:
        return sparse.feed_forward(x, first, None, "gelu_new", second, None)

    arrays = [jnp.asarray(matrix) for matrix in matrices]
    return {
        "dense": lambda: dense(x, *arrays).block_until_ready(),
        "sparse": lambda: by_kept(x, *kernels).block_until_ready(),
    }


def _alone(
    variant: Variant, directory: Path, settings: flags.Benchmark
) -> dict[str, Any]:
    """Bytes of the file, and of memory of a process that loads it and answers."""
    has_zeros = variant.sparsity and not variant.recipe.structured
    save(variant, directory, format="bitmask" if has_zeros else "dense")
    asked = settings.data, settings.num_examples, settings.tokens, settings.seed
    execution = "sparse" if has_zeros else "dense"
    said = subprocess.run(
        [sys.executable, "-m", LOADED, json.dumps([str(directory), execution, *asked])],
        check=True,
        capture_output=True,
        text=True,
    )
    files = directory.glob("*.safetensors")
    size = sum(file.stat().st_size for file in files)
    shutil.rmtree(directory)
    return {"file": size, "memory": int(said.stdout.split()[-1])}


def table(shape: str, result: dict[str, Any]) -> list[str]:
    """Lines: what is multiplied, whole models, and sweeps."""
    lines = [f"{shape}: time over dense, medians of ratios"]
    of_products = result["feed_forward"]
    lines.append(_columns(f"feed-forward, {TOKENS} tokens", of_products))
    for who in ("sparse", "torch dense", "torch sparse rows"):
        ratios = (_ratio(row["dense"], row[who]) for row in of_products.values())
        lines.append(_columns(f"  {who}", (f"{ratio:.2f}" for ratio in ratios)))
    rows = result["models"]
    dense = rows["dense"]["seconds"]
    lines.append(
        f"{'whole, ' + str(result['questions']) + ' questions':28}"
        f"{'of dense':>9}{'spread':>12}{'questions/s':>13}{'parameters':>15}"
        f"{'file':>10}{'memory':>10}"
    )
    for name, row in rows.items():
        ratios = [one / other for one, other in zip(row["seconds"], dense, strict=True)]
        rate = result["questions"] / statistics.median(row["seconds"])
        sizes = "".join(f"{row[what] / 1e6:7.0f} MB" for what in ("file", "memory"))
        lines.append(
            f"  {name:26}{statistics.median(ratios):9.2f}"
            f"{spread(ratios):>12}{rate:13.2f}"
            f"{row['parameters']:15,}{sizes}"
        )
    sweep = result["sweeps"]
    ratio = _ratio(sweep["dense"], sweep["sparse"])
    lines.append(
        f"all sparsities, masks and packing included: dense "
        f"{statistics.median(sweep['dense']):.1f} s, sparse "
        f"{statistics.median(sweep['sparse']):.1f} s ({ratio:.2f})"
    )
    return lines


def _columns(name: str, cells: Any) -> str:
    return f"{name:28}" + "".join(f"{cell:>9}" for cell in cells)


def _ratio(dense: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(b / a for a, b in zip(dense, other, strict=True))
