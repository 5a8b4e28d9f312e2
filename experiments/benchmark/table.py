"""What a benchmark measured, as text: a block for each model, notes below."""

import statistics
from collections.abc import Sequence
from typing import Any

from experiments.benchmark.measuring import MATMUL_OPERATIONS, spread
from jaxsparse.cbt import WORD_CLASSES

ALL, MIX = "all", "mix"
TITLES = {
    "torch": "torch, one question at a time",
    "batched": "torch, sorted batches",
    "harness": "lm-evaluation-harness",
}
AGREE = 1e-3  # nats

NOTES = """\
matmul: share of what this machine gives in a product of 4096³; only operations that are
no padding count. compile: without a cache. memory: anonymous, above what there was
before the model was loaded{device}; ours from loading on, the others' while they
answer. sweep: five levels, their masks decided and
applied, over five times one. ratio: median and spread of the repeats' own. counted: the
ratio that counting the operations of matrix products predicts. Torch, in float32 on the
CPU, reads a row for each option (ELECTRA's generator: for each word piece of it) and
gives logits at every position. No seconds hold compilation; those of the harness hold
its tokenization.
"""


def text(results: Sequence[dict[str, Any]], accelerator: bool) -> str:
    blocks = ["\n".join(_block(result)) for result in results]
    device = "; for ours the device's peak of the whole process" if accelerator else ""
    return "\n\n".join([*blocks, NOTES.format(device=device)])


def _block(result: dict[str, Any]) -> list[str]:
    return [
        f"{result['shape']}, {result['dtype']}, {result['parameters']:,} parameters, "
        f"rows of {result['row_tokens']:.0f} tokens",
        *_alone(result),
        *_against_peers(result),
        *_by_class(result),
        *_agreement(result),
    ]


def _alone(result: dict[str, Any]) -> list[str]:
    seconds, count = result["seconds"][ALL]["ours"], result["questions"][ALL]
    rates = [count / each for each in seconds]
    memory = result["device_memory"] or result["memory"]["ours"]
    return [
        f"{'':32}{'questions/s':>12}{'spread':>16}{'matmul':>8}{'compile':>9}"
        f"{'memory':>9}{'sweep':>7}",
        f"  {f'ours, {count} questions':30}{statistics.median(rates):12.3g}"
        f"{spread(rates, '.3g'):>16}{_share_of_matmul(result):8.0%}"
        f"{result['compile']['seconds']:7.1f} s{memory / 1e9:6.2f} GB"
        f"{_sweep_cost(result):7.2f}",
        _compiled(result["compile"]),
    ]


def _compiled(compiled: dict[str, Any]) -> str:
    return (
        f"    {compiled['compilations']} shapes, batches of {compiled['batch_tokens']} "
        f"tokens, {compiled['padding']:.0%} padding, {compiled['levels_at_once']} "
        "levels at once"
    )


def _share_of_matmul(result: dict[str, Any]) -> float:
    rate = result["operations"][ALL]["ours"] / statistics.median(
        result["seconds"][ALL]["ours"]
    )
    products = [
        seconds
        for when in ("before", "between")
        for seconds in result["seconds"][when]["matmul"]
    ]
    return rate / (MATMUL_OPERATIONS / statistics.median(products))


def _sweep_cost(result: dict[str, Any]) -> float:
    """Five sparsities over five times dense, repeat by repeat; the median."""
    seconds = result["seconds"][ALL]
    return statistics.median(
        five / (5 * dense)
        for five, dense in zip(seconds["sweep"], seconds["ours"], strict=True)
    )


def _against_peers(result: dict[str, Any]) -> list[str]:
    if not any(
        name in result["seconds"][MIX] or name in result["peers"] for name in TITLES
    ):
        return []
    count = result["questions"][MIX]
    lines = [
        f"{'':32}{'questions/s':>12}{'ratio':>8}{'spread':>16}{'counted':>9}{'memory':>9}",
        f"  {f'ours, {count} of them, all classes':30}"
        f"{count / statistics.median(result['seconds'][MIX]['ours']):12.3g}",
    ]
    for name, title in TITLES.items():
        if name in result["seconds"][MIX]:
            memory = f"{result['memory'][name] / 1e9:6.2f} GB"
            lines.append(f"  {title:30}{_compared(result, name, MIX)}{memory}")
        elif name in result["peers"]:
            lines.append(f"  {title:30}  {result['peers'][name]}")
    return lines


def _by_class(result: dict[str, Any]) -> list[str]:
    return [
        f"    {which}, {result['questions'][which]} in sorted batches".ljust(32)
        + _compared(result, "batched", which)
        for which in WORD_CLASSES
        if "batched" in result["seconds"].get(which, {})
    ]


def _compared(result: dict[str, Any], name: str, which: str) -> str:
    seconds, operations = result["seconds"][which], result["operations"][which]
    ratios = _ratios_of(result, name, which)
    rate = result["questions"][which] / statistics.median(seconds[name])
    counted = operations["naive"] / operations["ours"]
    ratio = f"{statistics.median(ratios):8.2f}{spread(ratios, '.3g'):>16}"
    return f"{rate:12.3g}{ratio}{counted:9.2f}"


def _ratios_of(result: dict[str, Any], name: str, which: str) -> list[float]:
    """How many times faster ours is, repeat by repeat."""
    seconds = result["seconds"][which]
    return [
        peer / ours for peer, ours in zip(seconds[name], seconds["ours"], strict=True)
    ]


def _agreement(result: dict[str, Any]) -> list[str]:
    if not result["differences"]:
        return []
    worst = max(result["differences"].values())
    return [f"  scores differ by {worst:.1e} nats at most"]


def disagreement(result: dict[str, Any]) -> str | None:
    """What is wrong with scores that should be the same, if anything is."""
    for name, difference in result["differences"].items():
        if result["dtype"] == "float32" and not difference <= AGREE:
            return (
                f"{result['shape']}: scores differ from {TITLES[name]} by "
                f"{difference:.1e} nats, allowed are {AGREE}; the ratios mean nothing"
            )
    return None
