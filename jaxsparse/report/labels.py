"""Short names of models, of how they were set up, and of curves."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from jaxsparse.cbt import CLASS_NAMES, Question
from jaxsparse.points import Curve, Point, Setup


def is_task(questions: Sequence[Question]) -> bool:
    """Whether the questions are no CBT: their groups are no word classes."""
    return any(map(attrgetter("task"), questions))


def classes_of(questions: Sequence[Question]) -> tuple[str, str]:
    """What one class of the questions is called, and several."""
    if is_task(questions):
        return "group", "groups"
    return "word class", "word classes"


def class_names(questions: Sequence[Question]) -> Mapping[str, str]:
    """What CBT's classes stand for; a task's groups stand for themselves."""
    return {} if is_task(questions) else CLASS_NAMES


def row_limit(context_tokens: int) -> str:
    """How long a row may be, by what was asked for."""
    return f"at most {context_tokens:,} tokens" if context_tokens else "the usual limit"


PLAIN = ("unstructured", "uniform")  # patterns and allocations need no word for these


class Labels:
    """Short names of setups and curves: of what is the same everywhere in a report,
    nothing is said."""

    def __init__(self, points: Sequence[Point]):
        self._curves = list(dict.fromkeys(point.curve for point in points))

    def _differs(self, value: Any, title: str = "") -> bool:
        """Whether it does for two curves, perhaps of one method; None or an empty text
        is of curves that have no such thing."""
        of = [c for c in self._curves if title in ("", c.recipe.title)]
        return len({value(curve) for curve in of} - {None, ""}) > 1

    def presentation(self, setup: Setup) -> str:
        """How questions are put: the protocol, and what else is not the same for all of
        the report."""
        put = setup.presentation
        texts = [put.protocol]
        if self._differs(lambda curve: curve.setup.presentation.context):
            texts.append(
                {"query": "query only", "last": "last sentence"}.get(
                    put.context, f"{put.context} context"
                )
            )
        if self._differs(lambda curve: curve.setup.presentation.detokenize):
            texts.append(f"detokenize {put.detokenize}")
        if self._differs(lambda curve: curve.setup.presentation.context_tokens):
            texts.append(f"rows of {row_limit(put.context_tokens)}")
        if self._differs(lambda curve: curve.setup.dtype):
            texts.append(setup.dtype)
        return ", ".join(texts)

    def setup(self, setup: Setup) -> str:
        return f"{setup.model} · {self.presentation(setup)}"

    def curve(self, curve: Curve, *without: str) -> str:
        """The curve among all of the report.

        Args:
            without: as of `method`.
        """
        return f"{curve.setup.model} · {self.line(curve, *without)}"

    def method(self, curve: Curve, *without: str) -> str:
        """How the model was pruned, by as much as tells it from the others.

        Args:
            without: pattern: nothing of N:M, which columns say; patterns that share the
                sparsities of others stay. training: nothing of how it was trained back.
                seed: nothing of that.
        """
        recipe = curve.recipe
        texts = [recipe.title]
        for name in (
            "scope", "prunable", "pattern", "allocation", "statistics",
        ):  # fmt: skip
            # Scope and order are a method's own: between methods, the name says it.
            among = recipe.title if name in ("scope", "statistics") else ""
            value = getattr(recipe, name)
            differs = self._differs(lambda c, name=name: getattr(c.recipe, name), among)
            if name == "pattern" and (recipe.structured or "pattern" in without):
                continue  # the title, or something else, says it
            if differs and value not in (None, "", *PLAIN):
                texts.append(value)
        if curve.training and "training" not in without:
            title = curve.training.title
            differs = self._differs(lambda c: c.training and c.training.title)
            texts.append(f"fine-tuned ({title})" if differs else "fine-tuned")
        if "seed" not in without and self._differs(attrgetter("seed")):
            texts += [f"seed {curve.seed}"] if curve.seed is not None else []
        if self._differs(attrgetter("execution")) and curve.execution != "dense":
            texts.append(curve.execution)
        return ", ".join(texts)

    def pruning(self, curve: Curve, *without: str) -> str:
        """The curve among those of its model where nothing is said of questions."""
        method = self.method(curve, *without)
        if self._differs(lambda curve: curve.setup.dtype):
            return f"{method}, {curve.setup.dtype}"
        return method

    def pruned(self, curve: Curve) -> str:
        """The same among all of the report, without N:M."""
        return f"{curve.setup.model} · {self.pruning(curve, 'pattern')}"

    def line(self, curve: Curve, *without: str) -> str:
        """The curve among those of its model."""
        presentation = self.presentation(curve.setup)
        if len({self.method(other) for other in self._curves}) == 1:
            return presentation
        return f"{presentation}, {self.method(curve, *without)}"
