"""What training won back: seeds together, against one-shot."""

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse import report, stats
from jaxsparse.report import curves, pictures, text
from jaxsparse.report.claims import findings
from jaxsparse.report.explorer import page
from jaxsparse.report.recovery import (
    LEAST_LOSS,
    recoveries,
    seeds_together,
    trainings_together,
)
from jaxsparse.report.statistics import statistics
from jaxsparse.report.tables import all_tables
from jaxsparse.training.training import Training
from tests.report.made import RUN, curve, questions_of

QUESTIONS = questions_of(50)
ONE_SHOT = {0.0: 82, 0.5: 84, 0.9: 42, 0.99: 22}
SEEDS = (
    {0.0: 102, 0.5: 104, 0.9: 62, 0.99: 20},
    {0.0: 100, 0.5: 104, 0.9: 66, 0.99: 26},
)
BIASES = Training(train="norms,biases", seed=1)


@functools.cache
def trained():
    """Two seeds of one training, one of another."""
    points = [*curve(ONE_SHOT, questions=QUESTIONS)]
    for seed, right in enumerate(SEEDS):
        points += curve(
            right, training=Training(seed=seed), dense=82, seconds=10.0 + seed,
            questions=QUESTIONS,
        )  # fmt: skip
    points += curve({0.9: 44}, training=BIASES, dense=82, questions=QUESTIONS)
    return tuple(points)


def table_of(points):
    (table,) = (
        table
        for table in all_tables(statistics(points))
        if table.title == "What training won back"
    )
    return table


def test_the_seeds_of_a_training_are_a_row_at_each_sparsity():
    table = table_of(trained())
    assert table.header == (
        "", "sparsity", "one-shot", "fine-tuned", "seeds", "won back", "p", "p Holm",
        "trained in",
    )  # fmt: skip
    p = [
        max(stats.mcnemar(*answered(row[at], ONE_SHOT[at])) for row in SEEDS)
        for at in (0.0, 0.5, 0.9)
    ]
    biases = stats.mcnemar(*answered(44, 42))
    adjusted = stats.holm([*p, 1.0, biases])
    name = "one · cloze, magnitude"
    assert [row[:6] for row in table.rows[:5]] == [
        (f"{name}: choice", "0", "41.0", "50.5 [50.0–51.0]", "2", ""),
        (f"{name}: choice", "0.5", "42.0", "52.0 [52.0–52.0]", "2", ""),
        (f"{name}: choice", "0.9", "21.0", "32.0 [31.0–33.0]", "2", "55"),
        # One seed gains and one loses.
        (f"{name}: choice", "0.99", "11.0", "11.5 [10.0–13.0]", "2", "2"),
        (f"{name}: choice, norms,biases", "0.9", "21.0", "22.0", "1", "5"),
    ]
    for row, raw, holm in zip(table.rows, [*p, 1.0, biases], adjusted, strict=False):
        star = "*" if holm < 0.05 else ""
        assert row[6:8] == (f"{raw:.2g}", f"{holm:.2g}{star}")
    assert [row[8] for row in table.rows[:5]] == ["10.5 s"] * 4 + [""]
    assert [row[:4] for row in table.rows[5:]] == [
        ("most frequent", "", "0.0", "0.0"),
        ("chance", "", "10.0", "10.0"),
        ("commonest answer", "", "100.0", "100.0"),
    ]
    assert len({len(row) for row in (table.header, *table.rows)}) == 1


def answered(*rights):
    return (np.arange(len(QUESTIONS)) < right for right in rights)


def test_nothing_is_said_of_training_where_all_is_one_shot():
    found = statistics(list(curve({0.0: 6, 0.5: 3})))
    assert found.recoveries == ()
    assert "What training won back" not in [table.title for table in all_tables(found)]
    assert "trained" not in text.terminal(found)


def test_sentences_say_what_is_shown_and_what_is_not():
    _, choice, biases, *_ = findings(statistics(trained()))
    assert choice.startswith(
        "one · cloze, magnitude, fine-tuned (choice, 2 seeds): dense fine-tuned beats "
        "dense one-shot: +9.5 points, p = "
    )
    for said in (
        "Training wins back 55 % at 0.9 of what one-shot lost. ",
        "It beats one-shot, which lost nothing, at 0.5 (+10.0 points). ",
        "No difference from one-shot is shown at 0.99 (+0.5 points). ",
    ):
        assert said in choice
    levels = "most frequent 0.0 %, chance 10.0 %, commonest answer 100.0 %"
    assert choice.endswith(f"At 0.99 it reaches 11.5 %; without a model: {levels}.")
    assert biases.endswith(
        "(choice, norms,biases): No difference from one-shot is shown at 0.9 (+1.0 "
        f"points). At 0.9 it reaches 22.0 %; without a model: {levels}."
    )


def test_harm_is_said_and_dense_alone_too():
    points = [
        *curve({0.0: 82, 0.5: 80}, questions=QUESTIONS),
        *curve({0.0: 40, 0.5: 40}, training=Training(), dense=82, questions=QUESTIONS),
    ]
    _, said, *_ = findings(statistics(points))
    assert "dense fine-tuned is worse than dense one-shot: −21.0 points" in said
    assert "It is worse than one-shot at 0.5 (−20.0 points)." in said
    at_zero = [point for point in points if not point.sparsity]
    _, alone = findings(statistics(at_zero))
    assert "dense fine-tuned is worse" in alone


def test_a_method_that_draws_is_compared_seed_by_seed():
    """A training's seed is the method's; a seed without its one-shot tells no p."""
    points = [
        *curve({0.0: 82, 0.5: 40}, method="random", seed=0, questions=QUESTIONS),
        *curve({0.0: 82, 0.5: 20}, method="random", seed=1, questions=QUESTIONS),
    ]
    for seed in range(3):
        points += curve(
            {0.5: 50}, method="random", seed=seed, training=Training(seed=seed),
            dense=82, questions=QUESTIONS,
        )  # fmt: skip
    (known,) = recoveries([p for p in points if p.curve.seed != 2])
    assert [point.accuracy for point in known.one_shot] == [0.2, 0.1]
    assert known.gain == pytest.approx(0.1)
    assert known.p == stats.mcnemar(*answered(50, 40))
    (lacking,) = recoveries(points)
    assert (lacking.p, lacking.adjusted, lacking.significant) == (None, None, False)
    assert len(lacking.tuned) == 3
    alone = [p for p in points if p.curve.finetuned]
    (nothing,) = recoveries(alone)
    assert (nothing.one_shot, nothing.gain, nothing.won_back) == ((), None, None)
    assert table_of(alone).rows[0][2] == ""


right = st.integers(0, 200)


@settings(deadline=None, max_examples=10)
@given(
    dense=right,
    before=right,
    after=st.lists(right, min_size=1, max_size=3),
)
def test_a_recovery_is_of_means_and_holds_for_every_seed(dense, before, after):
    points = list(curve({0.0: dense, 0.5: before}, questions=QUESTIONS))
    for seed, number in enumerate(after):
        training = Training(seed=seed)
        points += curve(
            {0.5: number}, training=training, dense=dense, questions=QUESTIONS
        )
    (one,) = recoveries(points)
    gain = np.mean(after) / 200 - before / 200
    assert one.gain == pytest.approx(gain)
    if dense - before >= 200 * LEAST_LOSS:
        assert one.won_back == pytest.approx(gain / ((dense - before) / 200))
    else:
        assert one.won_back is None
    if one.significant:
        assert len({number > before for number in after}) == 1
        for number in after:
            assert stats.mcnemar(*answered(number, before)) <= one.adjusted


def test_seeds_are_never_mixed_with_other_trainings():
    points = trained()
    lines = [
        (curve.training and curve.training.title, [len(seeds) for seeds in places])
        for curve, places in seeds_together(points)
    ]
    assert lines == [
        (None, [1] * 4), ("choice", [2] * 4), ("choice, norms,biases", [1]),
    ]  # fmt: skip
    draws = [
        point
        for seed in range(2)
        for point in curve({0.0: 6, 0.5: 3}, method="random", seed=seed)
    ]
    assert len(list(trainings_together(draws))) == 2  # one-shot ones stay apart


def test_lines_are_means_and_bands_their_range():
    lines = curves.finetuned(trained())
    assert [(line.panel, line.label) for line in lines] == [
        ("one · cloze, magnitude", label)
        for label in (
            "one-shot", "fine-tuned: choice", "fine-tuned: choice, norms,biases",
        )
    ]  # fmt: skip
    one_shot, choice, biases = lines
    assert choice.accuracy == pytest.approx((0.505, 0.52, 0.32, 0.115))
    assert choice.low == pytest.approx((0.5, 0.52, 0.31, 0.1))
    assert choice.high == pytest.approx((0.51, 0.52, 0.33, 0.13))
    for line in one_shot, biases:  # Wilson's
        for low, value, high in zip(line.low, line.accuracy, line.high, strict=True):
            assert low < value < high
            right = round(200 * value)
            assert (low, high) == pytest.approx(stats.wilson(right, 200))
    told = choice.told(2, timed=False).splitlines()
    assert told[0] == "one · cloze, magnitude, fine-tuned (choice), seed 0"
    assert told[2] == "accuracy 32.0 %, mean of 2 seeds from 31.0 to 33.0"
    pooled = curves.accuracy(trained())
    assert [(line.label, line.accuracy) for line in pooled[1:]] == [
        ("cloze, magnitude, fine-tuned (choice)", choice.accuracy),
        ("cloze, magnitude, fine-tuned (choice, norms,biases), seed 1", (0.22,)),
    ]


def test_every_point_of_a_plot_leads_to_questions_that_the_page_has():
    found = statistics(trained())
    made = page(found, (), [], [], questions=8)
    for line in (*curves.accuracy(trained()), *curves.finetuned(trained())):
        assert f'"label":"{dict(line.address)["label"]}"' in made.replace(": ", ":")


def test_the_picture_is_a_file_of_a_run_that_trained(tmp_path):
    points = trained()
    report.write(tmp_path, statistics(points), RUN)
    assert (tmp_path / "finetuned.png").is_file()
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "![one-shot and fine-tuned accuracy against sparsity]" in markdown
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What training won back" in html
    assert "choice, seeds 0, 1; choice, norms,biases, seed 1" in html
    for point, read in zip(points, report.read(tmp_path).points, strict=True):
        assert read.curve == point.curve
    one_shot = [point for point in points if not point.curve.finetuned]
    report.write(tmp_path, statistics(one_shot), RUN)
    assert not (tmp_path / "finetuned.png").exists()
    figure = pictures.figures(statistics(points), ["finetuned"])["finetuned"]
    title = figure.legends[0].get_title().get_text()
    assert max(map(len, title.splitlines())) < 45  # fits the figure
    assert title.replace("\n", " ").endswith("; of several seeds their range")


@pytest.mark.parametrize("columns", [100, 80])
def test_the_terminal_has_the_table_in_its_width(columns):
    said = text.terminal(statistics(trained()), columns=columns)
    assert max(map(len, said.splitlines())) <= columns
    assert "32.0 [31.0–33.0]" in said


def test_a_method_of_somebody_elses_file_is_compared_after_it_is_read(tmp_path):
    """Its recipe is not made anew, so that a table's seed stays where it says one."""
    points = [
        dataclasses.replace(
            point,
            curve=dataclasses.replace(point.curve, recipe=foreign(point.curve.recipe)),
        )
        for point in trained()
    ]
    report.write(tmp_path, statistics(points), RUN)
    before, after = (
        [(one.p, one.gain) for one in recoveries(some)]
        for some in (points, report.read(tmp_path).points)
    )
    assert before == after
    assert None not in [p for p, _ in after]


def foreign(recipe):
    fields = {**dataclasses.asdict(recipe), "method": "elsewhere.py:own"}
    return type(recipe).written(**fields)
