"""Statistics of right and wrong answers."""

import numpy as np
from jaxtyping import Bool
from scipy.stats import binomtest


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
