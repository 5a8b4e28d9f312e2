"""The model card of an exported directory: README.md, as the Hugging Face hub shows it.

It says what the model is, how it was made and how it is loaded. Texts that are somebody
else's (names, paths, a command) are escaped: none of them can end a table or a block.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jaxsparse.affordable import Affordable, percent
from jaxsparse.calibration import Calibration
from jaxsparse.points import Point
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.variants import Variant

NAME = "README.md"
CLASSES = {  # of transformers, by how a configuration reads
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "replaced": "AutoModelForPreTraining",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
READER = """\
import glob, json
import numpy as np, safetensors
tensors = {}
for path in glob.glob("*.bitmask.safetensors"):
    file = safetensors.safe_open(path, "numpy")
    tensors |= {name: file.get_tensor(name) for name in file.keys()}
    for name, shape in json.loads(file.metadata()["shapes"]).items():
        bits = np.unpackbits(tensors.pop(f"{name}.bitmask"), bitorder="little")
        tensors[name] = np.zeros(shape, tensors[f"{name}.values"].dtype)
        tensors[name].flat[np.flatnonzero(bits)] = tensors.pop(f"{name}.values")"""
_PYTHON = (
    "```python",
    "import jaxsparse", "",
    'model = jaxsparse.load_model(".")',
    "```",
)  # fmt: skip
_FASTER = (
    "", 'On a CPU `jaxsparse.load_model(".", execution="auto")` multiplies only the '
    "weights that are", "not zero, where that is faster.",
)  # fmt: skip
_AS_DENSE = (
    "", "`transformers` does not read this format. This writes a directory that it "
    "reads:", "",
    "```python",
    'jaxsparse.save(model, "dense")',
    "```",
)  # fmt: skip
_FORMAT = (
    "Files are safetensors. The metadata `shapes` is JSON: the shape of each tensor "
    "`NAME` that is",
    "stored in two parts. `NAME.bitmask` is a bit for each weight in row-major order, "
    "the lowest of",
    "a byte first: 1 where a value is kept. `NAME.values` are these values in order. "
    "Other tensors",
    "are stored as they are. To read all of it, in this directory:", "",
    "```python",
    *READER.split("\n"),
    "```", "",
    "Values in bfloat16 need `import ml_dtypes` as well, which tells NumPy of it.",
)  # fmt: skip
_SPECIAL = {ord(letter): f"\\{letter}" for letter in "\\`*_[]<>|~&#"}


def text(
    variant: Variant,
    command: str,
    versions: Mapping[str, str | None],
    calibration: Calibration | None = None,
    checked: str = "",
    points: Sequence[Point] = (),
    repository: str | None = None,
    format: str = "dense",
    affordable: Affordable | None = None,
) -> str:
    """All of README.md.

    Args:
        command: what made the directory.
        versions: of packages, by name; None where one is not installed.
        calibration: the rows beside it, in calibration.parquet, if there are any.
        checked: what their text was searched for, and what was found.
        points: where a run measured this very variant.
        repository: the hub's id of the dense model, if it is from there.
        format: of the weights.
        affordable: how the sparsity was chosen, if it was looked for.
    """
    model, sparsity = variant.model, variant.sparsity
    name = _escaped(model.name)
    title = f"{name}, pruned to sparsity {sparsity:g}" if sparsity else name
    versions = {name: version for name, version in versions.items() if version}
    library = "jaxsparse" if format == "bitmask" else "transformers"
    lines = [*_front_matter(variant, library, repository), f"# {title}", ""]
    has_zeros = sparsity and not variant.recipe.structured
    faster = _FASTER if has_zeros else ()
    if sparsity and variant.recipe.structured:
        lines += [_removed(variant), ""]
    if format == "bitmask":
        lines += [
            "Weights are stored as one bit each and the values that are not zero, "
            "see \"Format\".", "",
        ]  # fmt: skip
    elif has_zeros:
        lines += [
            "Pruned weights are stored as zeros, in files as large as the dense "
            "model's.", "",
        ]  # fmt: skip
    lines += _section("Recipe", _table(("", ""), _recipe(variant).items()))
    if calibration:
        rows = _calibration(calibration, checked).items()
        lines += _section("Calibration", _table(("", ""), rows))
    if affordable:
        lines += _section("Choice of the sparsity", _choice(affordable))
    if points:
        lines += _section("Scores", _scores(points))
    if format == "bitmask":
        lines += _section("Loading", [*_PYTHON, *faster, *_AS_DENSE])
        lines += _section("Format", _FORMAT)
    else:
        lines += _section("Loading", [*_loading(model.config.reading), *faster])
    if variant.matrices:
        lines += _section("Layers", _layers(variant.matrices, variant.recipe))
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    made = ["```sh", _one_line(command), "```", "", f"with {packages}"]
    lines += _section("Made by", made)
    return "\n".join(lines)


def measured(variant: Variant) -> list[tuple[float, MatrixSparsity]]:
    """The matrices with an error of reconstruction, and the error."""
    return [(m.error, m) for m in variant.matrices if m.error is not None]


def _removed(variant: Variant) -> str:
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


def _front_matter(variant: Variant, library: str, repository: str | None) -> list[str]:
    tags = ["- jaxsparse", "- pruned"] if variant.sparsity else ["- jaxsparse"]
    base = [f"base_model: {json.dumps(repository)}"] if repository else []
    return ["---", f"library_name: {library}", *base, "tags:", *tags, "---", ""]


def _recipe(variant: Variant) -> dict[str, str]:
    model, recipe = variant.model, variant.recipe
    rows = {
        "dense model": f"{_escaped(model.name)} ({model.family}), read as "
        f"{model.dtype}",
        "its digest": model.digest,
    }
    if not variant.sparsity:
        return {**rows, "sparsity": f"{variant.achieved_sparsity:.6f}, as it was"}
    rows["method"] = _escaped(recipe.method)
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


def _calibration(calibration: Calibration, checked: str) -> dict[str, str]:
    overlapping = ", overlapping" if calibration.overlapping else ""
    rows = {
        "text": _escaped(calibration.source),
        "rows": f"{calibration.rows:,}{overlapping}",
        "tokens of a row": f"{calibration.tokens_per_row:,}",
        "tokens of all the text": f"{calibration.text_tokens:,}",
        "seed": str(calibration.seed),
        "file": "`calibration.parquet`: what the model was fed",
        "SHA-256 of what was fed": calibration.digest,
    }
    return rows | ({"test questions in it": _escaped(checked)} if checked else {})


def _choice(found: Affordable) -> Iterator[str]:
    trials = [*found.trials, *([found.test] if found.test else [])]
    rows = [
        (
            _escaped(trial.point.split),
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
        f"{put.context}, detokenize {put.detokenize}; %, and losses in points:"
    )
    yield ""
    header = (
        "questions", "sparsity", "number", "right", "of the dense model", "loss",
        "largest not excluded", f"within {margin}",
    )  # fmt: skip
    yield from _table(header, rows)


def _scores(points: Sequence[Point]) -> Iterator[str]:
    rows = [
        (
            *(point.setup.presentation.protocol, point.setup.presentation.context),
            _escaped(point.split),
            _escaped(of_class.word_class),
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
    yield from _table(header, rows)
    texts = [
        (_escaped(loss.text), f"{loss.targets:,}", f"{loss.nats:.4f}")
        for loss in points[0].texts
    ]
    if texts:
        yield ""
        yield from _table(("running text", "tokens predicted", "nats a token"), texts)


def _loading(reading: str) -> Iterator[str]:
    name = CLASSES[reading]
    yield from (
        "```python",
        f"from transformers import {name}, AutoTokenizer", "",
        'directory = "."  # that of this file',
        f"model = {name}.from_pretrained(directory)",
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        "```", "",
        *_PYTHON,
    )  # fmt: skip


def _layers(matrices: Iterable[MatrixSparsity], recipe: Recipe) -> Iterator[str]:
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
    yield from _table(
        ("matrix", "layer", "weights", "pruned", "sparsity", "error"), rows
    )


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    for cells in (header, ("---",) * len(header), *rows):
        yield f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """As it is, wherever it stands in a line of markdown."""
    return _one_line(text).translate(_SPECIAL)


def _one_line(text: str) -> str:
    """What is not printable (a line's end, say) as Python writes it."""
    return "".join(
        letter if letter.isprintable() else repr(letter)[1:-1] for letter in text
    )
