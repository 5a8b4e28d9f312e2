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
    cluster_interval,
    detectable_difference,
    difference_interval,
    fewest_significant,
    half_life,
    holds_up_to,
    holm,
    mcnemar,
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
    estimate, interval = class_mean_interval(correct, classes)
    assert estimate == pytest.approx((30 / 40 + 10 / 25 + 12 / 60) / 3)
    _assert_same_interval(interval, theirs, error)


@pytest.mark.parametrize(("right", "total"), [(3, 10), (70, 100), (990, 1000)])
def test_class_mean_interval_of_one_class_is_binomial(right, total):
    """Percentiles of Binomial(n, k/n), but for one step of 1/n by chance."""
    _, interval = class_mean_interval(*_answers({"CN": (total, right)}))
    exact = scipy.stats.binom.ppf((0.025, 0.975), total, right / total) / total
    assert interval == pytest.approx(exact, abs=1.001 / total)


GROUPS = st.dictionaries(
    st.sampled_from(["CN", "NE", "P", "V"]),
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
)


@given(GROUPS)
@example({"CN": (3, 0), "NE": (7, 7), "V": (9, 9)})  # a mean of 2/3, exactly
@example({"CN": (1, 1), "NE": (40, 7)})  # one question tells nothing of its class
def test_a_class_mean_has_an_interval_where_a_bootstrap_can_give_one(groups):
    correct, classes = _answers(groups)
    estimate, interval = class_mean_interval(correct, classes)
    alone = any(total == 1 for total, _ in groups.values())
    if alone or all(right in (0, total) for total, right in groups.values()):
        assert interval is None
    else:
        low, high = interval
        assert 0 <= low <= estimate <= high <= 1
        assert low < high


STORIES = {"a": (30, 25), "b": (30, 5), "c": (12, 9), "d": (28, 14), "e": (40, 22)}


def test_a_cluster_interval_is_resampling_whole_stories():
    correct, stories = _answers(
        {f"{n}{k}": v for k in range(6) for n, v in STORIES.items()}
    )
    members = [np.flatnonzero(np.array(stories) == name) for name in sorted({*stories})]
    rng = np.random.default_rng(6)
    drawn = []
    for _ in range(9_999):
        chosen = [members[n] for n in rng.integers(len(members), size=len(members))]
        drawn.append(correct[np.concatenate(chosen)].mean())
    interval = cluster_interval(correct, stories)
    _assert_same_interval(interval, np.percentile(drawn, (2.5, 97.5)), np.std(drawn))
    # Stories differ more than their questions would by chance.
    low, high = wilson(int(correct.sum()), len(correct))
    assert interval[1] - interval[0] > 1.2 * (high - low)


@pytest.mark.parametrize("counts", [{"a": (9, 4)}, {"a": (9, 0), "b": (3, 0)}])
def test_there_is_no_cluster_interval_without_stories_that_differ(counts):
    assert cluster_interval(*_answers(counts)) is None


def test_stories_are_told_apart_to_the_last_letter():
    """numpy strips a NUL at the end of a text."""
    correct = np.arange(40) < 10
    names = ["a"] * 20 + ["a\0"] * 20
    assert cluster_interval(correct, names) == cluster_interval(
        correct, ["a"] * 20 + ["b"] * 20
    )


def test_a_cluster_interval_of_thousands_of_stories_is_wilsons():
    """One question a story: what clusters them changes nothing."""
    correct = np.arange(4_000) % 4 == 0
    low, high = cluster_interval(correct, [str(n) for n in range(4_000)])
    error = (high - low) / 3.92
    assert (low, high) == pytest.approx(wilson(1_000, 4_000), abs=0.6 * error)


@pytest.mark.parametrize(
    ("interval", "answers"),
    [(class_mean_interval, _answers()), (cluster_interval, _answers(STORIES))],
)
def test_a_seed_gives_the_same_interval_in_any_order_of_questions(interval, answers):
    correct, names = answers
    order = np.random.default_rng(7).permutation(len(correct))
    mixed, its_names = correct[order], [names[index] for index in order]
    ours = interval(correct, names, seed=3)
    assert interval(mixed, its_names, seed=3) == ours
    others = {interval(correct, names, seed) for seed in range(9)}
    assert len(others) > 1


@pytest.mark.parametrize(("questions", "names"), [(0, 0), (2, 1), (1, 2)])
@pytest.mark.parametrize("interval", [class_mean_interval, cluster_interval])
def test_bootstraps_refuse_questions_without_a_name(interval, questions, names):
    correct, named = np.zeros(questions, bool), ["CN"] * names
    with pytest.raises(ValueError, match=f"got {names} for {questions} questions"):
        interval(correct, named)


# Paired differences


def _score_statistic(gained, lost, n, difference):
    """Tango's: the difference observed less the one supposed, over its standard error
    where the share of lost questions is the likeliest under it; found by trying."""

    def unlikelihood(share):
        chances = np.array([share + difference, share, 1 - 2 * share - difference])
        counts = np.array([gained, lost, n - gained - lost])
        with np.errstate(divide="ignore", invalid="ignore"):
            return -np.sum(np.where(counts, counts * np.log(chances), 0))

    bounds = max(0.0, -difference), (1 - difference) / 2
    share = scipy.optimize.minimize_scalar(
        unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    ).x
    variance = (2 * share + difference - difference**2) / n
    return ((gained - lost) / n - difference) / sqrt(variance)


@pytest.mark.parametrize(
    ("gained", "lost", "n"),
    [(40, 20, 160), (1, 12, 48), (0, 5, 30), (3, 0, 9), (17, 17, 500), (1, 1, 2)],
)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_difference_intervals_end_where_the_score_test_rejects(gained, lost, n, level):
    low, high = difference_interval(gained, lost, n, level)
    z = scipy.stats.norm.isf((1 - level) / 2)
    assert _score_statistic(gained, lost, n, low) == pytest.approx(z, abs=1e-4)
    assert _score_statistic(gained, lost, n, high) == pytest.approx(-z, abs=1e-4)
    assert -1 <= low < (gained - lost) / n < high <= 1


@pytest.mark.parametrize(("n", "bound"), [(4, 0.4035), (51, 0.0504), (52, 0.0495)])
def test_agreeing_answers_exclude_no_small_loss(n, bound):
    """z² / (n + z²), by hand: with no answer that differs, 52 exclude 5 points."""
    z = scipy.stats.norm.isf(0.05)
    low, high = difference_interval(0, 0, n, level=0.9)
    assert -low == high == pytest.approx(z**2 / (n + z**2), abs=1e-9)
    assert high == pytest.approx(bound, abs=1e-4)


PAIRS = st.integers(1, 3_000).flatmap(
    lambda n: st.integers(0, n).flatmap(
        lambda gained: st.tuples(
            st.just(gained), st.integers(0, n - gained), st.just(n)
        )
    )
)


@given(PAIRS)
@example((0, 48, 48))
@example((48, 0, 48))
@example((0, 0, 1))
def test_difference_intervals_hold_the_difference_and_swap_their_sign(pair):
    gained, lost, n = pair
    low, high = difference_interval(gained, lost, n)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    assert low < high
    assert difference_interval(lost, gained, n) == (-high, -low)
    inner_low, inner_high = difference_interval(gained, lost, n, level=0.9)
    assert low <= inner_low <= inner_high <= high


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0, 0, 0), "0 questions"),
        ((3, 3, 5), "3 gained and 3 lost of 5"),
        ((-1, 0, 5), "-1 gained"),
        ((1, 1, 5, 1.0), "level must lie"),
    ],
)
def test_difference_interval_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        difference_interval(*arguments)


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
    ("holds", "up_to"),
    [
        ([True, True, True], 0.9),
        ([True, True, False], 0.6),
        ([True, False, True], 0.3),  # a dip counts, though the curve comes back
        ([False, True, True], 0.0),
    ],
)
def test_what_holds_ends_at_the_first_exception(holds, up_to):
    assert holds_up_to([0.3, 0.6, 0.9], holds) == up_to


def test_nothing_holds_without_a_point():
    assert holds_up_to([], []) == 0.0


@pytest.mark.parametrize(
    ("sparsities", "holds", "match"),
    [
        ([0.5, 0.3], [True, True], "ascend"),
        ([0.5, 0.5], [True, True], "ascend"),
        ([0.5, float("nan")], [True, True], "ascend"),
        ([0.5], [True, True], "1 sparsities for 2"),
    ],
)
def test_holds_up_to_refuses(sparsities, holds, match):
    with pytest.raises(ValueError, match=match):
        holds_up_to(sparsities, holds)


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
