"""What a report claims, in sentences; each says what the data can carry and no more.

That no loss is significant is no proof that nothing is lost: so it never stands without
the largest loss that the intervals still allow. Only a margin turns it round.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from jaxsparse import stats
from jaxsparse.accuracy import POOLED
from jaxsparse.points import WORTH_SAYING, Point
from jaxsparse.report import trained
from jaxsparse.report.cells import percent
from jaxsparse.report.labels import Labels
from jaxsparse.report.statistics import Statistics
from jaxsparse.report.summary import Comparison, Loss, Summary

MOST_NAMES = 4  # of curves in one sentence


def findings(found: Statistics) -> tuple[str, ...]:
    """What the points show, in sentences: first the answer in short, then curve by
    curve."""
    losses, labels = found.losses, found.labels
    if not losses:
        return (" ".join(_dense_alone(found)), *trained.sentences(found))
    silent = [
        loss for loss in losses if not loss.above_chance and not loss.first_detected
    ]
    return (
        _in_short(losses, labels),
        *trained.sentences(found),
        *(
            f"{labels.curve(loss.curve)}: {of_loss(loss, found.margin)}"
            for loss in losses
            if loss not in silent
        ),
        *_not_above_chance(silent, labels),
        *(
            f"{labels.setup(summary.setup)}: {zeros}"
            for summary in found.summaries
            if (zeros := of_zeros(summary))
        ),
    )


def of_loss(loss: Loss, margin: float | None = None) -> str:
    """What one curve has lost, what may be hidden, and what the margin excludes."""
    if not loss.above_chance:
        text = f"dense is not shown to be above chance ({_accuracy(loss)})"
        if not loss.first_detected:
            return f"{text}, so that nothing is claimed."
        return f"{text}; all the same {_first_detected(loss)}."
    if not loss.could_be_significant:
        right, questions = loss.dense.pooled.correct, len(loss.dense.questions)
        return (
            f"dense answers {right} of {questions} questions right: too few for any "
            "loss to be significant, so that nothing is claimed."
        )
    sentences = [*_detected(loss), _half(loss)]
    if margin is not None:
        sentences.append(within(loss, margin))
    return " ".join(sentences)


def of_zeros(summary: Summary) -> str:
    """The zeros that a file has before anything is pruned; empty if hardly any."""
    dense = summary.rows[0].point
    if dense.sparsity or dense.achieved_sparsity < WORTH_SAYING:
        return ""
    return (
        f"{100 * dense.achieved_sparsity:.2f} % of the prunable weights are zero in "
        "the file already. Dense has these zeros too; they are pruned first, and count."
    )


def of_power(summary: Summary) -> str:
    """What so many questions can tell at all."""
    if summary.fewest > 1:
        return "With so few questions no loss can be significant."
    fewest = 100 * summary.fewest
    text = (
        f"A loss of less than {fewest:.{1 if fewest >= 1 else 2}f} points cannot be "
        "significant with so many questions."
    )
    if not summary.changed:
        return text
    most = (
        f"At one point {100 * summary.changed:.0f} % of the questions go from right to "
        "wrong or back, the most in this table:"
    )
    if summary.detectable is None:
        return (
            f"{text} {most} even if all of these were lost, such a loss would have "
            "less than 80 % power to be found significant."
        )
    return (
        f"{text} {most} there a loss of {_points(summary.detectable)} has 80 % power "
        "to be found significant."
    )


def _in_short(losses: Sequence[Loss], labels: Labels) -> str:
    above = [loss for loss in losses if loss.above_chance]
    if not above:
        return (
            "No model is shown to be above chance before it is pruned, so that nothing "
            "is claimed of what pruning costs."
        )
    telling = [loss for loss in above if loss.could_be_significant]
    questions = len(losses[0].dense.questions)
    if not telling:
        return (
            f"So few of the {questions} questions are answered right that no loss "
            "could be significant: nothing can be said of what pruning costs."
        )
    ranked = sorted(telling, key=lambda loss: -loss.undetected)
    groups = groupby(ranked, key=lambda loss: loss.undetected)
    first, *others = [_of_group(at, list(members), labels) for at, members in groups]
    sentences = [f"With {questions:,} questions {first}", *map(_capitalized, others)]
    sentences += _left_out(losses)
    return " ".join(sentences)


def _left_out(losses: Sequence[Loss]) -> Iterator[str]:
    """How many curves the short answer says nothing of, and why."""
    below = sum(not loss.above_chance for loss in losses)
    few = sum(loss.above_chance and not loss.could_be_significant for loss in losses)
    for number, why in (
        (below, "not shown to be above chance before pruning"),
        (few, "right too seldom for any loss to be significant"),
    ):
        if number:
            verb = "is" if number == 1 else "are"
            yield f"Left out: {number} of {len(losses)} curves, which {verb} {why}."


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
    text = f"no loss is detected up to sparsity {undetected:g} for {names}, "
    if hidden:
        text += f"though the 95 % intervals allow for losses of up to {_points(hidden)}"
    else:
        text += "and the 95 % intervals exclude any up to there"
    if not losses:
        return f"{text}; {undetected:g} is the largest sparsity asked for."
    return f"{text}; losses of {_span(losses)} are detected at {_sparsities(at)}."


def _detected(loss: Loss) -> Iterator[str]:
    if loss.undetected:
        is_largest = loss.undetected == loss.largest
        largest = ", the largest asked for" if is_largest else ""
        allowed = f"the 95 % intervals still allow a loss of {_points(loss.hidden)}"
        if not loss.hidden:
            allowed = "the 95 % intervals exclude any loss"
        yield (
            f"no loss is detected up to sparsity {loss.undetected:g}{largest}; "
            f"{allowed} up to there."
        )
    if loss.first_detected:
        found = _first_detected(loss)
        yield f"{_capitalized(found) if loss.undetected else found}."


def _first_detected(loss: Loss) -> str:
    assert loss.first_detected
    sparsity, compared = loss.first_detected
    smallest = ""
    if sparsity == loss.points[0][0]:
        smallest = ", the smallest sparsity asked for"
    return (
        f"a loss is detected at {sparsity:g}{smallest}: "
        f"{_points(-compared.difference.value)} ({_interval_of_loss(compared)})"
    )


def _interval_of_loss(compared: Comparison) -> str:
    low, high = -compared.difference.high, -compared.difference.low
    return f"95 % interval {percent(low)} to {percent(high)}"


def _half(loss: Loss) -> str:
    if loss.half is None:
        return "Half of dense's accuracy above chance is gone at no sparsity asked for."
    return (
        "Half of dense's accuracy above chance is gone at sparsity "
        f"{loss.half:.2f} (interpolated)."
    )


def within(loss: Loss, margin: float) -> str:
    """Up to where a loss of more than `margin`, a fraction, is excluded.

    By the contract this asks for the margin at every smaller sparsity too, so that no
    correction for their number is needed (each is tested only if the one before held).
    """
    wanted = f"a loss of more than {100 * margin:g} points"
    bound = "Tango's one-sided 95 % bound"
    if excluded := loss.excluded_up_to(margin):
        largest = ", the largest asked for" if excluded == loss.largest else ""
        return (
            f"{_capitalized(wanted)} is excluded up to sparsity {excluded:g}{largest} "
            f"({bound}, there and at every smaller one asked for)."
        )
    questions = len(loss.dense.questions)
    best = stats.largest_loss(0, 0, questions)
    if best > margin:
        return (
            f"With {questions} questions {wanted} could not be excluded even if no "
            f"answer changed: that leaves {100 * best:.2f} points open."
        )
    sparsity, compared = loss.points[0]
    return (
        f"{_capitalized(wanted)} is excluded at no sparsity: {bound} at {sparsity:g} "
        f"is {_points(compared.largest_loss)}."
    )


def _not_above_chance(losses: Sequence[Loss], labels: Labels) -> Iterator[str]:
    if losses:
        curves = [f"{labels.curve(loss.curve)} ({_accuracy(loss)})" for loss in losses]
        yield (
            "Not shown to be above chance before pruning, so that nothing is claimed: "
            f"{', '.join(curves)}."
        )


def _dense_alone(found: Statistics) -> Iterator[str]:
    chance = found.baselines[-1].accuracy[POOLED]
    for summary in found.summaries:
        dense = summary.rows[0].point
        questions = dense.pooled.questions
        yield (
            f"{found.labels.setup(summary.setup)} answers {percent(dense.accuracy)} "
            f"% of {questions:,} questions right ({_interval(dense, chance)})."
        )


def _accuracy(loss: Loss) -> str:
    return f"{percent(loss.dense.accuracy)} %, {_interval(loss.dense, loss.chance)}"


def _interval(dense: Point, chance: float) -> str:
    pooled = dense.pooled
    return (
        f"95 % interval {percent(pooled.ci_low)} to {percent(pooled.ci_high)}, chance "
        f"{percent(chance)}"
    )


def _names(names: Sequence[str]) -> str:
    """Curves, those that differ in their seed alone as one."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for name in names:
        stem, between, seed = name.rpartition(", seed ")
        seeds.setdefault((stem, between) if between else (name, ""), []).append(seed)
    together = [
        f"{stem}, seeds {_listed(of)}" if len(of) > 1
        else f"{stem}{between}{of[0] if between else ''}"
        for (stem, between), of in seeds.items()
    ]  # fmt: skip
    return f"{len(names)} curves" if len(together) > MOST_NAMES else _listed(together)


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _span(losses: Sequence[float]) -> str:
    low, high = percent(min(losses)), percent(max(losses))
    return f"{low} points" if low == high else f"{low} to {high} points"


def _sparsities(at: set[float]) -> str:
    return f"sparsity {_listed([f'{sparsity:g}' for sparsity in sorted(at)])}"


def _capitalized(sentence: str) -> str:
    """Its first letter, and no other."""
    return sentence[:1].upper() + sentence[1:]


def _points(fraction: float) -> str:
    if 0 < fraction < 0.0005:
        return "less than 0.1 points"
    return f"{percent(fraction)} points"
