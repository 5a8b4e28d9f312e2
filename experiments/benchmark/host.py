"""What the host does for each question, step by step, without a model's weights: from
the files that hold questions to the page of results.

Every repeat is a process of its own, on one core or on all, so that nothing is known
there that a run would not know.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments import command, flags
from experiments.benchmark import pretended
from jaxsparse import cbt, processes, readings, report, scoring
from jaxsparse.accuracy import accuracies
from jaxsparse.answers import Answers, padded
from jaxsparse.cbt.readers import PATTERNS
from jaxsparse.device import ACCELERATOR
from jaxsparse.evaluation import ScoringPlan
from jaxsparse.models.shapes import published
from jaxsparse.points import Curve, Point, Setup
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.types import PROTOCOLS, Presentation
from jaxsparse.weights.tokenizer import load_tokenizer
from jaxsparse.whole import scratch_directory

# The steps of every model alike, then those of one model and protocol.
READING, DETOKENIZING = "reading the files", "detokenizing"
WRITING = "results and the page"
TOKENIZING, KEEPING, RECALLING = "tokenizing", "keeping what was read", "or recalling"
PLANNING, BATCHING, COMMITTING = "planning", "batching", "committing"
SPARSITIES = (0.0, 0.5, 0.9)  # of the results that are written

Tell = Callable[[str], None]
Steps = dict[str, float]  # seconds of each for all questions


def compare(
    settings: flags.Benchmark, tokenizers: dict[str, Path], tell: Tell
) -> dict[str, Any]:
    """Every repeat's `measure`, by the cores it had.

    Args:
        tokenizers: directories, by the shapes.
    """
    repeats: dict[str, list[dict[str, Any]]] = {}
    for repeat in range(settings.repeats):
        for name, cores in _cores().items():
            label = f"repeat {repeat + 1} of {settings.repeats}, {name}: "
            # The scratch directory is this process's: whatever ends it, it goes.
            with scratch_directory("benchmark-") as place, _pinned(cores):
                work = functools.partial(measure, settings, tokenizers, place, label)
                repeats.setdefault(name, []).append(processes.call(work, tell))
    return {"asked": settings.num_examples, "repeats": repeats}


def _cores() -> dict[str, frozenset[int]]:
    """Sets of cores by what they are called; an empty one where none can be chosen."""
    everything = f"all {processes.cores()} cores"
    if not hasattr(os, "sched_setaffinity"):
        return {everything: frozenset()}
    cores = frozenset(os.sched_getaffinity(0))
    one = {"one core": frozenset([max(cores)])}
    return one | ({everything: cores} if len(cores) > 1 else {})


@contextmanager
def _pinned(cores: frozenset[int]) -> Iterator[None]:
    """Processes that begin meanwhile have these cores, and threads for no more."""
    before = cores and os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, before)


def measure(
    settings: flags.Benchmark,
    tokenizers: dict[str, Path],
    place: Path,
    label: str,
    tell: Tell,
) -> dict[str, Any]:
    """Seconds of every step, and of runs beside a pretended device; ready for JSON.

    Args:
        place: an empty directory.
        label: stands before what is told.
    """
    command.quiet_libraries()
    shared: Steps = {}
    questions = _read(settings, shared)
    tell(f"{label}{WRITING}")
    _write(questions, settings.seed, shared, place)
    models = {}
    for shape in settings.models:
        for protocol in PROTOCOLS:
            name = f"{shape}, {protocol}"
            tell(f"{label}{name}")
            (place / name).mkdir()
            models[name] = _measure_model(
                shape,
                tokenizers[shape],
                questions,
                Presentation(protocol),
                settings.batch_tokens or ACCELERATOR.batch_tokens,
                shared[DETOKENIZING],
                place / name,
            )
    return {"questions": len(questions), "steps": shared, "models": models}


@contextmanager
def _step(steps: Steps, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    steps[name] = time.perf_counter() - start


def _read(settings: flags.Benchmark, steps: Steps) -> tuple[cbt.Question, ...]:
    """The questions; where the files hold more, their share of the seconds."""
    with _step(steps, READING):
        found = _in_files(settings.data or "bundled", settings.num_examples)
    questions = cbt.select(found, settings.num_examples)
    steps[READING] *= len(questions) / len(found)
    with _step(steps, DETOKENIZING):
        for question in questions:
            cbt.detokenize(question, Presentation().detokenize)
    return questions


def _in_files(data: str, number: int) -> list[cbt.Question]:
    """Split after split, until there are enough; of a single file what it has."""
    directory, splits = Path(os.path.expanduser(data)), ["test", "validation", "train"]
    if data not in ("bundled", "cbt"):
        files = {s: directory.glob(f"cbtest_*_{PATTERNS[s]}.txt") for s in splits}
        splits = [split for split in splits if any(files[split])]
    found: list[cbt.Question] = []
    for split in splits or [None]:
        if len(found) < number:
            reading = cbt.read(data, split, None)
            cbt.check(reading.malformed, skip=False)
            found += reading.questions
    return found


def _write(
    questions: tuple[cbt.Question, ...], seed: int, steps: Steps, place: Path
) -> None:
    points = list(_points(questions, seed))
    run = {"command": "./run.sh benchmark --host", "notes": [], "models": {}}
    with _step(steps, WRITING):
        report.write(place, report.statistics(points, 0.02), run)


def _points(questions: tuple[cbt.Question, ...], seed: int) -> Iterator[Point]:
    """A curve of random scores, less often right where more is pruned."""
    generator = np.random.default_rng(seed)
    sizes = [len(question.options) for question in questions]
    right = [question.options.index(question.answer) for question in questions]
    clean = generator.normal(-40, 3, (len(questions), max(sizes)))
    clean[np.arange(len(questions)), right] += 5
    truncated = np.zeros(len(questions), bool)
    matrices = tuple(MatrixSparsity("h/attn/c_attn", n, 1000, 500) for n in range(48))
    dense = None
    for sparsity in SPARSITIES:
        noisy = clean + generator.normal(0, 0.1 + 4 * sparsity**2, clean.shape)
        rows = zip(noisy.astype(np.float32), sizes, strict=True)
        scores = padded([row[:size] for row, size in rows])
        answers = Answers(questions, scores, np.full(len(questions), 0.001))
        dense = dense or answers
        setup = Setup("gpt2-small", "gpt2", "float32", Presentation())
        yield Point(
            curve=Curve(setup, Recipe("magnitude")),
            digest="0" * 64,
            sparsity=sparsity,
            achieved_sparsity=sparsity,
            total_sparsity=0.6 * sparsity,
            answers=answers,
            option_tokens=tuple((1,) * size for size in sizes),
            truncated=truncated,
            accuracies=tuple(accuracies(answers, dense, truncated)),
            matrices=matrices if sparsity else (),
        )


class _HasRead(scoring.Reader):
    """A reader that has read all questions, so that keeping them is measured alone."""

    encoded: Sequence[scoring.Encoded] = ()

    def all(self, questions: Any) -> Iterator[scoring.Encoded]:
        yield from self.encoded


def _measure_model(
    shape: str,
    tokenizer: Path,
    questions: tuple[cbt.Question, ...],
    presentation: Presentation,
    batch_tokens: int,
    detokenizing: float,
    place: Path,
) -> dict[str, Any]:
    """As for an accelerator, and rows as long as those of the published model.

    Args:
        detokenizing: seconds, which reading takes, too.
        place: an empty directory.
    """
    family, config = published(shape)
    steps: Steps = {}
    about = load_tokenizer(tokenizer), config, presentation
    reader, has_read = scoring.Reader(*about), _HasRead(*about)
    with _step(steps, TOKENIZING):
        has_read.encoded = encoded = tuple(reader.all(questions))
    steps[TOKENIZING] -= detokenizing
    for step, of in ((KEEPING, has_read), (RECALLING, reader)):
        known = readings.Readings(place / readings.NAME)
        with _step(steps, step), closing(known):
            known.read(of, questions)
    with _step(steps, PLANNING):
        costs = family.operations(config)
        batches = scoring.plan(encoded, batch_tokens, costs, form=ACCELERATOR)
    plan = ScoringPlan(questions, presentation, config, encoded, batches)
    with _step(steps, BATCHING):
        for batch in batches:
            scoring.batch(encoded, batch, config, presentation.protocol)
    with _step(steps, COMMITTING):
        pretended.commit_all(plan, place)
    return {
        "limit": config.positions,
        "batches": len(batches),
        "not_word_by_word": sum(not each.tokens.by_words for each in encoded),
        "steps": steps,
        "devices": pretended.beside_devices(plan, place),
    }
