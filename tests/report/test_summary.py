"""What the statistics say of a table: who is compared with whom, corrected for what."""

import dataclasses

import numpy as np
import pytest

from jaxsparse import stats
from jaxsparse.cbt import Question
from jaxsparse.points import by_setup, dense_of
from jaxsparse.report.statistics import baselines, contests
from jaxsparse.report.summary import summarise
from jaxsparse.training.training import Training
from tests.report.made import curve, questions_of

QUESTIONS = questions_of(10)  # 40, the first of them right


def summary_of(*curves):
    (one,) = [
        summarise(setup, results, chance=0.1)
        for setup, results in by_setup([point for one in curves for point in one])
    ]
    return one


def points(correct, **how):
    return curve(correct, questions=QUESTIONS, **how)


def test_every_point_is_compared_with_dense_on_the_same_questions():
    summary = summary_of(points({0.0: 30, 0.5: 24, 0.9: 10}))
    dense, *pruned = summary.rows
    assert dense.versus_dense is None
    right = np.arange(40)
    for row, correct in zip(pruned, (24, 10), strict=True):
        compared = row.versus_dense
        assert compared.p == stats.mcnemar(right < correct, right < 30)
        assert compared.changed == (30 - correct) / 40
        assert compared.difference.value == (correct - 30) / 40
        low, high = compared.difference.low, compared.difference.high
        lost = 30 - correct
        assert (low, high) == stats.difference_interval(0, lost, 40)
        bound, _ = stats.difference_interval(0, lost, 40, level=0.9)
        assert compared.largest_loss == -bound < -low
    p_values = [row.versus_dense.p for row in pruned]
    adjusted = [row.versus_dense.adjusted for row in pruned]
    assert adjusted == list(stats.holm(p_values))


def test_holms_correction_is_over_all_methods_of_a_table_and_dense_is_there_once():
    summary = summary_of(
        points({0.0: 30, 0.5: 24}), points({0.0: 30, 0.5: 10}, method="random")
    )
    assert [row.point.sparsity for row in summary.rows] == [0, 0.5, 0.5]
    p_values = [row.versus_dense.p for row in summary.rows[1:]]
    adjusted = [row.versus_dense.adjusted for row in summary.rows[1:]]
    assert adjusted == list(stats.holm(p_values))
    assert adjusted[0] == max(p_values[0], 2 * p_values[1])


def test_the_mean_over_classes_weighs_classes_the_same():
    one = [question for question in QUESTIONS if question.word_class == "CN"]
    other = [question for question in QUESTIONS if question.word_class == "P"]
    few = (*one[:10], *other[:2])
    (row,) = summary_of(curve({0.0: 11}, questions=few)).rows
    assert row.class_mean == (10 / 10 + 1 / 2) / 2
    low, high = row.class_mean_interval
    assert low < row.class_mean < high
    assert row.point.pooled.accuracy == 11 / 12


def test_one_question_a_class_has_a_mean_and_no_interval():
    (row,) = summary_of(curve({0.0: 2}, questions=questions_of(1))).rows
    assert (row.class_mean, row.class_mean_interval) == (0.5, None)


def test_up_to_where_no_loss_is_detected_and_where_half_is_gone():
    shown = points({0.0: 36, 0.1: 37, 0.5: 34, 0.9: 18, 0.99: 4})
    other = points({0.0: 36, 0.5: 30, 0.99: 35}, method="random")
    magnitude, random = summary_of(shown, other).losses
    assert (magnitude.curve.recipe.method, random.curve.recipe.method) == (
        "magnitude", "random",
    )  # fmt: skip
    assert magnitude.says_something
    assert (magnitude.undetected, magnitude.largest) == (0.5, 0.99)
    assert magnitude.first_detected[0] == 0.9
    # The largest that the intervals up to there allow: that of two lost of 40.
    assert magnitude.hidden == -stats.difference_interval(0, 2, 40)[0]
    # Half-way between chance, 4 of 40, and dense: 20 of 40, less than the 18 at 0.9.
    assert magnitude.half == pytest.approx(0.5 + 0.4 * (34 - 20) / (34 - 18))
    assert (random.half, random.first_detected) == (None, None)
    assert random.undetected == 0.99  # six lost of 40: not significant after correction


def test_a_margin_is_kept_where_the_bound_is_within_it_and_at_all_before():
    # The bounds at the four sparsities: 10.4, 17.0, 6.3 and 26.3 points.
    (loss,) = summary_of(points({0.0: 36, 0.1: 35, 0.3: 33, 0.5: 36, 0.9: 30})).losses
    bounds = [one.largest_loss for _, one in loss.points]
    assert bounds[2] < bounds[0] < bounds[1] < bounds[3]
    assert loss.excluded_up_to(bounds[0]) == 0.1  # 0.5 is good again: by luck
    assert loss.excluded_up_to(bounds[1]) == 0.5
    assert loss.excluded_up_to(bounds[3]) == 0.9
    assert loss.excluded_up_to(bounds[2]) == 0
    assert (loss.excluded_up_to(0.0), loss.excluded_up_to(1.0)) == (0, 0.9)


def test_agreement_on_four_questions_excludes_nothing():
    four = questions_of(1)
    (loss,) = summary_of(curve({0.0: 4, 0.5: 4}, questions=four)).losses
    assert loss.above_chance
    assert not loss.could_be_significant
    assert loss.excluded_up_to(0.40) == 0
    assert loss.excluded_up_to(0.41) == 0.5


def test_a_loss_could_be_significant_only_of_enough_right_answers():
    """Six all lost are, alone; of two points the smaller p is doubled."""
    alone = [summary_of(points({0.0: n, 0.5: 0})).losses[0] for n in (5, 6)]
    assert [one.could_be_significant for one in alone] == [False, True]
    two = [summary_of(points({0.0: n, 0.5: 0, 0.9: 0})).losses[0] for n in (6, 7)]
    assert [one.could_be_significant for one in two] == [False, True]


def test_a_significant_gain_is_no_loss():
    (loss,) = summary_of(points({0.0: 10, 0.5: 30})).losses
    assert (loss.undetected, loss.first_detected) == (0.5, None)
    assert loss.hidden == 0
    assert loss.excluded_up_to(0.0) == 0.5


def test_where_dense_is_at_chance_nothing_can_be_lost():
    (loss,) = summary_of(points({0.0: 5, 0.5: 1})).losses
    assert not loss.above_chance
    (loss,) = summary_of(points({0.0: 12, 0.5: 1})).losses
    assert loss.above_chance


def test_two_models_are_compared_at_every_point_that_both_have():
    results = [
        *points({0.0: 36, 0.5: 30, 0.9: 10}),
        *points({0.0: 36, 0.5: 28}, method="random"),
        *points({0.0: 20, 0.5: 12, 0.99: 4}, model="two"),
        *points({0.0: 16}, model="three"),
        *points({0.0: 4}, model="two", protocol="append"),  # nobody else was asked so
    ]
    (group,) = contests(results)
    named = [
        (one.first.setup.model, one.second.setup.model, one.first.sparsity)
        for one in group
    ]
    assert named == [("one", "two", 0), ("one", "two", 0.5), ("one", "three", 0),
                     ("two", "three", 0)]  # fmt: skip
    differences = [one.comparison.difference.value for one in group]
    assert differences == [16 / 40, 18 / 40, 20 / 40, 4 / 40]
    p_values = [one.comparison.p for one in group]
    right = np.arange(40)
    assert p_values[1] == stats.mcnemar(right < 30, right < 12)
    assert [one.comparison.adjusted for one in group] == list(stats.holm(p_values))


def test_fine_tuned_points_are_compared_with_the_one_shot_dense_model():
    tuned = points({0.0: 38, 0.5: 35}, training=Training())
    summary = summary_of(points({0.0: 30, 0.5: 10}), tuned)
    shown = [(one.point.curve.finetuned, one.point.sparsity) for one in summary.rows]
    assert shown == [(False, 0), (False, 0.5), (True, 0), (True, 0.5)]
    differences = [one.versus_dense.difference.value for one in summary.rows[1:]]
    assert differences == [-20 / 40, 8 / 40, 5 / 40]
    one_shot, finetuned = summary.losses
    assert (one_shot.undetected, finetuned.undetected) == (0, 0.5)


def test_what_so_many_questions_can_tell():
    summary = summary_of(points({0.0: 30, 0.5: 24, 0.9: 10}))
    assert summary.fewest == 6 / 40
    assert summary.changed == 20 / 40
    # At the first of Holm's two steps.
    expected = stats.detectable_difference(40, summary.changed, alpha=0.05 / 2)
    assert summary.detectable == expected
    alone = summary_of(points({0.0: 30}))
    assert (alone.changed, alone.losses) == (0, ())
    assert alone.rows[0].versus_dense is None


def test_baselines_by_class_and_pooled():
    story = ("A cat saw the cat .",) + ("Hush !",) * 19
    options = ("cat", "dog", *"abcdefgh")

    def one(number, word_class, answer, options=options):
        query = "The XXXXX ran ."
        return Question(story, query, options, answer, word_class, id=str(number))

    twice = ("dog", "dog", *options[:8])
    asked = (one(1, "CN", "cat"), one(2, "NE", "dog"), one(3, "CN", "dog", twice))
    prior, chance = baselines(asked)
    assert (prior.name, chance.name) == ("most frequent", "chance")
    assert prior.accuracy == {"CN": 1 / 2, "NE": 0, "all": 1 / 3}
    # The third holds its answer three times among the ten.
    assert chance.accuracy == pytest.approx({"CN": 0.2, "NE": 0.1, "all": 0.5 / 3})
    assert (prior.interval.low, prior.interval.high) == stats.wilson(1, 3)
    assert chance.interval is None


def test_results_of_one_table_share_model_and_way_of_asking():
    results = [*points({0.0: 3}), *points({0.0: 3}, context="query")]
    assert len(list(by_setup(results))) == 2
    first, second = (one.setup for one in results)
    assert second.presentation.context == "query"
    changed = dataclasses.replace(second, presentation=first.presentation)
    assert first == changed


def test_dense_is_that_of_dense_execution_and_points_are_compared_by_execution():
    sparse = {"execution": "sparse"}
    results = [
        *points({0.0: 30, 0.5: 10}, **sparse),
        *points({0.0: 30, 0.5: 11}),
        *points({0.0: 20, 0.5: 8}, model="two", **sparse),
    ]
    setup = results[0].setup
    assert dense_of(results, setup) is results[2]
    assert dense_of(results[:2], setup) is results[0]
    summary = summary_of(results[:4])
    assert [row.point for row in summary.rows] == [results[n] for n in (1, 2, 3)]
    (group,) = contests(results)
    assert [(one.first, one.second) for one in group] == [
        (results[2], results[4]), (results[1], results[5]),
    ]  # fmt: skip


def test_points_that_differ_in_execution_alone_are_one_test():
    plain = [*points({0.0: 30, 0.5: 20, 0.9: 10})]
    sparse = [*points({0.0: 30, 0.5: 20, 0.9: 10}, execution="sparse")]
    other = [*points({0.0: 30, 0.5: 20, 0.9: 11}, execution="sparse")]
    alone, both, differing = (summary_of(plain, more) for more in ([], sparse, other))
    adjusted = [row.versus_dense.adjusted for row in alone.rows[1:]]
    assert [row.versus_dense.adjusted for row in both.rows[1:]] == adjusted * 2
    assert both.detectable == alone.detectable
    p = alone.rows[2].versus_dense.p  # the smallest: by the number of tests
    assert adjusted[1] == 2 * p
    assert differing.rows[2].versus_dense.adjusted == pytest.approx(3 * p)
