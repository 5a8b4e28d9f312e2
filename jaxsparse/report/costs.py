"""What pruning costs each curve, as far as the data can tell: a table."""

from collections.abc import Iterator

from jaxsparse.report.cells import TextTable, percent
from jaxsparse.report.statistics import Statistics
from jaxsparse.report.summary import ALPHA, Loss, Summary


def overview(found: Statistics) -> Iterator[TextTable]:
    """Every curve a row. Nothing where nothing is pruned."""
    if not found.losses:
        return
    margin = found.margin
    within = () if margin is None else (f"{100 * margin:g} excluded up to",)
    yield TextTable(
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
    blank = ("",) * (4 if margin is None else 5)
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
