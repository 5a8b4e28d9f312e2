"""The largest sparsity one can afford: up through the sparsities on validation
questions while the loss is shown to be within a margin, and one look at test questions.

At each sparsity Tango's one-sided 95 % bound of the paired difference says which loss
the answers do not exclude. The first sparsity where that is more than the margin ends
the search, so that what is chosen holds there and at every smaller one asked for, and
no correction for their number is needed. Test questions are asked of that one alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxsparse import stats, variants
from jaxsparse.cbt import Question, chance
from jaxsparse.evaluation import Scorer
from jaxsparse.journal import Journal
from jaxsparse.model import Model
from jaxsparse.points import Point
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.sweep import evaluate
from jaxsparse.types import InputError, Presentation
from jaxsparse.variants import Variant


@dataclass(frozen=True, eq=False)
class Trial:
    """A pruned model against the dense one, on the same questions."""

    point: Point
    dense: Point

    @property
    def loss(self) -> float:
        """Of accuracy, a fraction; below 0 a gain."""
        return self.dense.accuracy - self.point.accuracy

    @property
    def largest_loss(self) -> float:
        """The largest that the answers do not exclude (95 %), a fraction."""
        correct, dense = self.point.answers.correct, self.dense.answers.correct
        gained = int(np.count_nonzero(correct & ~dense))
        lost = int(np.count_nonzero(dense & ~correct))
        return stats.largest_loss(gained, lost, len(correct))

    def __str__(self) -> str:
        return f"sparsity {self.point.sparsity:g}: {self.figures}"

    @property
    def figures(self) -> str:
        return (
            f"{percent(self.point.accuracy)} % right, dense "
            f"{percent(self.dense.accuracy)} %; a loss of more than "
            f"{percent(self.largest_loss)} points is excluded"
        )


@dataclass(frozen=True, eq=False)
class Affordable:
    """What was found; see `largest_affordable`."""

    margin: float  # a fraction
    trials: tuple[Trial, ...]  # on validation questions, ascending; where not all are
    # within the margin, the last alone is not
    variant: Variant | None  # the last that is; None: not even the first
    test: Trial | None  # of this one, on test questions

    def within(self, trial: Trial) -> bool:
        """Whether a loss of more than the margin is excluded."""
        return trial.largest_loss <= self.margin

    @property
    def confirmed(self) -> bool:
        """Whether the test questions exclude it, too, and dense is right about more of
        them than by chance: or there would be nothing to lose."""
        test = self.test
        return test is not None and self.within(test) and above_chance(test.dense)

    @property
    def verdict(self) -> str:
        """What the test questions say of the sparsity that was chosen."""
        if self.test is None:
            return "none"
        point, figures = self.test.point, self.test.figures
        said = "confirm it" if self.confirmed else "do NOT confirm it"
        if not above_chance(self.test.dense):
            figures += "; dense is not shown to be above chance"
        questions = f"{len(point.questions):,} test questions"
        return f"{point.sparsity:g}; {questions} {said}: {figures}"


def percent(fraction: float) -> str:
    """With two digits, as margins are compared with what is said."""
    return f"{100 * fraction:.2f}"


def largest_affordable(
    model: Model,
    pruned: Iterable[Variant],
    validation: Sequence[Question],
    test: Sequence[Question],
    margin: float,
    presentation: Presentation | None = None,
    *,
    batch_tokens: int = 0,
    journal: Journal | None = None,
    progress: Progress = NOBODY,
) -> Affordable:
    """The largest sparsity at which a loss of more than a margin is excluded.

    Args:
        model: the dense one.
        pruned: the same model pruned, sparsity ascending; asked for one by one, and no
            further than needed.
        margin: the largest loss of accuracy that is accepted, a fraction.
        presentation: how questions are put.
        batch_tokens: rows x length that a batch may have; 0: what suits the device.
        journal: where answers are looked up first and kept.

    Raises:
        InputError: too few questions to exclude such a loss at all, or the dense model
            is not shown to be above chance, so that there is nothing to lose.
        ValueError: nothing is pruned, or sparsities do not ascend.
    """
    check_questions(margin, validation=len(validation), test=len(test))
    put = presentation or Presentation()
    journal = journal or Journal()
    scorer = Scorer(1, model.compiler_options, model.mesh, progress, model.form)
    options = {
        "batch_tokens": batch_tokens, "journal": journal, "progress": progress,
        "scorer": scorer,
    }  # fmt: skip

    def asked(questions: Sequence[Question], *curves: Variant) -> list[Point]:
        return list(evaluate(curves, questions, put, **options))

    trials: list[Trial] = []
    chosen = dense = None
    for variant in pruned:
        if dense is None:
            dense = variants.dense(model, variant.recipe)
            _check_above_chance(*asked(validation, dense))
        elif variant.sparsity <= trials[-1].point.sparsity:
            raise ValueError(f"sparsity {variant.sparsity:g} does not ascend")
        start, point = asked(validation, dense, variant)
        trials.append(Trial(point, start))
        if trials[-1].largest_loss > margin:
            break
        chosen = variant
    if dense is None:
        raise ValueError("nothing is pruned")
    if chosen is None:
        return Affordable(margin, tuple(trials), None, None)
    start, point = asked(test, dense, chosen)
    return Affordable(margin, tuple(trials), chosen, Trial(point, start))


def check_questions(margin: float, **questions: int) -> None:
    """Raises InputError unless there are enough of each split to exclude a loss of more
    than the margin, a fraction, where no answer changes."""
    excluded = f"a loss of more than {100 * margin:g} points"
    if margin <= 0:
        raise InputError(
            f"{excluded} is excluded by no number of questions; accept more than 0"
        )
    fewest = stats.fewest_questions(margin)
    for split, number in questions.items():
        if number < fewest:
            raise InputError(
                f"with {number} {split} questions {excluded} could not be excluded "
                f"even if no answer changed; ask at least {fewest} of each split"
            )


def above_chance(dense: Point) -> bool:
    """Whether a model is, by its interval. A report claims nothing of others."""
    return dense.pooled.ci_low > chance(dense.questions)


def _check_above_chance(dense: Point) -> None:
    blind, pooled = chance(dense.questions), dense.pooled
    if not above_chance(dense):
        raise InputError(
            f"{dense.setup.model}: dense answers {100 * dense.accuracy:.1f} % of "
            f"{pooled.questions:,} {dense.split} questions right (95 % interval "
            f"{100 * pooled.ci_low:.1f} to {100 * pooled.ci_high:.1f}), which is not "
            f"shown to be above chance, {100 * blind:.1f} %: there is nothing to lose; "
            "take another model, or more questions"
        )
