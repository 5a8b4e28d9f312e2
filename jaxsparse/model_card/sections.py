"""What a card says of a model, section by section."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxsparse.affordable import Affordable, percent
from jaxsparse.calibration import Calibration
from jaxsparse.model_card.markdown import escaped, table
from jaxsparse.points import Point
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.variants import Variant


@dataclass(frozen=True)
class TrainedBack:
    """How a fine-tuned model was trained, beside what its `Training` says."""

    settings: Mapping[str, Any]  # values by name, as run.json has them
    learned: str  # the questions, in words: of which data and split, how many
    stopped_on: str  # those that told when to stop, and which weights were kept


def measured(variant: Variant) -> list[tuple[float, MatrixSparsity]]:
    """The matrices with an error of reconstruction, and the error."""
    return [(m.error, m) for m in variant.matrices if m.error is not None]


def removed(variant: Variant) -> str:
    """What has become of the parts of a model that went as a whole."""
    model, pattern = variant.model, variant.recipe.pattern
    sizes = model.blueprint.family.structure(model.config).sizes(pattern)
    left = ", ".join(
        f"`{size.key}` is {getattr(model.config, size.field):,}" for size in sizes
    )
    return (
        f"Whole {pattern} were removed, not zeroed, so that the arrays are smaller: "
        f"{left}."
    )


def recipe(variant: Variant) -> dict[str, str]:
    model, recipe = variant.model, variant.recipe
    rows = {
        "dense model": f"{escaped(model.name)} ({model.family}), read as {model.dtype}",
        "its digest": model.digest,
    }
    if not variant.sparsity:
        return {**rows, "sparsity": f"{variant.achieved_sparsity:.6f}, as it was"}
    rows["method"] = escaped(recipe.method)
    if recipe.source:
        rows["SHA-256 of that file"] = recipe.source
    rows |= {
        "scope": recipe.scope,
        "pattern": recipe.pattern,
        "allocation": recipe.allocation,
        "statistics": recipe.statistics or "none needed",
        "prunable": recipe.prunable,
        "seed": "none needed" if recipe.seed is None else str(recipe.seed),
        "sparsity requested": f"{variant.sparsity:g}",
    }
    of = f"the {recipe.pattern}" if recipe.structured else "the prunable weights"
    rows |= {
        f"achieved, of {of}": f"{variant.achieved_sparsity:.6f}",
        "achieved, of all parameters": f"{variant.total_sparsity:.6f}",
    }
    if recipe.structured:
        rows["parameters"] = f"{variant.parameters:,}"
    if errors := measured(variant):
        error, worst = max(errors, key=lambda pair: pair[0])
        mean = sum(error for error, _ in errors) / len(errors)
        rows["reconstruction error, mean"] = f"{mean:.4g}"
        rows["largest"] = f"{error:.4g} of `{worst.path}`, layer {worst.layer}"
    raised = sum(matrix.damping_raised for matrix in variant.matrices)
    if "gram" in recipe.needs:
        rows["damping raised"] = f"{raised} times"
    return rows


def training(variant: Variant, trained: TrainedBack | None) -> dict[str, str]:
    """Rows of a fine-tuned model: its training, then what else is known."""
    assert variant.training
    words = asdict(variant.training)
    seconds = variant.training_seconds
    rows = {
        "objective": words["objective"],
        "trained": words["train"],
        "distilled": words["distill"],
        "schedule": words["schedule"],
        "seed": str(words["seed"]),
    }
    if trained:
        rows |= {
            "trained on": escaped(trained.learned),
            "stopped on": escaped(trained.stopped_on),
        }
        for name, value in trained.settings.items():
            told = value if isinstance(value, str) else json.dumps(value)
            rows[f"`{name}`"] = escaped(told)
    return rows | ({} if seconds is None else {"seconds": f"{seconds:,.0f}"})


def calibration(calibration: Calibration, checked: str) -> dict[str, str]:
    overlapping = ", overlapping" if calibration.overlapping else ""
    rows = {
        "text": escaped(calibration.source),
        "rows": f"{calibration.rows:,}{overlapping}",
        "tokens of a row": f"{calibration.tokens_per_row:,}",
        "tokens of all the text": f"{calibration.text_tokens:,}",
        "seed": str(calibration.seed),
        "file": "`calibration.parquet`: what the model was fed",
        "SHA-256 of what was fed": calibration.digest,
    }
    return rows | ({"test questions in it": escaped(checked)} if checked else {})


def choice(found: Affordable) -> Iterator[str]:
    trials = [*found.trials, *([found.test] if found.test else [])]
    rows = [
        (
            escaped(trial.point.split),
            f"{trial.point.sparsity:g}",
            f"{len(trial.point.questions):,}",
            percent(trial.point.accuracy),
            percent(trial.dense.accuracy),
            percent(trial.loss),
            percent(trial.largest_loss),
            "yes" if found.within(trial) else "no",
        )
        for trial in trials
    ]
    put = trials[0].point.setup.presentation
    tokens = put.context_tokens
    limit = f", rows of at most {tokens:,} tokens" if tokens else ""
    margin = f"{100 * found.margin:g}"
    yield f"Largest sparsity within {margin} points: {found.verdict}."
    yield ""
    end = (
        "No larger one was asked for."
        if found.within(found.trials[-1])
        else "At the next one asked for it is not, which ended the search."
    )
    yield (
        f"A loss of more than {margin} points is excluded at it and at every smaller "
        f"one asked for. {end} What is excluded, Tango's one-sided 95 % bound of the "
        "paired difference says, on validation questions. Test questions were asked "
        f"once, of the chosen sparsity alone. Protocol {put.protocol}, context "
        f"{put.context}, detokenize {put.detokenize}"
        f"{limit}; %, and losses in points:"
    )
    yield ""
    header = (
        "questions", "sparsity", "number", "right", "of the dense model", "loss",
        "largest not excluded", f"within {margin}",
    )  # fmt: skip
    yield from table(header, rows)


def scores(points: Sequence[Point]) -> Iterator[str]:
    rows = [
        (
            *(point.setup.presentation.protocol, point.setup.presentation.context),
            escaped(point.split),
            escaped(of_class.word_class),
            f"{of_class.questions:,}",
            f"{of_class.accuracy:.4f}",
            f"{of_class.ci_low:.4f} to {of_class.ci_high:.4f}",
            f"{of_class.dense_accuracy:.4f}",
        )
        for point in points
        for of_class in point.accuracies
    ]
    header = (
        "protocol", "context", "split", "word class", "questions", "accuracy",
        "95 % interval", "of the dense model",
    )  # fmt: skip
    yield "Fractions of cloze questions answered right; Wilson's interval."
    yield ""
    yield from table(header, rows)
    texts = [
        (escaped(loss.text), f"{loss.targets:,}", f"{loss.nats:.4f}")
        for loss in points[0].texts
    ]
    if texts:
        yield ""
        yield from table(("running text", "tokens predicted", "nats a token"), texts)


def layers(matrices: Iterable[MatrixSparsity], recipe: Recipe) -> Iterator[str]:
    rows = [
        (
            f"`{matrix.path}`",
            str(matrix.layer),
            f"{matrix.weights:,}",
            f"{matrix.pruned:,}",
            f"{matrix.pruned / matrix.weights:.6f}",
            "" if matrix.error is None else f"{matrix.error:.4g}",
        )
        for matrix in matrices
    ]
    if recipe.structured:
        yield "Layers and sizes are those of the dense model; pruned is what was zero,"
        yield "or removed."
        yield ""
    if any(row[-1] for row in rows):
        yield "Error: that of the outputs at calibration rows, as a fraction of their"
        yield "sum of squares, the inputs being the dense model's."
        yield ""
    yield from table(
        ("matrix", "layer", "weights", "pruned", "sparsity", "error"), rows
    )
