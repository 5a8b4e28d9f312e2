"""Where the time of scoring goes: the parts that are written for CPUs, each beside the
plain way of doing the same, at the shapes of GPT-2 small and ELECTRA-small."""

import functools
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import measuring
from jaxsparse import trees
from jaxsparse.device import ACCELERATOR, CPU, Form
from jaxsparse.models.apply import in_parts
from jaxsparse.models.attention import attention, log_sum_exp
from jaxsparse.models.inputs import MaskedInputs
from jaxsparse.models.shapes import published

Work = Callable[[], Any]


def compare(repeats: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each repetition, the plain way and ours, one after the other."""
    seconds = {}
    for name, plain, ours in _parts(seed):
        both = {"plain": plain, "ours": ours}
        for work in both.values():
            work()  # compiles
        seconds[name] = {who: [] for who in both}
        for _ in range(repeats):
            for who, work in both.items():
                seconds[name][who].append(measuring.seconds(work))
    return seconds


def _parts(seed: int) -> Iterator[tuple[str, Work, Work]]:
    """A name, the plain way, ours."""
    query, key, value, hidden, vocabulary = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(jax.random.key(seed), 5),
            [(3, 640, 12, 64)] * 3 + [(264, 768), (50257, 768)],
            strict=True,
        )
    )
    mask = jnp.tril(jnp.ones((1, 640, 640), bool))

    def attend(form: Form) -> Callable[..., Any]:
        return functools.partial(attention, scale=0.1, causal=True, form=form)

    yield (
        "attention of a layer, 3 rows of 640",
        _compiled(attend(ACCELERATOR), query, key, value, mask),
        _compiled(attend(CPU), query, key, value, mask),
    )

    def normaliser(form: Form) -> Callable[..., Any]:
        return lambda hidden, vocabulary: log_sum_exp(hidden @ vocabulary.T, form)

    yield (
        "logits and their sum, 264 positions",
        _compiled(normaliser(ACCELERATOR), hidden, vocabulary),
        _compiled(normaliser(CPU), hidden, vocabulary),
    )
    yield from _electra(seed)


def _electra(seed: int) -> Iterator[tuple[str, Work, Work]]:
    family, config = published("electra-small")
    generator = np.random.default_rng(seed)
    leaves = {
        path: 0.02 * generator.standard_normal(shape, np.float32)
        for path, shape in family.shapes(config).items()
    }
    params = trees.unflatten(leaves)
    tokens = generator.integers(0, config.vocab, (12, 512)).astype(np.int32)
    inputs = MaskedInputs(tokens, np.ones((12, 512), bool), np.full((12, 1), 300))

    def apply(everywhere: bool) -> Callable[..., Any]:
        module = family.module(config, jnp.dtype("float32"), CPU, everywhere)
        return lambda params, inputs: module.apply({"params": params}, inputs)

    yield (
        "ELECTRA's last layer at one position",
        _compiled(apply(True), params, inputs),
        _compiled(apply(False), params, inputs),
    )
    yield (
        "ELECTRA, 12 rows of 512, four at a time",
        _compiled(apply(False), params, inputs),
        _compiled(in_parts(apply(False), CPU.batch_tokens), params, inputs),
    )


def _compiled(function: Callable[..., Any], *arguments: Any) -> Work:
    jitted = jax.jit(function)
    return lambda: jax.block_until_ready(jitted(*arguments))


def table(seconds: dict[str, dict[str, list[float]]]) -> list[str]:
    lines = [f"{'':42}{'plain':>10}{'ours':>10}{'ratio':>8}{'spread':>14}"]
    for name, both in seconds.items():
        plain, ours = map(statistics.median, both.values())
        ratios = [slow / fast for slow, fast in zip(*both.values(), strict=True)]
        lines.append(
            f"{name:42}{1e3 * plain:7.0f} ms{1e3 * ours:7.0f} ms"
            f"{statistics.median(ratios):8.2f}{measuring.spread(ratios):>14}"
        )
    return lines
