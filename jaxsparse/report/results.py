"""One point of one curve and every answer there: what all files and tables are made of,
whether it has just been scored or is read from the files of an earlier run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxsparse.accuracy import Accuracy, accuracies
from jaxsparse.cbt import Question
from jaxsparse.model import Model
from jaxsparse.sweep import MatrixSparsity, Point, Recipe

RECIPE_COLUMNS = (
    "model", "family", "protocol", "context", "detokenize", "method", "pattern",
    "scope", "prunable", "dtype", "seed", "sparsity", "achieved_sparsity",
    "total_sparsity", "finetuned", "word_class", "split",
)  # fmt: skip
POOLED = "all"  # in place of a word class


@dataclass(frozen=True)
class Asking:
    """A model, and how it was asked: what a table is about."""

    model: str  # as it is called in this report
    family: str
    dtype: str
    protocol: str
    context: str
    detokenize: str


@dataclass(frozen=True)
class Curve:
    """All that the points of one line of a plot share."""

    asking: Asking
    recipe: Recipe
    finetuned: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """One point of a curve, and all answers there; equal to itself only."""

    curve: Curve
    digest: str  # of the dense model's content
    sparsity: float  # as requested
    achieved_sparsity: float  # of the prunable set
    total_sparsity: float  # of all parameters
    questions: tuple[Question, ...]
    option_tokens: Int[np.ndarray, "question option"]
    scores: Float[np.ndarray, "question option"]  # nats, or probabilities
    correct: Bool[np.ndarray, " question"]
    accuracies: tuple[Accuracy, ...]  # of each word class, and of all
    matrices: tuple[MatrixSparsity, ...] = ()

    @classmethod
    def of(cls, model: Model, point: Point) -> "Result":
        asked = point.asked
        asking = Asking(
            model.name,
            model.family,
            model.dtype,
            asked.protocol,
            asked.context,
            asked.detokenize,
        )
        return cls(
            curve=Curve(asking, point.recipe),
            digest=model.digest,
            sparsity=point.sparsity,
            achieved_sparsity=point.achieved_sparsity,
            total_sparsity=point.total_sparsity,
            questions=asked.questions,
            option_tokens=np.array(asked.option_tokens, np.int32),
            scores=point.scores.scores,
            correct=point.scores.correct(asked.questions),
            accuracies=tuple(accuracies(asked, point.scores, point.dense)),
            matrices=point.matrices,
        )

    @property
    def asking(self) -> Asking:
        return self.curve.asking

    @property
    def pooled(self) -> Accuracy:
        """The accuracy over all questions."""
        return self.accuracies[-1]

    @property
    def predicted(self) -> Int[np.ndarray, " question"]:
        """The best option of each question; the first of equals."""
        return np.argmax(self.scores, axis=1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The word class of each question."""
        return tuple(question.word_class for question in self.questions)

    @property
    def stories(self) -> int:
        """How many stories the questions come from; 0 where that is not known."""
        known = {question.story for question in self.questions}
        return 0 if "" in known else len(known)

    @property
    def split(self) -> str:
        """The split of the questions; several are joined by +."""
        return "+".join(dict.fromkeys(question.split for question in self.questions))

    def recipe(self) -> dict[str, Any]:
        """The recipe columns, but for word class and split."""
        columns = {
            field.name: getattr(self.asking, field.name)
            for field in fields(self.asking)
        } | {
            field.name: getattr(self.curve.recipe, field.name)
            for field in fields(self.curve.recipe)
        }
        columns |= {
            "sparsity": self.sparsity,
            "achieved_sparsity": self.achieved_sparsity,
            "total_sparsity": self.total_sparsity,
            "finetuned": self.curve.finetuned,
        }
        return {name: columns[name] for name in RECIPE_COLUMNS if name in columns}


def by_asking(results: Sequence[Result]) -> Iterator[tuple[Asking, list[Result]]]:
    """The results of each table, in the order of the run."""
    groups: dict[Asking, list[Result]] = {}
    for result in results:
        groups.setdefault(result.asking, []).append(result)
    yield from groups.items()


def by_curve(results: Sequence[Result]) -> Iterator[tuple[Curve, list[Result]]]:
    """The points of each line of a plot, sparsity ascending."""
    groups: dict[Curve, list[Result]] = {}
    for result in results:
        groups.setdefault(result.curve, []).append(result)
    for curve, members in groups.items():
        yield curve, sorted(members, key=lambda result: result.sparsity)


def dense_of(results: Sequence[Result], asking: Asking) -> Result | None:
    """The point of the unpruned, one-shot model, if it is among the results."""
    for result in results:
        if (
            result.asking == asking
            and not result.sparsity
            and not result.curve.finetuned
        ):
            return result
    return None


class Labels:
    """Short names of askings and curves: of what is the same everywhere in a report,
    nothing is said."""

    def __init__(self, results: Sequence[Result]):
        self._curves = list(dict.fromkeys(result.curve for result in results))

    def _differs(self, value: Any) -> bool:
        """Whether it does for two curves; None is of curves that have no such thing."""
        return len({value(curve) for curve in self._curves} - {None}) > 1

    def way(self, asking: Asking) -> str:
        """How the model was asked: its protocol, and what else is not the same for all
        of the report."""
        said = [asking.protocol]
        if self._differs(lambda curve: curve.asking.context):
            said.append(
                {"query": "query only", "last": "last sentence"}.get(
                    asking.context, f"{asking.context} context"
                )
            )
        if self._differs(lambda curve: curve.asking.detokenize):
            said.append(f"detokenize {asking.detokenize}")
        if self._differs(lambda curve: curve.asking.dtype):
            said.append(asking.dtype)
        return ", ".join(said)

    def asking(self, asking: Asking) -> str:
        return f"{asking.model} · {self.way(asking)}"

    def curve(self, curve: Curve) -> str:
        """The curve among all of the report."""
        return f"{curve.asking.model} · {self.line(curve)}"

    def method(self, curve: Curve) -> str:
        """How the model was pruned, by as much as tells it from the others."""
        recipe = curve.recipe
        said = [recipe.method]
        for name in "scope", "prunable", "pattern", "seed":
            if self._differs(lambda other, name=name: getattr(other.recipe, name)):
                value = getattr(recipe, name)
                if value is not None:  # a method that draws nothing has no seed
                    said.append(f"seed {value}" if name == "seed" else value)
        if curve.finetuned:
            said.append("fine-tuned")
        return ", ".join(said)

    def line(self, curve: Curve) -> str:
        """The curve among those of its model."""
        methods = {self.method(other) for other in self._curves}
        told = f", {self.method(curve)}" * (len(methods) > 1)
        return f"{self.way(curve.asking)}{told}"
