"""From answers to rows of results: classes, intervals, seconds."""

import math

import numpy as np
import pytest

from jaxsparse import accuracy
from tests.test_answers import answers, question


def accuracies(point, dense, truncated=None):
    lost = truncated or [False] * len(point.questions)
    return list(accuracy.accuracies(point, dense, np.array(lost)))


def test_a_row_for_each_class_in_order_of_appearance_and_one_for_all():
    classes = ["V", "CN", "V", "CN", "CN"]
    questions = [question(n, word_class) for n, word_class in enumerate(classes)]
    dense, point = (
        answers(questions, choices) for choices in ([0, 0, 0, 1, 1], [0, 1, 1, 0, 0])
    )
    rows = accuracies(point, dense, [False, True, False, True, False])
    assert [row.word_class for row in rows] == ["V", "CN", "all"]
    assert [row.questions for row in rows] == [2, 3, 5]
    assert [row.correct for row in rows] == [1, 2, 3]
    assert [row.accuracy for row in rows] == [1 / 2, 2 / 3, 3 / 5]
    assert [row.dense_accuracy for row in rows] == [1, pytest.approx(1 / 3), 3 / 5]
    assert [row.truncated for row in rows] == [0, 2, 2]


def wilson(correct, questions, z=1.959963984540054):
    """Wilson (1927), solved for p: (p - correct/n)^2 = z^2 p (1 - p) / n."""
    share, spread = correct / questions, z * z / questions
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return middle - half, middle + half


def mcnemar(gained, lost):
    """Twice the chance that a fair coin is at least as one-sided, at most 1."""
    flips, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(flips, heads) for heads in range(fewer + 1))
    return min(1, 2 * tail / 2**flips)


@pytest.mark.parametrize(
    ("both", "gained", "lost", "neither"),
    [(3, 1, 6, 2), (0, 5, 0, 5), (4, 0, 0, 1), (2, 3, 3, 2), (0, 0, 9, 0)],
)
def test_interval_and_p_value_against_brute_force(both, gained, lost, neither):
    counts = (both, gained, lost, neither)
    questions = [question(number) for number in range(sum(counts))]
    point = answers(questions, np.repeat([0, 0, 1, 1], counts))
    dense = answers(questions, np.repeat([0, 1, 0, 1], counts))
    (row, pooled) = accuracies(point, dense)
    low, high = wilson(both + gained, sum(counts))
    assert (row.ci_low, row.ci_high) == pytest.approx((low, high), abs=1e-12)
    assert row.p_vs_dense == pytest.approx(mcnemar(gained, lost))
    assert (pooled.ci_low, pooled.p_vs_dense) == (row.ci_low, row.p_vs_dense)


def test_p_is_of_the_questions_of_its_own_row():
    classes = ["CN"] * 8 + ["NE"] * 8
    questions = [question(n, word_class) for n, word_class in enumerate(classes)]
    point = answers(questions, [0] * 8 + [1] * 8)
    dense = answers(questions, [1] * 8 + [1] * 8)
    common, names, pooled = accuracies(point, dense)
    assert common.p_vs_dense == pytest.approx(2 / 2**8)
    assert names.p_vs_dense == 1
    assert pooled.p_vs_dense == common.p_vs_dense


def test_dense_itself_has_no_p_value():
    dense, equal = answers([question(1)], [0]), answers([question(1)], [0])
    assert {row.p_vs_dense for row in accuracies(dense, dense)} == {None}
    assert {row.p_vs_dense for row in accuracies(equal, dense)} == {1.0}


def test_seconds_are_those_of_the_rows_questions():
    questions = [question(1), question(2, "P"), question(3)]
    point = answers(questions, [0, 0, 0], seconds=[0.25, 2.0, 0.75])
    common, prepositions, pooled = accuracies(point, point)
    assert (common.seconds, prepositions.seconds, pooled.seconds) == (1, 2, 3)
    assert common.questions_per_second == 2
    assert prepositions.questions_per_second == 0.5
    assert pooled.questions_per_second == 1
