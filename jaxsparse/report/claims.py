"""What a report claims, in sentences; each says what the data can carry and no more.

That no loss is significant is no proof that nothing is lost: so it never stands without
the largest loss that the intervals still allow. Only a margin turns it round.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from jaxsparse import cbt, stats
from jaxsparse.report.results import Labels
from jaxsparse.report.summary import ONE_SIDED, Loss, Summary

MOST_NAMES = 4  # of curves in one sentence


def findings(
    summaries: Sequence[Summary], labels: Labels, margin: float | None = None
) -> tuple[str, ...]:
    """The first sentence has the answer in short; the others go curve by curve.

    Args:
        margin: a loss, as a fraction, of which it is said where more is excluded.
    """
    losses = [loss for summary in summaries for loss in summary.losses]
    if not losses:
        return (" ".join(_dense_alone(summaries, labels)),)
    telling = [loss for loss in losses if loss.says_something]
    silent = [loss for loss in losses if not loss.above_chance]
    return (
        _in_short(losses, labels),
        *(f"{labels.curve(loss.curve)}: {of_loss(loss, margin)}" for loss in telling),
        *_at_chance(silent, labels),
        *_all_too_few([one for one in losses if one.above_chance], labels),
    )


def of_loss(loss: Loss, margin: float | None = None) -> str:
    """What one curve has lost, what may be hidden, and what the margin excludes."""
    if not loss.above_chance:
        return (
            f"dense is not above chance ({_accuracy(loss)}), so that there is nothing "
            "to lose."
        )
    if not loss.could_be_significant:
        return _too_few(loss)
    said = [*_detected(loss), _half(loss)]
    if margin is not None:
        said.append(within(loss, margin))
    return " ".join(said)


def of_power(summary: Summary) -> str:
    """What so many questions can tell at all."""
    if summary.fewest > 1:
        return "With so few questions no loss can be significant."
    fewest = 100 * summary.fewest
    said = (
        f"A loss of less than {fewest:.{1 if fewest >= 1 else 2}f} points cannot be "
        "significant with so many questions."
    )
    if not summary.changed:
        return said
    share = (
        f"{100 * summary.changed:.0f} % of the answers change, the most in this table"
    )
    if summary.detectable is None:
        return (
            f"{said} At the point where {share}, even a loss that large has less than "
            "80 % power to be found significant."
        )
    return (
        f"{said} At the point where {share}, a loss of {_points(summary.detectable)} "
        "has 80 % power to be found significant."
    )


def _in_short(losses: Sequence[Loss], labels: Labels) -> str:
    if not any(loss.above_chance for loss in losses):
        return (
            "No model answers above chance before it is pruned, so that pruning has "
            "nothing to take away."
        )
    telling = [loss for loss in losses if loss.says_something]
    if not telling:
        questions = len(losses[0].dense.questions)
        return (
            f"So few of the {questions} questions are answered right that no loss "
            "could be significant: nothing can be said of what pruning costs."
        )
    ranked = sorted(telling, key=lambda loss: -loss.undetected)
    groups = groupby(ranked, key=lambda loss: loss.undetected)
    first, *others = [_of_group(at, list(members), labels) for at, members in groups]
    questions = len(telling[0].dense.questions)
    sentences = f"With {questions:,} questions {first}", *map(_capitalized, others)
    return " ".join(sentences)


def _of_group(undetected: float, members: Sequence[Loss], labels: Labels) -> str:
    names = _names([labels.curve(loss.curve) for loss in members])
    found = [loss.first_detected for loss in members]
    losses = [-point[1].difference.value for point in found if point]
    at = {point[0] for point in found if point}
    if not undetected:
        return (
            f"for {names} a loss is detected at {_sparsities(at)} already, the "
            f"smallest asked for: {_span(losses)}."
        )
    hidden = max(loss.hidden for loss in members)
    said = (
        f"no loss is detected up to sparsity {undetected:g} for {names}, though the "
        f"95 % intervals allow for losses of up to {_points(hidden)}"
    )
    if not losses:
        return f"{said}; {undetected:g} is the largest sparsity asked for."
    return f"{said}; losses of {_span(losses)} are detected at {_sparsities(at)}."


def _detected(loss: Loss) -> Iterator[str]:
    if loss.undetected:
        largest = ", the largest asked for" * (loss.undetected == loss.largest)
        allowed = f"the 95 % intervals still allow a loss of {_points(loss.hidden)}"
        if not loss.hidden:
            allowed = "the 95 % intervals exclude one"
        yield (
            f"no loss is detected up to sparsity {loss.undetected:g}{largest}; "
            f"{allowed} up to there."
        )
    if loss.first_detected:
        sparsity, compared = loss.first_detected
        low, high = -compared.difference.high, -compared.difference.low
        found = f"a loss is detected at {sparsity:g}"
        if not loss.undetected:
            found += ", the smallest sparsity asked for"
        yield (
            f"{_capitalized(found) if loss.undetected else found}: "
            f"{_points(-compared.difference.value)} ({100 * low:.1f} to "
            f"{100 * high:.1f})."
        )


def _half(loss: Loss) -> str:
    if loss.half is None:
        return "At no sparsity asked for is half of what dense has above chance gone."
    return (
        f"Half of what dense has above chance is gone at sparsity {loss.half:.2f}, on "
        "straight lines between the points."
    )


def within(loss: Loss, margin: float) -> str:
    """Up to where a loss of more than `margin`, a fraction, is excluded.

    By the contract this asks for the margin at every smaller sparsity too, so that no
    correction for their number is needed (each is tested only if the one before held).
    """
    wanted = f"a loss of more than {100 * margin:g} points"
    questions = len(loss.dense.questions)
    best, _ = stats.difference_interval(0, 0, questions, ONE_SIDED)
    if -best > margin:
        return (
            f"With {questions} questions {wanted} could not be excluded even if no "
            f"answer changed: that leaves {_points(-best)} open."
        )
    excluded = loss.excluded_up_to(margin)
    bound = "Tango's one-sided 95 % bound"
    if not excluded:
        sparsity, compared = loss.points[0]
        return (
            f"{_capitalized(wanted)} is excluded at no sparsity: {bound} at "
            f"{sparsity:g} is {_points(compared.largest_loss)}."
        )
    largest = ", the largest asked for" * (excluded == loss.largest)
    return (
        f"{_capitalized(wanted)} is excluded up to sparsity {excluded:g}{largest} "
        f"({bound}, there and at every smaller one asked for)."
    )


def _too_few(loss: Loss) -> str:
    right, questions = loss.dense.pooled.correct, len(loss.dense.questions)
    return (
        f"dense answers {right} of {questions} questions right: too few for any loss "
        "to be significant, so that nothing is claimed."
    )


def _at_chance(losses: Sequence[Loss], labels: Labels) -> Iterator[str]:
    if losses:
        said = [f"{labels.curve(one.curve)} ({_accuracy(one)})" for one in losses]
        yield (
            "Not above chance before pruning, so that there is nothing to lose: "
            f"{', '.join(said)}."
        )


def _all_too_few(losses: Sequence[Loss], labels: Labels) -> Iterator[str]:
    for loss in losses:
        if not loss.could_be_significant:
            yield f"{labels.curve(loss.curve)}: {_too_few(loss)}"


def _dense_alone(summaries: Sequence[Summary], labels: Labels) -> Iterator[str]:
    for summary in summaries:
        pooled = summary.rows[0].result.pooled
        yield (
            f"{labels.asking(summary.asking)} answers {100 * pooled.accuracy:.1f} % of "
            f"{pooled.questions} questions ({100 * pooled.ci_low:.1f} to "
            f"{100 * pooled.ci_high:.1f})."
        )


def _accuracy(loss: Loss) -> str:
    pooled = loss.dense.pooled
    chance = 100 * cbt.chance(loss.dense.questions)
    return (
        f"{100 * pooled.accuracy:.1f} %, interval {100 * pooled.ci_low:.1f} to "
        f"{100 * pooled.ci_high:.1f}, chance {chance:.1f}"
    )


def _names(names: Sequence[str]) -> str:
    return f"{len(names)} curves" if len(names) > MOST_NAMES else _listed(names)


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _span(losses: Sequence[float]) -> str:
    low, high = f"{100 * min(losses):.1f}", f"{100 * max(losses):.1f}"
    return f"{low} points" if low == high else f"{low} to {high} points"


def _sparsities(at: set[float]) -> str:
    return f"sparsity {_listed([f'{one:g}' for one in sorted(at)])}"


def _capitalized(sentence: str) -> str:
    """Its first letter, and no other."""
    return sentence[:1].upper() + sentence[1:]


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f} points"
