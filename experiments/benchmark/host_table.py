"""What `host` measured, as text: a block for each model and protocol, notes below."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.benchmark.host import RECALLING
from experiments.benchmark.measuring import spread
from experiments.benchmark.pretended import SPEEDS

SHARED, IN_ALL = "every model", "in all"
NOTES = """\
Milliseconds a question, their spread, and questions a second. tokenizing: without
detokenizing. keeping, recalling: what was read, in a file. committing: answers of one
sparsity; results: of three. in all: with what every model takes, and nothing recalled.
device: batching and committing beside a pretended device, which takes so many times
the seconds that they take beside one of no time; seconds of the run, and these over the
larger of the two alone."""

Repeat = dict[str, Any]


def lines(result: dict[str, Any]) -> Iterator[str]:
    columns: dict[str, list[Repeat]] = result["repeats"]
    some = next(iter(columns.values()))
    yield _title(result["asked"], some[0]["questions"], len(some))
    yield f"{'':24}" + "".join(f"{name:>32}" for name in columns)
    yield f"{'':24}" + f"{'ms':>9}{'spread':>15}{'per s':>8}" * len(columns)
    for block, steps in _blocks(some[0]).items():
        about = some[0]["models"].get(block)
        yield block + (_about(about) if about else "")
        for step in steps:
            figures = "".join(
                _rate([_blocks(repeat)[block][step] for repeat in repeats])
                for repeats in columns.values()
            )
            yield f"  {step:22}{figures}"
        for number, speed in enumerate(SPEEDS if about else ()):
            figures = "".join(
                _run([repeat["models"][block]["devices"][number] for repeat in repeats])
                for repeats in columns.values()
            )
            yield f"  {f'device, {speed:g} times':22}{figures}"
    yield NOTES
    if "one core" not in columns:
        yield "One core is left out: this system lets no process choose its cores."


def _title(asked: int, questions: int, repeats: int) -> str:
    there = f" (all there are; {asked:,} were asked for)" if questions < asked else ""
    runs = f"median of {repeats} runs" if repeats > 1 else "one run"
    return f"{questions:,} questions{there}, {runs}, each in a process of its own"


def _about(about: dict[str, Any]) -> str:
    return (
        f": rows of at most {about['limit']:,} tokens, {about['batches']:,} batches, "
        f"{about['not_word_by_word']:,} not read word by word"
    )


def _blocks(repeat: Repeat) -> dict[str, dict[str, float]]:
    """Seconds a question of every step, by what it belongs to, and of all steps of one
    model and protocol, those of every model among them."""
    shared, number = repeat["steps"], repeat["questions"]
    blocks = {SHARED: shared}
    for name, about in repeat["models"].items():
        steps = about["steps"]
        in_all = sum(shared.values()) + sum(steps.values()) - steps[RECALLING]
        blocks[name] = {**steps, IN_ALL: in_all}
    return {
        block: {step: seconds / number for step, seconds in steps.items()}
        for block, steps in blocks.items()
    }


def _rate(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds)
    milliseconds = [1000 * each for each in seconds]
    return f"{1000 * median:9.3f}{spread(milliseconds, '.3f'):>15}{1 / median:8,.0f}"


def _run(repeats: Sequence[dict[str, float]]) -> str:
    """Wall seconds, and their ratio to the best there can be."""
    wall = statistics.median(repeat["wall"] for repeat in repeats)
    ratios = [ratio(repeat) for repeat in repeats]
    return f"{wall:7.2f} s{spread(ratios, '.3f'):>15}{statistics.median(ratios):8.2f}"


def ratio(run: dict[str, float]) -> float:
    """Seconds over those of who takes longer alone, host or device."""
    return run["wall"] / max(run["host"], run["device"])
