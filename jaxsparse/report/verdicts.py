"""Tables of what the data can tell: what pruning costs, and models compared."""

from collections.abc import Iterator, Sequence

from jaxsparse.report.cells import (
    TextTable,
    holm,
    method,
    percent,
    signed,
    signed_interval,
)
from jaxsparse.report.labels import Labels
from jaxsparse.report.statistics import Contest, Statistics
from jaxsparse.report.summary import ALPHA, Comparison, Loss, Summary


def costs(found: Statistics) -> TextTable:
    """What pruning costs each curve, as far as the data can tell."""
    margin = found.margin
    within = () if margin is None else (f"{100 * margin:g} excluded up to",)
    return TextTable(
        title="What pruning costs",
        header=(
            "", "no loss detected up to", "possible loss there", "loss detected at",
            "half gone at", *within, "80 % power from",
        ),
        rows=tuple(
            (found.labels.curve(loss.curve), *_cost_cells(loss, summary, margin))
            for summary in found.summaries
            for loss in summary.losses
        ),
        notes=tuple(_cost_notes(margin)),
    )  # fmt: skip


def _cost_notes(margin: float | None) -> Iterator[str]:
    yield (
        "no loss detected up to: the largest sparsity at which, and at every smaller "
        "one asked for, the accuracy is not significantly below dense (p Holm < "
        f"{ALPHA:g}). This is no proof that nothing is lost: possible loss there is "
        "the largest that the 95 % intervals of the difference still allow up to that "
        "sparsity, in points."
    )
    if margin is not None:
        yield (
            f"{100 * margin:g} excluded up to: the largest sparsity at which, and at "
            f"every smaller one asked for, a loss of more than {100 * margin:g} points "
            "is excluded by Tango's one-sided 95 % bound."
        )
    yield (
        "half gone at: where half of dense's accuracy above chance is gone, "
        "interpolated between the points. 80 % power from: the loss in points that has "
        "an 80 % probability to be found significant, where as many questions go from "
        "right to wrong or back as at most in the table."
    )
    yield (
        "not above chance: the interval of dense reaches down to chance, or below, so "
        "that nothing is claimed. too few: dense gets so few questions right that no "
        "loss could be significant."
    )


def _cost_cells(loss: Loss, summary: Summary, margin: float | None) -> tuple[str, ...]:
    blank = ("",) * (4 + (margin is not None))
    if not loss.above_chance:
        return "not above chance", *blank
    if not loss.could_be_significant:
        return "too few", *blank
    excluded = 0.0 if margin is None else loss.excluded_up_to(margin)
    return (
        f"{loss.undetected:g}" if loss.undetected else "none",
        percent(loss.hidden) if loss.undetected else "",
        f"{loss.first_detected[0]:g}" if loss.first_detected else "none",
        f"{loss.half:.2f}" if loss.half is not None else "none",
        *(() if margin is None else (f"{excluded:g}" if excluded else "none",)),
        "none" if summary.detectable is None else percent(summary.detectable),
    )


def of_models(group: Sequence[Contest], labels: Labels) -> TextTable:
    """Every two models that were asked alike, at every point that both have."""
    setup = group[0].first.setup
    return TextTable(
        title=f"Models compared · {labels.presentation(setup)}",
        header=(
            "model", "minus", "method", "sparsity", "difference", "difference CI",
            "changed", "p", "p Holm",
        ),
        rows=tuple(
            (
                contest.first.setup.model,
                contest.second.setup.model,
                method(contest.first, labels),
                f"{contest.first.sparsity:g}",
                *_comparison_cells(contest.comparison),
            )
            for contest in group
        ),
        notes=(
            "difference: the first model's accuracy less the second's in points, both "
            "on the same questions and pruned alike.",
        ),
    )  # fmt: skip


def _comparison_cells(comparison: Comparison) -> tuple[str, ...]:
    return (
        signed(comparison.difference.value),
        signed_interval(comparison.difference),
        percent(comparison.changed),
        f"{comparison.p:.2g}",
        holm(comparison),
    )
