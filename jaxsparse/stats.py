"""Statistics of right and wrong answers."""

from collections.abc import Sequence
from itertools import count, pairwise
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import root_scalar
from scipy.stats import binom, binomtest, norm

RESAMPLES = 9_999  # of every bootstrap


def wilson(correct: int, questions: int) -> tuple[float, float]:
    """The 95 % score interval of an accuracy, as fractions (low, high).

    Raises:
        ValueError: no questions, or a number correct that is not among them.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical
    inference", without continuity correction.
    """
    interval = binomtest(correct, questions).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(
    correct: Bool[np.ndarray, " question"], dense: Bool[np.ndarray, " question"]
) -> float:
    """The two-sided p-value of a difference in accuracy on the same questions.

    The exact (binomial) form: were there no difference, each question that only one of
    the two gets right would go to either by a fair coin. 1.0 when there are none.

    Source: McNemar (1947), "Note on the sampling error of the difference between
    correlated proportions or percentages".
    """
    gained = int(np.count_nonzero(correct & ~dense))
    lost = int(np.count_nonzero(dense & ~correct))
    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost).pvalue)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values of one table, adjusted for their number; in the order given.

    Those below alpha are significant, with a chance of at most alpha that any of them
    is a false alarm.

    Raises:
        ValueError: a p-value is not in [0, 1].

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    p = np.array(p_values, float)
    wrong = p[~((p >= 0) & (p <= 1))]
    if wrong.size:
        raise ValueError(f"p-values must lie in [0, 1]; got {wrong.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return tuple(np.minimum(adjusted, 1).tolist())


# The two bootstraps are stratified: each class keeps its number of questions. Drawing n
# of its n answers with replacement and counting each kind is one multinomial draw (of
# two kinds, a binomial one), so we draw the counts.


def class_mean_interval(
    correct: Bool[np.ndarray, " question"], classes: Sequence[str], seed: int = 0
) -> tuple[float, float, float]:
    """The mean over classes of their accuracies, and its 95 % interval: (mean, low,
    high), as fractions. Each class weighs the same, however many questions it has.

    The interval is a stratified percentile bootstrap: the same for the same seed, and
    in whichever order the questions stand. Where a class is all right or all wrong, it
    adds no width.

    Raises:
        ValueError: no questions, or not one class for each.

    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    labels = _labels(classes, len(correct))
    totals, right = np.bincount(labels), np.bincount(labels, correct)
    drawn = _generator(seed).binomial(
        totals, right / totals, size=(RESAMPLES, len(totals))
    )
    low, high = _percentiles((drawn / totals).mean(-1))
    return float((right / totals).mean(-1)), low, high


def paired_difference(
    correct: Bool[np.ndarray, " question"],
    dense: Bool[np.ndarray, " question"],
    classes: Sequence[str],
    seed: int = 0,
) -> tuple[float, float, float]:
    """The accuracy less the dense one over all questions, pooled, and its 95 %
    interval: (difference, low, high), as fractions.

    A question's difference is -1 (lost), 0 or 1 (gained); these are what the bootstrap
    of `class_mean_interval` resamples here, so that both answers to a question stay
    together.

    Raises:
        ValueError: no questions, or not one class for each.

    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    labels = _labels(classes, len(correct))
    totals = np.bincount(labels)
    gained = np.bincount(labels, correct & ~dense)
    lost = np.bincount(labels, dense & ~correct)
    kinds = np.stack([gained, lost, totals - gained - lost], -1)
    drawn = _generator(seed).multinomial(
        totals, kinds / totals[:, None], size=(RESAMPLES, len(totals))
    )
    net = (drawn[..., 0] - drawn[..., 1]).sum(-1)
    low, high = _percentiles(net / len(correct))
    return float((gained - lost).sum() / len(correct)), low, high


def fewest_significant(alpha: float = 0.05) -> int:
    """The fewest changed answers, all lost, that `mcnemar` finds significant.

    Raises:
        ValueError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1; got {alpha}")
    return next(n for n in count(1) if binomtest(0, n).pvalue < alpha)


def detectable_difference(
    questions: int, changed: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The smallest difference in accuracy, as a fraction, that McNemar's test finds at
    level `alpha` with probability `power`; None where it would miss even the largest.

    `changed` is the share of questions that one of the two gets right and the other
    wrong. The largest difference is that share: all changed answers are lost.

    The formula is that of the normal approximation; the exact test needs slightly more.

    Raises:
        ValueError: a negative number of questions, a share not in [0, 1], an alpha not
            between 0 and 1, or a power not in [0.5, 1).

    Source: Connor (1987), "Sample size for testing differences in proportions for the
    paired-sample design", after Miettinen (1968).
    """
    if questions < 0:
        raise ValueError(f"questions must be 0 or more; got {questions}")
    if not 0 <= changed <= 1:
        raise ValueError(f"changed must lie in [0, 1]; got {changed}")
    if not 0.5 <= power < 1:  # below a half, the excess need not grow with d
        raise ValueError(f"power must lie in [0.5, 1); got {power}")
    fewest = fewest_significant(alpha)
    z_alpha, z_power = float(norm.isf(alpha / 2)), float(norm.ppf(power))

    def excess(d: float) -> float:
        """Below 0 where `questions` are too few for a difference of d."""
        spread = z_alpha * sqrt(changed) + z_power * sqrt(changed - d**2)
        return sqrt(questions) * d - spread

    found = binom.sf(fewest - 1, questions, changed) >= power  # were all of them lost
    if not found or excess(changed) < 0:
        return None
    return float(root_scalar(excess, bracket=(0, changed), xtol=1e-12).root)


def kept_for_free(sparsities: Sequence[float], below: Sequence[bool]) -> float:
    """The largest sparsity up to which no accuracy is significantly below dense.

    `below` says which are. One of them ends it even if a larger sparsity is not:
    pruning more does not mend what pruning less has broken, so a curve that dips and
    comes back came back by luck. 0.0 where even the first is below, or there is none.

    Raises:
        ValueError: sparsities that do not ascend, or not one of `below` for each.
    """
    _check_curve(sparsities, below)
    kept = 0.0
    for sparsity, is_below in zip(sparsities, below, strict=True):
        if is_below:
            break
        kept = float(sparsity)
    return kept


def half_life(
    sparsities: Sequence[float], accuracies: Sequence[float], chance: float
) -> float | None:
    """The first sparsity at which half of the dense accuracy above chance is gone.

    Sparsities ascend from 0, the dense model; between two of them the accuracy is taken
    to be linear. None where the dense one is not above chance, or the curve stays above
    the half.

    Raises:
        ValueError: sparsities that do not ascend from 0, or not one accuracy for each.
    """
    _check_curve(sparsities, accuracies)
    if not sparsities or sparsities[0] != 0:
        raise ValueError(f"sparsities must start at 0, dense; got {list(sparsities)}")
    dense = accuracies[0]
    half = chance + (dense - chance) / 2
    if not half < dense:
        return None
    points = zip(sparsities, accuracies, strict=True)
    for (left, above), (right, reached) in pairwise(points):
        if reached <= half:
            return float(left + (right - left) * (above - half) / (above - reached))
    return None


def _labels(classes: Sequence[str], questions: int) -> Int[np.ndarray, " question"]:
    """Each question's class as a number; numbered by name."""
    if not questions or len(classes) != questions:
        raise ValueError(
            f"a bootstrap needs a class for each of one or more questions; got "
            f"{len(classes)} classes and {questions} questions"
        )
    return np.unique(np.asarray(classes), return_inverse=True)[1]


def _generator(seed: int) -> np.random.Generator:
    """`default_rng` may change what it gives; PCG64 stays PCG64."""
    return np.random.Generator(np.random.PCG64(seed))


def _percentiles(resampled: Float[np.ndarray, " resample"]) -> tuple[float, float]:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return float(low), float(high)


def _check_curve(sparsities: Sequence[float], values: Sequence[float | bool]) -> None:
    if len(sparsities) != len(values):
        raise ValueError(f"{len(sparsities)} sparsities for {len(values)} values")
    if not all(left < right for left, right in pairwise(sparsities)):
        raise ValueError(f"sparsities must ascend; got {list(sparsities)}")
