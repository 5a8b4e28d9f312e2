"""The questions of `prune --margin`, and what it found in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from experiments import inputs
from experiments.inputs import Questions
from experiments.prune_settings import Asking
from jaxsparse import journal
from jaxsparse.affordable import Affordable, check_questions, largest_affordable
from jaxsparse.journal import Journal
from jaxsparse.model import Blueprint, Model
from jaxsparse.progress import Progress
from jaxsparse.types import InputError
from jaxsparse.variants import Variant

SPLITS = ("validation", "test")  # one is chosen on, the other only looked at once


def read(
    models: Sequence[Blueprint], asking: Asking | None, progress: Progress
) -> dict[str, Questions]:
    """The questions of both splits; nothing without --margin.

    Raises:
        InputError: the data lack one of the splits, or a question is in both; or they
            are too few for such a margin.
    """
    if asking is None:
        return {}
    found = {
        split: inputs.read_questions(models, asking, split, progress)
        for split in SPLITS
    }
    validation, test = (found[split].read for split in SPLITS)
    if rows := [question.source for question in test if not question.split]:
        raise InputError(
            f"--margin: {rows[0]}: this row names no split, so it would be both a "
            f"validation and a test question (such rows: {len(rows):,}); give every "
            "row a split"
        )
    known = {question.digest: question.id for question in validation}
    if both := [q.id for q in test if q.digest in known]:
        raise InputError(
            f"--data={asking.data}: {len(both):,} test questions are validation "
            f"questions as well, such as {both[0]}; take them out of one"
        )
    number = {split: len(questions.asked) for split, questions in found.items()}
    check_questions(asking.margin, **number)
    return found


def search(
    model: Model,
    pruned: Iterable[Variant],
    asked: Mapping[str, Questions],
    asking: Asking,
    work: Path,
    progress: Progress,
) -> Affordable:
    """Goes on with the answers that an earlier process left.

    Raises:
        InputError: not even the smallest sparsity is within the margin.
    """
    validation, test = (asked[split].asked for split in SPLITS)
    with closing(Journal(work / journal.NAME)) as answers:
        found = largest_affordable(
            model,
            pruned,
            validation,
            test,
            asking.margin,
            asking.presentation,
            batch_tokens=asking.batch_tokens,
            journal=answers,
            progress=progress,
        )
    if found.variant is None:
        raise InputError(
            f"--margin={100 * asking.margin:g}: nothing was written, since not even "
            "the smallest of --sparsities is within it; on "
            f"{len(validation):,} validation questions {found.trials[0]}; ask for "
            "smaller ones, or more questions"
        )
    return found


def lines(found: Affordable, asked: Mapping[str, Questions]) -> Iterator[str]:
    for split, questions in asked.items():
        if number := len(questions.malformed):
            first = questions.malformed[0]
            yield f"malformed {split} questions left out: {number}, such as {first}"
    yield f"on {len(asked['validation'].asked):,} validation questions:"
    margin = f"{100 * found.margin:g}"
    for trial in found.trials:
        end = "" if found.within(trial) else f", but not of more than {margin}"
        yield f"  {trial}{end}"
    yield f"largest sparsity within {margin} points: {found.verdict}"
