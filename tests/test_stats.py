"""Statistics against their formulas, written out, and against scipy's bootstrap."""

from functools import cache
from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
import scipy
from hypothesis import example, given
from hypothesis import strategies as st

from jaxsparse.stats import (
    class_mean_interval,
    detectable_difference,
    fewest_significant,
    half_life,
    holm,
    kept_for_free,
    mcnemar,
    paired_difference,
    wilson,
)


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


# Holm

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.5]) == (1.0, 1.0)
    assert holm([0.2]) == (0.2,)
    assert holm([]) == ()


@given(P_VALUES)
def test_holm_keeps_the_order_and_lies_between_the_raw_and_bonferroni(raw):
    adjusted = holm(raw)
    for one, its in zip(raw, adjusted, strict=True):
        assert one <= its <= min(1, len(raw) * one)
    assert sorted(adjusted) == [
        its for _, its in sorted(zip(raw, adjusted, strict=True))
    ]


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_stepping_down_rejects(raw, alpha):
    """The procedure itself: compare the smallest with alpha / n, the next with alpha /
    (n - 1), and stop at the first that is not significant."""
    rejected = set()
    for step, index in enumerate(np.argsort(raw, kind="stable").tolist()):
        if raw[index] * (len(raw) - step) > alpha:
            break
        rejected.add(index)
    assert rejected == {i for i, p in enumerate(holm(raw)) if p <= alpha}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf")])
def test_holm_refuses_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, wrong])


# The bootstraps

CLASSES = {"CN": (40, 30), "NE": (25, 10), "P": (60, 12)}  # questions, of them right


def _answers(counts=CLASSES):
    """Right and wrong answers, and their classes, the classes interleaved."""
    rows = [
        (position, position < right, name)
        for name, (total, right) in counts.items()
        for position in range(total)
    ]
    rows.sort(key=lambda row: row[0])
    return np.array([row[1] for row in rows]), [row[2] for row in rows]


def _two():
    """1,500 answers of a model and of the dense one, and their classes: 90 gained, all
    in the smaller class, and 210 lost."""
    correct, dense = _pair(90, 210, 600)
    return correct, dense, ["CN"] * 100 + ["NE"] * 1_400


def _scipy_bootstrap(samples, statistic, paired=False):
    found = scipy.stats.bootstrap(
        samples,
        statistic,
        method="percentile",
        n_resamples=9_999,
        batch=1_000,
        paired=paired,
        rng=np.random.default_rng(5),
    )
    return found.confidence_interval, found.standard_error


def _assert_same_interval(ours, theirs, error):
    """A 2.5 % percentile of 9,999 normal draws has a standard error of 0.027 of theirs,
    so the difference of two has 0.038; five of these are 0.19. The samples are large
    enough for a step of the statistic to be less."""
    assert ours == pytest.approx(theirs, abs=0.19 * error)


def test_class_mean_interval_is_scipys_of_many_samples():
    correct, classes = _answers()
    samples = [correct[np.array(classes) == name] for name in CLASSES]

    def mean(*drawn, axis):
        return sum(one.mean(axis) for one in drawn) / len(drawn)

    theirs, error = _scipy_bootstrap(samples, mean)
    estimate, *interval = class_mean_interval(correct, classes)
    assert estimate == pytest.approx((30 / 40 + 10 / 25 + 12 / 60) / 3)
    _assert_same_interval(interval, theirs, error)


@pytest.mark.parametrize(("right", "total"), [(3, 10), (70, 100), (990, 1000)])
def test_class_mean_interval_of_one_class_is_binomial(right, total):
    """Percentiles of Binomial(n, k/n), but for one step of 1/n by chance."""
    _, *interval = class_mean_interval(*_answers({"CN": (total, right)}))
    exact = scipy.stats.binom.ppf((0.025, 0.975), total, right / total) / total
    assert interval == pytest.approx(exact, abs=1.001 / total)


def test_paired_difference_is_scipys_of_pairs():
    correct, dense, _ = _two()

    def difference(ours, theirs, axis):
        return ours.mean(axis) - theirs.mean(axis)

    theirs, error = _scipy_bootstrap(
        (correct.astype(float), dense.astype(float)), difference, paired=True
    )
    estimate, *interval = paired_difference(correct, dense, ["CN"] * len(correct))
    assert estimate == pytest.approx(-120 / 1_500)
    _assert_same_interval(interval, theirs, error)


def test_paired_difference_of_classes_is_resampling_within_each():
    correct, dense, classes = _two()
    differences = correct.astype(int) - dense.astype(int)
    rng = np.random.default_rng(6)
    sums = np.zeros(9_999)
    for name in ("CN", "NE"):
        own = differences[np.array(classes) == name]
        sums += own[rng.integers(own.size, size=(sums.size, own.size))].sum(1)
    drawn = sums / len(classes)
    estimate, *interval = paired_difference(correct, dense, classes)
    assert estimate == pytest.approx(-120 / 1_500)
    _assert_same_interval(interval, np.percentile(drawn, (2.5, 97.5)), drawn.std())
    assert drawn.std() < 0.9 * differences.std() / sqrt(1_500)  # as classes differ


GROUPS = st.dictionaries(
    st.sampled_from(["CN", "NE", "P", "V"]),
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
)


@given(GROUPS)
@example({"CN": (3, 0), "NE": (7, 7), "V": (9, 9)})  # no width: a mean of 2/3, exactly
def test_intervals_hold_their_estimate(groups):
    correct, classes = _answers(groups)
    estimate, low, high = class_mean_interval(correct, classes)
    assert 0 <= low <= estimate <= high <= 1
    constant = all(right in (0, total) for total, right in groups.values())
    assert (low == high) == constant

    dense = np.roll(correct, 1)  # as many right
    estimate, low, high = paired_difference(correct, dense, classes)
    assert -1 <= low <= estimate <= high <= 1


def test_the_difference_from_itself_is_nothing_and_swaps_its_sign():
    correct, dense, classes = _two()
    assert paired_difference(correct, correct, classes) == (0, 0, 0)
    assert paired_difference(np.zeros(4, bool), np.ones(4, bool), ["V"] * 4) == (
        (-1, -1, -1)
    )
    estimate, low, high = paired_difference(correct, dense, classes)
    swapped, low_swapped, high_swapped = paired_difference(dense, correct, classes)
    assert (swapped, low < estimate < high < 0 < low_swapped) == (-estimate, True)
    _assert_same_interval(
        (-high_swapped, -low_swapped), (low, high), (high - low) / 3.92
    )


def test_a_seed_gives_the_same_interval_in_any_order_of_questions():
    correct, classes = _answers()
    order = np.random.default_rng(7).permutation(len(correct))
    mixed, its_classes = correct[order], [classes[index] for index in order]
    ours = class_mean_interval(correct, classes, seed=3)
    assert class_mean_interval(mixed, its_classes, seed=3) == ours
    assert class_mean_interval(correct, classes, seed=4) != ours

    dense = ~correct
    ours = paired_difference(correct, dense, classes, seed=3)
    assert paired_difference(mixed, dense[order], its_classes, seed=3) == ours
    others = {paired_difference(correct, dense, classes, seed) for seed in range(9)}
    assert len(others) > 1  # some agree: it moves in steps of 1/125


@pytest.mark.parametrize(("questions", "classes"), [(0, 0), (2, 1), (1, 2)])
def test_bootstraps_refuse_questions_without_a_class(questions, classes):
    correct, names = np.zeros(questions, bool), ["CN"] * classes
    with pytest.raises(
        ValueError, match=f"{classes} classes and {questions} questions"
    ):
        class_mean_interval(correct, names)
    with pytest.raises(
        ValueError, match=f"{classes} classes and {questions} questions"
    ):
        paired_difference(correct, correct, names)


# What a number of questions can find


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.01, 0.001])
def test_the_fewest_changes_are_significant_and_one_fewer_are_not(alpha):
    fewest = fewest_significant(alpha)
    assert mcnemar(*_pair(0, fewest, 3)) < alpha <= mcnemar(*_pair(0, fewest - 1, 3))


def test_the_fewest_changes_at_five_percent_are_six():
    assert fewest_significant() == 6


@pytest.mark.parametrize(
    ("questions", "changed", "alpha", "power"),
    [*product((200, 2_500, 10_000), (0.05, 0.3, 1.0), (0.05, 0.01), (0.5, 0.95))],
)
def test_the_detectable_difference_needs_that_many_questions(
    questions, changed, alpha, power
):
    d = detectable_difference(questions, changed, alpha, power)
    z_alpha, z_power = scipy.stats.norm.ppf((1 - alpha / 2, power))
    least = z_alpha * sqrt(changed) + z_power * sqrt(changed - changed**2)
    if d is None:
        assert questions < (least / changed) ** 2
    else:
        root = z_alpha * sqrt(changed) + z_power * sqrt(changed - d**2)
        assert questions == pytest.approx((root / d) ** 2, rel=1e-6)
        assert 0 < d <= changed


@cache
def _p_value(gained, lost):
    return mcnemar(*_pair(gained, lost, 0))


def _power(questions, changed, d, draws=10_000):
    """How often the exact test at 0.05 finds a difference of d."""
    shares = [(changed - d) / 2, (changed + d) / 2, 1 - changed]
    drawn = np.random.default_rng(8).multinomial(questions, shares, size=draws)
    return np.mean([_p_value(*row[:2]) < 0.05 for row in drawn.tolist()])


@pytest.mark.parametrize(
    ("questions", "changed"), [(568, 0.1), (568, 0.4), (2_500, 0.05), (2_500, 0.02)]
)
def test_the_exact_test_finds_the_detectable_difference(questions, changed):
    """A little less often than the formula says: with m changed answers the exact test
    rejects at the largest tail below 0.05, which is less than 0.05. On these it loses
    up to 0.04 of power; 0.01 above is the noise of 10,000 draws and of the formula."""
    d = detectable_difference(questions, changed)
    assert 0.76 < _power(questions, changed, d) < 0.81
    assert _power(questions, changed, d / 2) < 0.4


@given(st.integers(0, 300), st.floats(0, 1))
@example(5, 1.0)  # the formula alone would say 0.99
def test_nothing_is_detectable_where_losing_all_that_changed_would_be_missed(
    questions, changed
):
    losses = scipy.stats.binom.sf(fewest_significant() - 1, questions, changed)
    d = detectable_difference(questions, changed)
    if losses < 0.8:
        assert d is None
    elif losses > 0.9:
        assert d is not None


def test_more_questions_find_less_and_more_changes_hide_more():
    by_questions = [detectable_difference(n, 0.1) for n in (100, 400, 1_600, 10_000)]
    assert by_questions == sorted(by_questions, reverse=True)
    by_changes = [detectable_difference(1_000, psi) for psi in (0.02, 0.1, 0.5, 1.0)]
    assert by_changes == sorted(by_changes)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((-1, 0.1), "questions.*-1"),
        ((100, 1.5), "changed.*1.5"),
        ((100, float("nan")), "changed.*nan"),
        ((100, 0.1, 0.0), "alpha.*0.0"),
        ((100, 0.1, 1.0), "alpha.*1.0"),
        ((100, 0.1, 0.05, 0.4), "power.*0.4"),
        ((100, 0.1, 0.05, 1.0), "power.*1.0"),
    ],
)
def test_detectable_difference_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        detectable_difference(*arguments)


# Curves


@pytest.mark.parametrize(
    ("below", "kept"),
    [
        ([False, False, False], 0.9),
        ([False, False, True], 0.6),
        ([False, True, False], 0.3),  # a dip counts, though the curve comes back
        ([True, False, False], 0.0),
    ],
)
def test_kept_for_free_ends_at_the_first_that_is_below(below, kept):
    assert kept_for_free([0.3, 0.6, 0.9], below) == kept


def test_kept_for_free_without_a_point_is_nothing():
    assert kept_for_free([], []) == 0.0


@pytest.mark.parametrize(
    ("sparsities", "below", "match"),
    [
        ([0.5, 0.3], [False, False], "ascend"),
        ([0.5, 0.5], [False, False], "ascend"),
        ([0.5, float("nan")], [False, False], "ascend"),
        ([0.5], [False, False], "1 sparsities for 2"),
    ],
)
def test_kept_for_free_refuses(sparsities, below, match):
    with pytest.raises(ValueError, match=match):
        kept_for_free(sparsities, below)


def test_half_life_by_hand():
    sparsities = [0.0, 0.5, 0.75, 1.0]
    assert half_life(sparsities, [0.5, 0.4, 0.2, 0.1], 0.1) == pytest.approx(0.625)
    assert half_life(sparsities, [0.5, 0.2, 0.4, 0.1], 0.1) == pytest.approx(
        1 / 3
    )  # the first
    assert half_life(sparsities, [0.5, 0.5, 0.45, 0.31], 0.1) is None
    assert half_life(sparsities, [0.1, 0.05, 0.05, 0.05], 0.1) is None  # chance
    assert half_life(sparsities, [0.05, 0.0, 0.0, 0.0], 0.1) is None
    assert half_life([0.0], [0.5], 0.1) is None


@given(
    st.floats(0, 0.5),
    st.floats(0.01, 0.5),
    st.lists(st.floats(0.01, 0.99), max_size=6, unique=True),
    st.floats(0.5, 3),
)
def test_half_life_of_a_straight_line_is_where_it_crosses(chance, above, inner, end):
    """Wherever it is measured; a line that has lost all at `end` has lost half at the
    middle, if it is seen that far."""
    sparsities = [0.0, *sorted(inner), 1.0]
    accuracies = [chance + above * (1 - s / end) for s in sparsities]
    found = half_life(sparsities, accuracies, chance)
    if end < 1.999:
        assert found == pytest.approx(end / 2, abs=1e-9)
    elif end > 2.001:
        assert found is None


@pytest.mark.parametrize(
    ("sparsities", "accuracies", "match"),
    [
        ([], [], "start at 0"),
        ([0.1, 0.5], [0.5, 0.4], "start at 0"),
        ([0.0, 0.5, 0.5], [0.5, 0.4, 0.3], "ascend"),
        ([0.0, 0.5], [0.5], "2 sparsities for 1"),
    ],
)
def test_half_life_refuses(sparsities, accuracies, match):
    with pytest.raises(ValueError, match=match):
        half_life(sparsities, accuracies, 0.1)
