"""What training won back, for readers: a table, and the same in sentences."""

from collections.abc import Iterator, Sequence

from jaxsparse.accuracy import POOLED
from jaxsparse.report.cells import TextTable, of_seeds, percent, seconds, signed
from jaxsparse.report.grid import amount
from jaxsparse.report.recovery import Recovery, mean
from jaxsparse.report.statistics import Statistics

WITHOUT = ("pattern", "training", "seed")  # which columns say
NOTES = (
    "one-shot, fine-tuned: accuracy in percent over all questions; of several seeds "
    "the mean, and in brackets the lowest and the highest. At sparsity 0 one-shot is "
    "dense. won back: the share of what one-shot lost against dense, in percent; empty "
    "where less than a point was lost.",
    "p: exact McNemar of fine-tuned against one-shot at the same sparsity (questions "
    "as independent). Of several seeds the largest is shown, so that it holds for each "
    "of them; it is 1 where one seed gains and another loses. trained in: mean of the "
    "seeds.",
)


def overview(found: Statistics) -> Iterator[TextTable]:
    """Every training at every sparsity a row. Nothing where all is one-shot."""
    if not found.recoveries:
        return
    header = (
        "", "sparsity", "one-shot", "fine-tuned", "seeds", "won back", "p", "p Holm",
        "trained in",
    )  # fmt: skip
    levels = [
        (level.name, "", *[percent(level.accuracy[POOLED])] * 2, *[""] * 5)
        for level in (*found.baselines, found.commonest)
    ]
    yield TextTable(
        title="What training won back",
        header=header,
        rows=(*(_row(recovery, found) for recovery in found.recoveries), *levels),
        notes=NOTES,
    )


def _row(recovery: Recovery, found: Statistics) -> tuple[str, ...]:
    star = "*" if recovery.significant else ""
    return (
        f"{found.labels.curve(recovery.first.curve, *WITHOUT)}: {_title(recovery)}",
        amount(recovery.first),
        of_seeds(recovery.one_shot),
        of_seeds(recovery.tuned),
        f"{len(recovery.tuned)}",
        "" if recovery.won_back is None else f"{100 * recovery.won_back:.0f}",
        "" if recovery.p is None else f"{recovery.p:.2g}",
        "" if recovery.adjusted is None else f"{recovery.adjusted:.2g}{star}",
        "" if recovery.seconds is None else seconds(recovery.seconds),
    )


def _title(recovery: Recovery) -> str:
    assert recovery.first.curve.training
    return recovery.first.curve.training.title


def sentences(found: Statistics) -> Iterator[str]:
    """What every training did, each in one paragraph."""
    groups: dict[str, list[Recovery]] = {}
    for recovery in found.recoveries:
        seeds = f", {len(recovery.tuned)} seeds" if len(recovery.tuned) > 1 else ""
        name = found.labels.curve(recovery.first.curve, *WITHOUT)
        title = f"{name}, fine-tuned ({_title(recovery)}{seeds})"
        groups.setdefault(title, []).append(recovery)
    for title, members in groups.items():
        said = [
            *_of_dense(
                [recovery for recovery in members if not recovery.first.sparsity]
            ),
            *_of_pruned([recovery for recovery in members if recovery.first.sparsity]),
            _beside_no_model(members[-1], found),
        ]
        yield f"{title}: {' '.join(said)}"


def _of_dense(members: Sequence[Recovery]) -> Iterator[str]:
    """Trained whole, against dense as it was."""
    for recovery in members:
        if recovery.gain is None:
            continue
        figures = f"{signed(recovery.gain)} points, p = {recovery.adjusted:.2g} (Holm)"
        if not recovery.significant:
            yield f"dense fine-tuned is not shown to differ from dense: {figures}."
        elif recovery.gain > 0:
            yield f"dense fine-tuned beats dense one-shot: {figures}."
        else:
            yield f"dense fine-tuned is worse than dense one-shot: {figures}."


def _of_pruned(members: Sequence[Recovery]) -> Iterator[str]:
    """Where training helped, where that is not shown, and where it harmed."""
    compared = [recovery for recovery in members if recovery.gain is not None]
    shown = [recovery for recovery in compared if recovery.significant]
    better = [
        recovery
        for recovery in shown
        if recovery.gain is not None and recovery.gain > 0
    ]
    if won := [recovery for recovery in better if recovery.won_back is not None]:
        shares = [
            f"{100 * (recovery.won_back or 0):.0f} % at {amount(recovery.first)}"
            for recovery in won
        ]
        yield f"Training wins back {', '.join(shares)} of what one-shot lost."
    others = (
        (
            "It beats one-shot, which lost nothing, at",
            [o for o in better if o not in won],
        ),
        ("It is worse than one-shot at", [o for o in shown if o not in better]),
        (
            "No difference from one-shot is shown at",
            [o for o in compared if o not in shown],
        ),
    )
    for said, group in others:
        if group:
            at = ", ".join(
                f"{amount(o.first)} ({signed(o.gain or 0.0)} points)" for o in group
            )
            yield f"{said} {at}."


def _beside_no_model(last: Recovery, found: Statistics) -> str:
    """What the largest sparsity is worth, beside choosing without a model."""
    levels = (*found.baselines, found.commonest)
    said = [f"{level.name} {percent(level.accuracy[POOLED])} %" for level in levels]
    at, reached = amount(last.first), percent(mean(last.tuned))
    return f"At {at} it reaches {reached} %; without a model: {', '.join(said)}."
