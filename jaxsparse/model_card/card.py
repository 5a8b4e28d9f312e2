"""The model card as a whole."""

import json
from collections.abc import Mapping, Sequence

from jaxsparse.affordable import Affordable
from jaxsparse.calibration import Calibration
from jaxsparse.model_card import sections
from jaxsparse.model_card.loading import FORMAT, loading
from jaxsparse.model_card.markdown import escaped, one_line, section, table
from jaxsparse.model_card.sections import TrainedBack
from jaxsparse.points import Point
from jaxsparse.variants import Variant

NAME = "README.md"
_AND_TRAINED = {  # by schedule
    "oneshot": "pruned to sparsity {:g}, then fine-tuned",
    "gradual": "pruned to sparsity {:g} while it was fine-tuned",
    "dense": "fine-tuned, then pruned to sparsity {:g}",
}


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
    trained: TrainedBack | None = None,
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
        trained: what is known of training beside what a fine-tuned variant says.
    """
    versions = {name: version for name, version in versions.items() if version}
    has_zeros = variant.sparsity > 0 and not variant.recipe.structured
    lines = [*_front_matter(variant, format, repository), f"# {_title(variant)}", ""]
    if variant.sparsity and variant.recipe.structured:
        lines += [sections.removed(variant), ""]
    if format == "bitmask":
        lines += [
            "Weights are stored as one bit each and the values that are not zero, "
            'see "Format".', "",
        ]  # fmt: skip
    elif has_zeros:
        lines += [
            "Pruned weights are stored as zeros, in files as large as the dense "
            "model's.", "",
        ]  # fmt: skip
    lines += section("Recipe", table(("", ""), sections.recipe(variant).items()))
    if variant.training:
        rows = sections.training(variant, trained).items()
        lines += section("Training", table(("", ""), rows))
    if calibration:
        rows = sections.calibration(calibration, checked).items()
        lines += section("Calibration", table(("", ""), rows))
    if affordable:
        lines += section("Choice of the sparsity", sections.choice(affordable))
    if points:
        lines += section("Scores", sections.scores(points))
    how = loading(variant.model.config.reading, format, has_zeros)
    lines += section("Loading", how)
    if format == "bitmask":
        lines += section("Format", FORMAT)
    if variant.matrices:
        layers = sections.layers(variant.matrices, variant.recipe)
        lines += section("Layers", layers)
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    made = ["```sh", one_line(command), "```", "", f"with {packages}"]
    lines += section("Made by", made)
    return "\n".join(lines)


def _title(variant: Variant) -> str:
    name, sparsity = escaped(variant.model.name), variant.sparsity
    if not variant.training:
        return f"{name}, pruned to sparsity {sparsity:g}" if sparsity else name
    if not sparsity:
        return f"{name}, fine-tuned"
    return f"{name}, {_AND_TRAINED[variant.training.schedule].format(sparsity)}"


def _front_matter(variant: Variant, format: str, repository: str | None) -> list[str]:
    library = "jaxsparse" if format == "bitmask" else "transformers"
    tags = ["- jaxsparse"]
    tags += ["- pruned"] if variant.sparsity else []
    tags += ["- fine-tuned"] if variant.training else []
    base = [f"base_model: {json.dumps(repository)}"] if repository else []
    return ["---", f"library_name: {library}", *base, "tags:", *tags, "---", ""]
