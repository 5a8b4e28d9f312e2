"""Statistics against their formulas, written out."""

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.stats import mcnemar, wilson


@given(
    st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
)
def test_wilson_is_the_formula(drawn):
    correct, n = drawn
    z, p = 1.959963984540054, correct / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = wilson(correct, n)
    assert low == pytest.approx(centre - half, abs=1e-12)
    assert high == pytest.approx(centre + half, abs=1e-12)
    assert 0 <= low <= p <= high <= 1


@pytest.mark.parametrize(("correct", "questions"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(correct, questions):
    with pytest.raises(ValueError, match="must"):
        wilson(correct, questions)


def _pair(gained, lost, same):
    """Answers of two models that disagree on gained + lost questions."""
    ours = np.array([True] * gained + [False] * lost + [True, False] * same, bool)
    dense = np.array([False] * gained + [True] * lost + [True, False] * same, bool)
    return ours, dense


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_mcnemar_is_the_binomial_tail_doubled(gained, lost, same):
    n = gained + lost
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    p = mcnemar(*_pair(gained, lost, same))
    assert p == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert p == mcnemar(*_pair(lost, gained, same))  # two-sided


def test_mcnemar_without_a_difference_is_one():
    assert mcnemar(*_pair(0, 0, 3)) == 1.0
