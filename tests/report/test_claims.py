"""What a report claims, sentence by sentence: no more than the data can carry."""

import re

import pytest

from jaxsparse import stats
from jaxsparse.report import claims
from jaxsparse.report.statistics import statistics
from tests.report.made import curve, questions_of

QUESTIONS = questions_of(10)  # 40, the first of them right


def points(correct, **how):
    return list(curve(correct, questions=how.pop("questions", QUESTIONS), **how))


def findings_of(results):
    return claims.findings(statistics(results))


def losses_of(results):
    return statistics(results).losses


def allowed(lost, questions=40):
    return f"{-100 * stats.difference_interval(0, lost, questions)[0]:.1f} points"


def test_no_loss_detected_never_stands_without_the_loss_that_may_be_there():
    (loss,) = losses_of(points({0.0: 36, 0.1: 36, 0.5: 34, 0.9: 2}))
    low, high = stats.difference_interval(0, 34, 40)
    assert claims.of_loss(loss) == (
        "no loss is detected up to sparsity 0.5; the 95 % intervals still allow a loss "
        f"of {allowed(2)} up to there. A loss is detected at 0.9: 85.0 points "
        f"(95 % interval {-100 * high:.1f} to {-100 * low:.1f}). Half of dense's "
        "accuracy above chance is gone at sparsity 0.68 (interpolated)."
    )


def test_a_loss_at_once_and_none_at_all():
    (loss,) = losses_of(points({0.0: 36, 0.5: 10, 0.9: 36}))
    said = claims.of_loss(loss)
    assert said.startswith("a loss is detected at 0.5, the smallest sparsity asked for")
    assert "no loss" not in said
    (loss,) = losses_of(points({0.0: 36, 0.5: 36}))
    assert claims.of_loss(loss) == (
        "no loss is detected up to sparsity 0.5, the largest asked for; the 95 % "
        f"intervals still allow a loss of {allowed(0)} up to there. Half of dense's "
        "accuracy above chance is gone at no sparsity asked for."
    )
    gains = points({0.0: 10, 0.5: 40})
    (loss,) = losses_of(gains)
    assert "the 95 % intervals exclude any loss up to there" in claims.of_loss(loss)
    assert findings_of(gains)[0] == (
        "With 40 questions no loss is detected up to sparsity 0.5 for one · cloze, and "
        "the 95 % intervals exclude any up to there; 0.5 is the largest sparsity asked "
        "for."
    )


def test_nothing_is_claimed_where_nothing_could_be_found():
    """The case of four questions of which accuracy falls from two to none."""
    few = points({0.0: 3, 0.5: 3, 0.9: 0}, questions=questions_of(1))
    (loss,) = losses_of(few)
    assert claims.of_loss(loss) == (
        "dense answers 3 of 4 questions right: too few for any loss to be significant, "
        "so that nothing is claimed."
    )
    short, curve_by_curve = findings_of(few)
    assert short == (
        "So few of the 4 questions are answered right that no loss could be "
        "significant: nothing can be said of what pruning costs."
    )
    assert curve_by_curve.startswith("one · cloze: dense answers 3 of 4")


def test_of_a_model_at_chance_nothing_is_claimed():
    results = points({0.0: 5, 0.5: 1})
    (loss,) = losses_of(results)
    said = claims.of_loss(loss)
    assert said == (
        "dense is not shown to be above chance (12.5 %, 95 % interval 5.5 to 26.1, "
        "chance 10.0), so that nothing is claimed."
    )
    assert claims.of_loss(loss, 0.05) == said  # no margin makes a claim of it
    short, listed = findings_of(results)
    assert short.startswith("No model is shown to be above chance before it is pruned")
    assert listed.startswith(
        "Not shown to be above chance before pruning, so that noth"
    )


def test_a_loss_that_is_detected_is_told_wherever_dense_stands():
    results = points({0.0: 6, 0.9: 0})
    (loss,) = losses_of(results)
    assert not loss.above_chance
    assert "all the same a loss is detected at 0.9, the smallest" in claims.of_loss(
        loss
    )
    _, told = findings_of(results)
    assert told.startswith("one · cloze: dense is not shown to be above chance (15.0 %")


def test_a_margin_is_excluded_up_to_somewhere_or_nowhere():
    bound, _ = stats.difference_interval(0, 2, 40, level=0.9)
    (loss,) = losses_of(points({0.0: 36, 0.1: 36, 0.5: 34, 0.9: 2}))
    assert claims.within(loss, -bound) == (
        f"A loss of more than {-100 * bound:g} points is excluded up to sparsity 0.5 "
        "(Tango's one-sided 95 % bound, there and at every smaller one asked for)."
    )
    least, _ = stats.difference_interval(0, 0, 40, level=0.9)
    assert claims.within(loss, -least).count("excluded up to sparsity 0.1") == 1
    assert claims.within(loss, 1.0).count("0.9, the largest asked for") == 1
    assert claims.within(loss, 0.05) == (
        "With 40 questions a loss of more than 5 points could not be excluded even if "
        f"no answer changed: that leaves {-100 * least:.2f} points open."
    )
    (loss,) = losses_of(points({0.0: 10, 0.5: 30}))
    assert claims.within(loss, 0.02).startswith("A loss of more than 2 points is excl")
    assert (
        claims.within(loss, 0.0).count("excluded up to sparsity 0.5, the largest") == 1
    )
    (loss,) = losses_of(points({0.0: 36, 0.5: 30}))
    assert claims.within(loss, 0.1).startswith(
        "A loss of more than 10 points is excluded at no sparsity: Tango's one-sided "
        "95 % bound at 0.5 is "
    )


def test_the_first_sentence_groups_curves_that_lose_alike():
    results = [
        *points({0.0: 36, 0.5: 34, 0.9: 2}),
        *points({0.0: 30, 0.5: 30, 0.9: 4}, model="two"),
        *points({0.0: 30, 0.5: 3, 0.9: 4}, model="three"),
        *points({0.0: 30, 0.5: 30, 0.9: 28}, model="four"),
        *points({0.0: 2, 0.5: 1}, model="five"),
    ]
    short, *listed = findings_of(results)
    assert short == (
        "With 40 questions no loss is detected up to sparsity 0.9 for four · cloze, "
        f"though the 95 % intervals allow for losses of up to {allowed(2)}; 0.9 is the "
        "largest sparsity asked for. No loss is detected up to sparsity 0.5 for "
        "one · cloze and two · cloze, though the 95 % intervals allow for losses of up "
        f"to {allowed(2)}; losses of 65.0 to 85.0 points are detected at "
        "sparsity 0.9. For three · cloze a loss is detected at sparsity 0.5 already, "
        "the smallest asked for: 67.5 points. Left out: 1 of 5 curves, which is not "
        "shown to be above chance before pruning."
    )
    assert [said.partition(" ")[0] for said in listed] == [
        "one", "two", "three", "four", "Not",
    ]  # fmt: skip
    assert "five · cloze (5.0 %" in listed[-1]
    seldom = points({0.0: 10, **{0.5 + n / 100: 10 for n in range(40)}}, model="six")
    (loss,) = losses_of(seldom)
    assert loss.above_chance
    assert not loss.could_be_significant
    assert findings_of([*results, *seldom])[0].endswith(
        "Left out: 1 of 6 curves, which is not shown to be above chance before "
        "pruning. Left out: 1 of 6 curves, which is right too seldom for any loss to "
        "be significant."
    )
    many = [
        one for n in range(5) for one in points({0.0: 36, 0.5: 34}, model=f"model-{n}")
    ]
    assert "up to sparsity 0.5 for 5 curves, though" in findings_of(many)[0]


def test_dense_alone_is_told_by_its_interval():
    (said,) = findings_of(points({0.0: 36}))
    low, high = stats.wilson(36, 40)
    assert said == (
        "one · cloze answers 90.0 % of 40 questions right (95 % interval "
        f"{100 * low:.1f} to {100 * high:.1f}, chance 10.0)."
    )


@pytest.mark.parametrize(
    ("correct", "ending"),
    [
        (
            {0.0: 36, 0.5: 36},
            "significant with so many questions.",
        ),
        (
            {0.0: 36, 0.5: 34, 0.9: 2},
            "At one point 85 % of the questions go from right to wrong or back, the "
            "most in this table: there a loss of {:.1f} points has 80 % power to be "
            "found significant.",
        ),
        (
            {0.0: 36, 0.5: 34},
            "At one point 5 % of the questions go from right to wrong or back, the "
            "most in this table: even if all of these were lost, such a loss would "
            "have less than 80 % power to be found significant.",
        ),
    ],
)
def test_what_so_many_questions_can_tell(correct, ending):
    (summary,) = statistics(points(correct)).summaries
    said = claims.of_power(summary)
    assert said.startswith("A loss of less than 15.0 points cannot be significant")
    assert said.endswith(ending.format(100 * (summary.detectable or 0)))


def test_of_very_few_and_of_very_many_questions():
    few = points({0.0: 4, 0.5: 0}, questions=questions_of(1))
    (summary,) = statistics(few).summaries
    assert (
        claims.of_power(summary) == "With so few questions no loss can be significant."
    )
    many = questions_of(2000)
    (summary,) = statistics(points({0.0: 8000, 0.5: 6000}, questions=many)).summaries
    assert claims.of_power(summary).startswith("A loss of less than 0.07 points")


def test_no_sentence_says_that_anything_is_free_or_proven():
    results = [
        *points({0.0: 36, 0.1: 36, 0.5: 34, 0.9: 2}),
        *points({0.0: 5, 0.5: 1}, model="two"),
        *points({0.0: 36, 0.5: 36}, method="random"),
    ]
    said = claims.findings(statistics(results, 0.2))
    for sentence in said:
        assert not re.search("free|no effect|lossless|keeps|prove", sentence)
        found = sentence.split("no loss is detected")
        assert all("intervals still allow" in after or "though" in after
                   for after in found[1:])  # fmt: skip


def test_curves_that_differ_in_their_seed_alone_are_named_as_one():
    named = claims._names(["a", "a, seed 0", "a, seed 2", "b, seed 1"])
    assert named == "a, a, seeds 0 and 2 and b, seed 1"
    assert claims._names([f"a, seed {n}" for n in range(9)]).startswith("a, seeds 0, 1")
    assert claims._names([f"a{n}" for n in range(9)]) == "9 curves"
