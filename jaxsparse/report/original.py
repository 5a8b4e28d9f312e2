"""Tables in the layout of the original experiments, whose runtime was known at 0 %
only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jaxsparse.points import Point, by_curve
from jaxsparse.report.about import sessions
from jaxsparse.report.cells import TextTable, percent, seconds
from jaxsparse.report.grid import grid
from jaxsparse.report.labels import Labels


def tables(
    points: Sequence[Point], facts: Sequence[Mapping[str, Any]] = ()
) -> Iterator[TextTable]:
    """A table for each way of asking and pruning: a row for each model, a column for
    each sparsity, in each cell accuracy and runtime.

    Args:
        facts: the run.json of every run.
    """
    labels = Labels(points)
    lines: dict[str, list[Point]] = {}
    for curve, members in by_curve(points):
        lines.setdefault(labels.line(curve, "pattern"), []).extend(members)
    notes = tuple(_notes(facts))  # once, at the first
    for line, members in lines.items():
        table = grid(
            f"In the layout of the original experiments · {line}",
            members,
            lambda curve: curve.setup.model,
            lambda point: (
                f"{percent(point.accuracy)} / {seconds(point.pooled.seconds)}"
            ),
            notes,
        )
        yield replace(table, header=tuple(map(_in_percent, table.header)))
        notes = ()


def _in_percent(column: str) -> str:
    """Sparsities as the original table has them; patterns as they are."""
    try:
        return f"{100 * float(column):g} %"
    except ValueError:
        return column


def _notes(facts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "accuracy in percent / seconds that scoring the questions of this accuracy "
        "took, without loading, pruning and compilation: each question has its share "
        "of its batch, which on accelerators several sparsities may have shared."
    )
    made_by = [of_run for run in facts for of_run in sessions(run)]
    if len(made_by) > 1:
        where = ", ".join(dict.fromkeys(device for _, device in made_by if device))
        on = f" ({where})" if where else ""
        yield (
            f"the answers are of {len(made_by)} runs{on}; each kept the seconds that "
            "it took there, so that times compare within a run only. run.json has the "
            "runs, under answers."
        )
