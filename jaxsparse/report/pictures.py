"""What the plots show: curves of results, and the sparsity of each layer."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from jaxsparse import plots
from jaxsparse.accuracy import POOLED
from jaxsparse.points import Point, TextLoss, by_curve
from jaxsparse.report import curves, losses, reconstruction, text_plot, timing
from jaxsparse.report.grid import is_patterned
from jaxsparse.report.labels import Labels, class_names, classes_of, is_task
from jaxsparse.report.lines import Line, Panel, Reference
from jaxsparse.report.recovery import trainings_together
from jaxsparse.report.sections import Chart, Picture
from jaxsparse.report.statistics import Baseline, Statistics
from jaxsparse.report.text_plot import LossSeries

TITLES = {
    "accuracy": "accuracy, Wilson 95 % intervals",
    "accuracy_seconds": "accuracy against time, Wilson 95 % intervals",
    "text": "nats of running text",
    "classes": "accuracy by {kind}, Wilson 95 % intervals",
    "finetuned": "accuracy, one-shot and fine-tuned, Wilson 95 % intervals",
    "layers": "achieved sparsity of each layer, %",
}
BANDS = (
    "Bands: Wilson's 95 % intervals, which take questions as independent. Point at a "
    "mark for its values; follow it to its questions."
)
BARS = (
    "The further left, the faster: seconds are of scoring alone, see the tables. Bars: "
    "Wilson's 95 % intervals. Numbers at the marks: sparsity."
)
SEEDS = (
    "Where a training was done by several seeds, a mark is their mean, the band goes "
    "from the lowest to the highest, and the mark leads to the questions of the first."
)
NAMED = {  # level lines by their baseline: in full, and beside the line
    "most frequent": ("most frequent option of the story", "frequent"),
    "chance": ("chance", "chance"),
}
# What rounding the counts of matrices makes of one sparsity, and chance of many draws.
SAME = 0.005


def text(points: Sequence[Point]) -> list[LossSeries]:
    """Losses on running text: a panel for each model and text, a line for each method;
    maybe none. Points of patterns N:M are marks beside the line of their method, and
    only its dense point is on the line."""
    labels, texts = Labels(points), losses.names(points)
    lines: dict[tuple[str, str, str], LossSeries] = {}
    for name in texts:
        for curve, members in losses.curves(points, name):
            model, label = curve.setup.model, labels.pruning(curve, "pattern")
            panel = model if len(texts) == 1 else f"{model} · {name}"
            marks = [member for member in members if is_patterned(member[0])]
            if marks:
                dense = [member for member in members if member not in marks]
                lines.setdefault((panel, label, ""), _losses(panel, label, dense))
                pattern = curve.recipe.pattern
                of_marks = _losses(panel, label, marks, pattern)
                lines[panel, label, pattern] = of_marks
            else:
                lines[panel, label, ""] = _losses(panel, label, members)
    return list(lines.values())


def _losses(
    panel: str,
    label: str,
    members: Sequence[tuple[Point, TextLoss]],
    pattern: str = "",
) -> LossSeries:
    return LossSeries(
        panel=panel,
        label=label,
        sparsities=tuple(point.sparsity for point, _ in members),
        nats=tuple(loss.mean for _, loss in members),
        low=tuple(min(loss.draws) for _, loss in members),
        high=tuple(max(loss.draws) for _, loss in members),
        pattern=pattern,
        has_perplexity=any(loss.perplexity is not None for _, loss in members),
    )


def layers(points: Sequence[Point]) -> list[plots.HeatMap]:
    """A map for each model and way of pruning it, layers by sparsities; none where
    every layer has lost the same, as a scope within matrices has it."""
    labels = Labels(points)
    maps: dict[tuple[str, str], plots.HeatMap] = {}
    for curve, pruned in by_curve(reconstruction.distinct(points)):
        panel = curve.setup.model, labels.pruning(curve)
        if panel not in maps:
            maps[panel] = _heat_map(" · ".join(panel), pruned)
    return [
        heat_map
        for heat_map in maps.values()
        if any(np.ptp(heat_map.values, axis=0) > SAME)
    ]


def _heat_map(panel: str, pruned: Sequence[Point]) -> plots.HeatMap:
    columns = [_by_layer(point) for point in pruned]
    return plots.HeatMap(
        panel=panel,
        rows=tuple(columns[0]),
        columns=tuple(point.sparsity for point in pruned),
        values=tuple(
            tuple(column.get(name, 0.0) for column in columns) for name in columns[0]
        ),
    )


def _by_layer(point: Point) -> dict[str, float]:
    """The sparsity of each layer, a fraction; what is in no stack by its own name."""
    sums: dict[str, list[int]] = {}
    stacked = {matrix.path for matrix in point.matrices if matrix.layer}
    for matrix in point.matrices:
        stack = matrix.path.partition("/")[0]
        name = f"{stack} {matrix.layer}" if matrix.path in stacked else matrix.path
        pruned, weights = sums.get(name, [0, 0])
        sums[name] = [pruned + matrix.pruned, weights + matrix.weights]
    # The encoder reads first.
    names = sorted(sums, key=lambda name: not name.startswith("encoder"))
    return {name: sums[name][0] / sums[name][1] for name in names}


def references(baselines: Sequence[Baseline]) -> dict[str, tuple[Reference, ...]]:
    """What is right without a model, of each word class and of all: level lines."""
    return {
        word_class: tuple(
            Reference(*NAMED[baseline.name], baseline.accuracy[word_class])
            for baseline in baselines
        )
        for word_class in baselines[0].accuracy
    }


def figures(
    found: Statistics, names: Collection[str] = tuple(TITLES)
) -> dict[str, plots.Figure]:
    """The plots of these names, those of their files; of what is not there, none."""
    points = found.points
    pooled = {
        level.label: level.accuracy for level in references(found.baselines)[POOLED]
    }
    chance = {"chance": pooled["chance"]}  # classes differ in the most frequent option
    drawn = {
        name: plots.draw_accuracy(
            lines, levels, _title(name, found, curves.are_of_seeds(lines))
        )
        for name, of, levels in (
            ("accuracy", curves.accuracy, pooled), ("classes", curves.classes, chance),
            ("finetuned", curves.finetuned, pooled),
        )
        if name in names and (lines := of(points))
    }  # fmt: skip
    if "accuracy_seconds" in names and timing.is_timed(points):
        panels = [
            *_panels(curves.accuracy(points), references(found.baselines)[POOLED])
        ]
        drawn["accuracy_seconds"] = timing.draw(
            panels, _title("accuracy_seconds", found)
        )
    if "text" in names and (lines := text(points)):
        drawn["text"] = text_plot.draw(lines, _title_of_text(lines))
    if "layers" in names and (maps := layers(points)):
        drawn["layers"] = plots.draw_layers(maps, TITLES["layers"])
    return drawn


def _title(name: str, found: Statistics, of_seeds: bool = False) -> str:
    title = TITLES[name].format(kind=classes_of(found.questions)[0])
    if of_seeds:
        title += "; of several seeds their range"
    if is_task(found.questions):
        return f"{title[:1].upper()}{title[1:]}"
    return f"CBT {title}"


def _title_of_text(lines: Sequence[LossSeries]) -> str:
    patterns = ", ".join(dict.fromkeys(line.pattern for line in lines if line.pattern))
    title = TITLES["text"][:1].upper() + TITLES["text"][1:]
    return f"{title}; hollow: {patterns}" if patterns else title


def charts(found: Statistics) -> Iterator[Chart]:
    """The same for the page, whose word classes are small panels."""
    points, levels = found.points, references(found.baselines)
    pooled = levels[POOLED]
    panels = tuple(_panels(curves.accuracy(points), pooled))
    lines = [line for panel in panels for line in panel.lines]
    bands = BANDS, *([SEEDS] if curves.are_of_seeds(lines) else [])
    yield Chart("curves", "Accuracy against sparsity", bands, (("", panels),))
    if timing.is_timed(points):
        title = "Accuracy against time"
        yield Chart("time", title, (BARS,), (("", panels),), timed=True)
    if compared := tuple(_panels(curves.finetuned(points), pooled)):
        yield Chart("finetuned", "One-shot and fine-tuned", bands, (("", compared),))
    rows = tuple(_rows(points, levels))
    if any(len(row) > 1 for _, row in rows):
        kind, _ = classes_of(found.questions)
        yield Chart("classes", f"Accuracy by {kind}, %", (), rows, small=True)


def embedded(found: Statistics) -> Iterator[Picture]:
    """Plots that the page has as pictures, with what they show in words."""
    for figure in figures(found, ["text"]).values():
        lines = [_in_words(line) for line in text(found.points)]
        described = f"Nats a target at each sparsity. {'; '.join(lines)}."
        yield Picture("text", "Running text", described, plots.svg(figure))


def _in_words(line: LossSeries) -> str:
    name = f"{line.panel}, {line.label}"
    if line.pattern:
        name += f" {line.pattern}"
    losses_at = (
        f"{nats:.2f} at {sparsity:g}"
        for sparsity, nats in zip(line.sparsities, line.nats, strict=True)
    )
    return f"{name}: {', '.join(losses_at)}"


def _panels(lines: Sequence[Line], levels: tuple[Reference, ...]) -> Iterator[Panel]:
    for name in dict.fromkeys(line.panel for line in lines):
        yield Panel(name, tuple(line for line in lines if line.panel == name), levels)


def _rows(
    points: Sequence[Point], levels: dict[str, tuple[Reference, ...]]
) -> Iterator[tuple[str, tuple[Panel, ...]]]:
    """A row for each model, a panel for each class, a line for each curve."""
    labels = Labels(points)
    shown, known = list(trainings_together(points)), class_names(points[0].questions)
    for model in dict.fromkeys(curve.setup.model for curve, _, _ in shown):
        panels = []
        for at, row in enumerate(points[0].accuracies[:-1]):
            name = row.word_class
            title = f"{known[name]} ({name})" if name in known else name
            lines = tuple(
                curves.line(
                    f"{model} · {title}", labels.line(curve, *without), labels, places,
                    at,
                )
                for curve, places, without in shown
                if curve.setup.model == model
            )  # fmt: skip
            panels.append(
                Panel(f"{title}, {row.questions} questions", lines, levels[name])
            )
        yield model, tuple(panels)
