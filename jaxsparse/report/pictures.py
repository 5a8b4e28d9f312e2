"""What the plots show: curves of results, and the sparsity of each layer."""

from collections.abc import Iterator, Sequence

from jaxsparse import cbt, plots
from jaxsparse.report.page import Picture
from jaxsparse.report.results import Curve, Labels, Result, by_curve

TITLES = {
    "accuracy": "CBT accuracy, Wilson 95 % intervals",
    "classes": "CBT accuracy by word class, Wilson 95 % intervals",
    "finetuned": "CBT accuracy, one-shot and fine-tuned, Wilson 95 % intervals",
    "layers": "achieved sparsity of each layer, %",
}


def accuracy(results: Sequence[Result]) -> list[plots.Curve]:
    """The pooled accuracy: a panel for each model, a line for each curve."""
    labels = Labels(results)
    return [
        _line(curve.asking.model, labels.line(curve), members, -1)
        for curve, members in by_curve(results)
    ]


def classes(results: Sequence[Result]) -> list[plots.Curve]:
    """A panel for each curve, a line for each word class."""
    labels = Labels(results)
    return [
        _line(
            f"{curve.asking.model} · {labels.line(curve)}", row.word_class, members, at
        )
        for curve, members in by_curve(results)
        for at, row in enumerate(members[0].accuracies[:-1])
    ]


def finetuned(results: Sequence[Result]) -> list[plots.Curve]:
    """One-shot against fine-tuned, of the curves that are there in both; maybe none."""
    labels = Labels(results)
    curves = dict(by_curve(results))
    lines = []
    for curve, members in curves.items():
        other = Curve(curve.asking, curve.recipe, not curve.finetuned)
        if other in curves:
            one_shot = Curve(curve.asking, curve.recipe)
            panel = f"{curve.asking.model} · {labels.line(one_shot)}"
            label = "fine-tuned" if curve.finetuned else "one-shot"
            lines.append(_line(panel, label, members, -1))
    return lines


def layers(results: Sequence[Result]) -> list[plots.HeatMap]:
    """A map for each model and way of pruning it: layers by sparsities."""
    labels = Labels(results)
    maps: dict[tuple[str, str], plots.HeatMap] = {}
    for curve, members in by_curve(results):
        panel = curve.asking.model, labels.method(curve)
        pruned = [one for one in members if one.matrices]
        if pruned and panel not in maps:  # the protocol prunes nothing
            maps[panel] = _heat_map(" · ".join(panel), pruned)
    return list(maps.values())


def _heat_map(panel: str, pruned: Sequence[Result]) -> plots.HeatMap:
    columns = [_by_layer(result) for result in pruned]
    return plots.HeatMap(
        panel=panel,
        rows=tuple(columns[0]),
        columns=tuple(result.sparsity for result in pruned),
        values=tuple(
            tuple(column.get(name, 0.0) for column in columns) for name in columns[0]
        ),
    )


def _by_layer(result: Result) -> dict[str, float]:
    """The sparsity of each layer, a fraction; what is in no stack by its own name."""
    sums: dict[str, list[int]] = {}
    stacked = {one.path for one in result.matrices if one.layer}
    for one in result.matrices:
        stack = one.path.partition("/")[0]
        name = f"{stack} {one.layer}" if one.path in stacked else one.path
        pruned, weights = sums.get(name, [0, 0])
        sums[name] = [pruned + one.pruned, weights + one.weights]
    # The encoder reads first.
    names = sorted(sums, key=lambda name: not name.startswith("encoder"))
    return {name: sums[name][0] / sums[name][1] for name in names}


def _line(panel: str, label: str, members: Sequence[Result], at: int) -> plots.Curve:
    rows = [result.accuracies[at] for result in members]
    return plots.Curve(
        panel=panel,
        label=label,
        sparsities=tuple(result.sparsity for result in members),
        accuracy=tuple(row.accuracy for row in rows),
        low=tuple(row.ci_low for row in rows),
        high=tuple(row.ci_high for row in rows),
    )


def figures(results: Sequence[Result]) -> dict[str, plots.Figure]:
    """Every plot by the name of its file; of what is not there, none."""
    chance = cbt.chance(results[0].questions)
    drawn = {
        name: plots.draw_accuracy(curves, chance, TITLES[name])
        for name, of in (
            ("accuracy", accuracy), ("classes", classes), ("finetuned", finetuned),
        )
        if (curves := of(results))
    }  # fmt: skip
    if maps := layers(results):
        drawn["layers"] = plots.draw_layers(maps, TITLES["layers"])
    return drawn


def panels(results: Sequence[Result]) -> Iterator[Picture]:
    """The same for the page: every panel by itself, so that it fits on a phone."""
    chance = cbt.chance(results[0].questions)
    for name, of in (
        ("accuracy", accuracy),
        ("classes", classes),
        ("finetuned", finetuned),
    ):
        curves = of(results)
        for panel in dict.fromkeys(curve.panel for curve in curves):
            members = [curve for curve in curves if curve.panel == panel]
            figure = plots.draw_accuracy(members, chance, "")
            yield Picture(
                f"{panel}: {TITLES[name]}", _described(members), plots.svg(figure)
            )
    for one in layers(results):
        figure = plots.draw_layers([one], "")
        alt = f"{one.panel}: {len(one.rows)} layers at {len(one.columns)} sparsities"
        yield Picture(f"{one.panel}: {TITLES['layers']}", alt, plots.svg(figure))


def _described(curves: Sequence[plots.Curve]) -> str:
    """A plot in words, for those who do not see it."""
    lines = [
        f"{curve.label}: "
        + ", ".join(
            f"{100 * accuracy:.1f} % at {sparsity:g}"
            for sparsity, accuracy in zip(curve.sparsities, curve.accuracy, strict=True)
        )
        for curve in curves
    ]
    return f"{curves[0].panel}. {'; '.join(lines)}"
