"""What several runs call alike and is not the same: it gets the name of its run."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from jaxsparse.points import Curve, Point
from jaxsparse.pruning import Recipe
from jaxsparse.report.reading import RunFiles

WHY = {
    "model": "another run has another model of that name",
    "method": "another run calibrated it on other rows, or has another file of that "
    "name",
    "training": "another run trained by other numbers or on other questions",
    "text": "another run has another text of that name, or other windows of it",
}


@dataclass(frozen=True)
class Thing:
    """A model, a method, a training's objective or a text, as a run calls it."""

    kind: str  # of WHY
    name: str
    content: Hashable  # what tells it from others of the name
    among: Hashable = None  # only here two must not have one name


class Names:
    """What the things of several runs are called in one report. The first of a name
    keeps it."""

    def __init__(self, runs: Sequence[RunFiles]):
        self._names: dict[Thing, str] = {}
        self.notes: list[str] = []  # what is called otherwise than in its run
        for run in runs:
            for point in run.points:
                for thing in _things(run, point):
                    self._name(run, thing)

    def _name(self, run: RunFiles, thing: Thing) -> None:
        if thing in self._names:
            return
        taken = {
            name
            for other, name in self._names.items()
            if (other.kind, other.among) == (thing.kind, thing.among)
        }
        self._names[thing] = name = _free(thing.name, run.directory.name, taken)
        if name != thing.name:
            self.notes.append(
                f"{thing.name} of {run.directory.name} is called {name} here: "
                f"{WHY[thing.kind]}"
            )

    def renamed(self, run: RunFiles, point: Point) -> Point:
        """A point of a run by the names of the report."""
        model, method, objective, *texts = (
            self._names[thing] for thing in _things(run, point)
        )
        losses = zip(point.texts, texts, strict=True)
        return replace(
            point,
            curve=_renamed(point.curve, model, method, objective),
            texts=tuple(replace(loss, text=text) for loss, text in losses),
        )


def _things(run: RunFiles, point: Point) -> Iterator[Thing]:
    model, recipe = point.setup.model, point.recipe
    yield Thing("model", model, point.digest)
    calibrated = _is_calibrated(recipe)
    rows = run.rows_of(model) if calibrated else None
    yield Thing(
        "method",
        recipe.method,
        (rows, run.source_of(recipe.method)),
        # Seeds are in the labels, and what is calibrated has one.
        among=(model, point.digest, recipe.seed, calibrated),
    )
    training = point.curve.training
    yield Thing(
        "training",
        training.objective if training else "",
        run.training_of(model) if training else None,
        among=(model, point.digest, training and replace(training, seed=0)),
    )
    for loss in point.texts:
        yield Thing("text", loss.text, run.text_of(loss.text))


def _is_calibrated(recipe: Recipe) -> bool:
    """As a table says it: a user's file is not run for a report."""
    return bool(recipe.statistics) or recipe.allocation == "owl"


def _free(name: str, run: str, taken: Iterable[str]) -> str:
    """The name, or one with the run's where it is taken."""
    free, number = name, 1
    while free in taken:
        free = f"{name} ({run})" if number == 1 else f"{name} ({run} {number})"
        number += 1
    return free


def _renamed(curve: Curve, model: str, method: str, objective: str) -> Curve:
    setup, recipe = replace(curve.setup, model=model), curve.recipe
    if method != recipe.method:
        recipe = Recipe.written(**{**asdict(recipe), "method": method})
    training = curve.training
    if training and objective != training.objective:
        training = training.called(objective)
    return replace(curve, setup=setup, recipe=recipe, training=training)
