"""Statistics of right and wrong answers."""

import functools
from collections.abc import Sequence
from itertools import count, pairwise, takewhile
from math import ceil, sqrt

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


def difference_interval(
    gained: int, lost: int, questions: int, level: float = 0.95
) -> tuple[float, float]:
    """The score interval of a difference in accuracy on the same questions (low, high),
    as fractions: (gained - lost) / questions, and what the data do not exclude.

    A difference is inside if a score test of it, at 1 - `level`, does not reject it.
    Unlike a bootstrap's or Wald's, it has a width where no answer differs: four
    questions that both answer alike exclude no loss below a half. Of the one-sided
    bound at 95 %, `level` is 0.9.

    Args:
        gained: questions that only the first of the two gets right.
        lost: questions that only the second gets right.

    Raises:
        ValueError: no questions, counts that are not among them, or a level that is not
            between 0 and 1.

    Source: Tango (1998), "Equivalence test and confidence interval for the difference
    in proportions for the paired-sample design".
    """
    if questions < 1 or min(gained, lost) < 0 or gained + lost > questions:
        raise ValueError(f"{gained} gained and {lost} lost of {questions} questions")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    z = float(norm.isf((1 - level) / 2))
    low = _lowest_difference(gained, lost, questions, z)
    return low, -_lowest_difference(lost, gained, questions, z)


def largest_loss(gained: int, lost: int, questions: int, alpha: float = 0.05) -> float:
    """The largest loss of accuracy, a fraction, that the data do not exclude: Tango's
    one-sided bound at 1 - `alpha`, see `difference_interval`. Below 0: a gain."""
    low, _ = difference_interval(gained, lost, questions, 1 - 2 * alpha)
    return -low


def fewest_questions(margin: float, alpha: float = 0.05) -> int:
    """The fewest questions with which `largest_loss` can be within a margin, a fraction
    above 0: if no answer changes, it is z²/(n + z²)."""
    z = float(norm.isf(alpha))
    return ceil(z**2 * (1 / margin - 1))


def _lowest_difference(gained: int, lost: int, n: int, z: float) -> float:
    """The difference, below the one observed of n, whose score statistic is `z`."""

    def excess(difference: float) -> float:
        """Above 0 where the statistic is above `z`: the difference is rejected."""
        # The share of questions lost that is most likely under this difference.
        b = (2 * n - gained + lost) * difference - gained - lost
        root = sqrt(max(b**2 + 8 * n * lost * difference * (1 - difference), 0.0))
        share = (root - b) / (4 * n)
        variance = n * (2 * share + difference * (1 - difference))
        return gained - lost - n * difference - z * sqrt(max(variance, 0.0))

    if lost == n:
        return -1.0
    # Just below the observed difference: there both terms can vanish at once.
    below = (gained - lost) / n - 1e-9
    return float(root_scalar(excess, bracket=(-1, below), xtol=1e-12).root)


# The bootstraps draw counts: drawing n of n things with replacement and counting each
# kind is one multinomial draw (of two kinds, a binomial one).


def class_mean_interval(
    correct: Bool[np.ndarray, " question"], classes: Sequence[str], seed: int = 0
) -> tuple[float, tuple[float, float] | None]:
    """The mean over classes of their accuracies, and its 95 % interval: mean, (low,
    high), as fractions. Each class weighs the same, however many questions it has.

    The interval is a stratified percentile bootstrap, in which each class keeps its
    number of questions: the same for the same seed, and in whichever order the
    questions stand. A class that is all right or all wrong adds no width. None where
    that cannot be taken for precision: a class has one question, or all classes are so.

    Raises:
        ValueError: no questions, or not one class for each.

    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    labels = _labels("class", classes, len(correct))
    totals, right = np.bincount(labels), np.bincount(labels, correct)
    mean = float((right / totals).mean(-1))
    if totals.min() < 2 or not np.any((right > 0) & (right < totals)):
        return mean, None
    size = RESAMPLES, len(totals)
    drawn = _generator(seed).binomial(totals, right / totals, size)
    return mean, _percentiles((drawn / totals).mean(-1))


def cluster_interval(
    correct: Bool[np.ndarray, " question"], stories: Sequence[str], seed: int = 0
) -> tuple[float, float] | None:
    """The 95 % interval of the accuracy over all questions, as fractions (low, high),
    where questions of one story stand or fall together.

    A percentile bootstrap over whole stories, drawn with replacement; the same for the
    same seed, and in whichever order the questions stand. None where all stories are
    answered equally well, or there is but one: a bootstrap would have no width.

    Raises:
        ValueError: no questions, or not one story for each.

    Source: Davison and Hinkley (1997), "Bootstrap Methods and their Application",
    section 3.8.
    """
    labels = _labels("story", stories, len(correct))
    totals, right = np.bincount(labels), np.bincount(labels, correct)
    if np.ptp(right / totals) == 0:
        return None
    drawn = _stories_drawn(len(totals), seed)
    return _percentiles((drawn @ right) / (drawn @ totals))


@functools.lru_cache(maxsize=8)
def _stories_drawn(stories: int, seed: int) -> Float[np.ndarray, "resample story"]:
    """How often each story is drawn. Every point of a table draws the same, so it is
    kept; of many stories there are fewer resamples, to save memory."""
    resamples = RESAMPLES if stories <= 500 else 999
    chances = np.full(stories, 1 / stories)
    drawn = _generator(seed).multinomial(stories, chances, size=resamples)
    return drawn.astype(np.float32)


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


def holds_up_to(sparsities: Sequence[float], holds: Sequence[bool]) -> float:
    """The largest sparsity at which, and at every smaller one, something holds: that no
    loss is detected, say, or that a large one is excluded. 0.0 where it holds not even
    at the first, or there is none.

    The first exception ends it even if it holds again at a larger sparsity: pruning
    more does not mend what pruning less has broken.

    Raises:
        ValueError: sparsities that do not ascend, or not one of `holds` for each.
    """
    _check_curve(sparsities, holds)
    before = takewhile(lambda point: point[1], zip(sparsities, holds, strict=True))
    return max((float(sparsity) for sparsity, _ in before), default=0.0)


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


def _labels(
    kind: str, names: Sequence[str], questions: int
) -> Int[np.ndarray, " question"]:
    """Each question's class or story as a number; numbered by name."""
    if not questions or len(names) != questions:
        raise ValueError(
            f"a bootstrap needs a {kind} for each of one or more questions; got "
            f"{len(names)} for {questions} questions"
        )
    numbers = {name: number for number, name in enumerate(sorted({*names}))}
    return np.array([numbers[name] for name in names])


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
