"""The curves of a panel as numbers and in words; how they are drawn is for others."""

from dataclasses import dataclass

from jaxsparse import plots
from jaxsparse.report.cells import duration


@dataclass(frozen=True)
class Line(plots.Series):
    """A curve whose points say what was counted, and lead to their questions.

    A point may stand for several seeds: then it is their mean, its interval goes from
    the lowest to the highest, and it leads to the questions of the first.
    """

    achieved: tuple[float, ...]  # sparsity of the prunable weights
    correct: tuple[int, ...]  # of the first seed
    questions: int
    seconds: tuple[float, ...]  # that a question took
    names: tuple[str, ...]  # of the points; dense has none
    seeds: tuple[int, ...]  # how many, of each point
    address: tuple[tuple[str, str], ...]  # of its questions, but for the sparsity

    @property
    def name(self) -> str:
        """What the line is, without the panel around it."""
        asked = dict(self.address)
        word_class = asked["class"]
        suffix = "" if word_class == "all" else f" · {word_class}"
        return f"{asked['model']} · {asked['label']}{suffix}"

    def told(self, at: int, timed: bool) -> str:
        """A point in words, a line each."""
        sparsity = self.sparsities[at]
        left = f"{100 * (1 - self.achieved[at]):.4g} % of the prunable weights left"
        accuracy, low, high = (
            f"{100 * value:.1f}"
            for value in (self.accuracy[at], self.low[at], self.high[at])
        )
        if self.seeds[at] > 1:
            counted = [
                f"accuracy {accuracy} %, mean of {self.seeds[at]} seeds from {low} to "
                f"{high}"
            ]
        else:
            counted = [
                f"accuracy {accuracy} %, 95 % interval {low} to {high}",
                f"{self.correct[at]} of {self.questions} questions right",
            ]
        return "\n".join([
            self.name,
            f"sparsity {sparsity:g}: {left}" if sparsity else f"dense: {left}",
            *counted,
            *([f"{duration(self.seconds[at])} a question"] if timed else []),
        ])  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What is right without a model: a level line."""

    label: str
    short: str  # beside the line
    accuracy: float  # fraction


@dataclass(frozen=True)
class Panel:
    title: str
    lines: tuple[Line, ...]
    references: tuple[Reference, ...]

    def described(self, timed: bool) -> str:
        """The panel for those who do not see it."""
        texts = [
            f"{line.label}: "
            + ", ".join(
                f"{100 * accuracy:.1f} % at {sparsity:g}"
                + (f" in {duration(taken)}" if timed else "")
                for sparsity, accuracy, taken in zip(
                    line.sparsities, line.accuracy, line.seconds, strict=True
                )
            )
            for line in self.lines
        ]
        texts += [
            f"{reference.label}: {100 * reference.accuracy:.1f} %"
            for reference in self.references
        ]
        told = "Accuracy and time of a question" if timed else "Accuracy"
        return f"{self.title}. {told} at each sparsity. {'; '.join(texts)}."
