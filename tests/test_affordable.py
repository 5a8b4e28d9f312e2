"""The search stops where it must, asks test questions once, and claims what a report
would."""

from dataclasses import replace

import pytest

import jaxsparse
from jaxsparse import affordable, stats
from jaxsparse.affordable import largest_affordable
from jaxsparse.cbt import read_questions
from jaxsparse.journal import Journal
from jaxsparse.pruning import Recipe
from jaxsparse.report import summary
from jaxsparse.sweep import sweep
from jaxsparse.types import InputError, Presentation
from jaxsparse.variants import dense
from tests.report import made

VALIDATION = made.questions_of(50, ("validation",))
TEST = made.questions_of(40)
QUERY = Presentation("cloze", "query")


@pytest.fixture
def ask(loaded, monkeypatch):
    """(right on validation, right on test) by sparsity -> what is found.

    The first so many questions are right, so that all that differ are lost.
    """
    model = loaded("gpt2")
    start = dense(model, Recipe("magnitude"))

    def search(right, margin=0.05):
        search.asked, search.made = [], []

        def evaluate(curves, questions, presentation, **_):
            split = ("validation", "test").index(questions[0].split)
            sparsities = [variant.sparsity for variant in curves]
            search.asked.append((questions[0].split, *sparsities))
            correct = {at: right[at][split] for at in {0.0, *sparsities}}
            points = made.curve(correct, questions=questions)
            by_sparsity = {point.sparsity: point for point in points}
            yield from (by_sparsity[at] for at in sparsities)

        def pruned():
            for sparsity in list(right)[1:]:
                search.made.append(sparsity)
                yield replace(start, sparsity=sparsity)

        monkeypatch.setattr(affordable, "evaluate", evaluate)
        return largest_affordable(model, pruned(), VALIDATION, TEST, margin)

    return search


LOSSES = {0.0: (120, 90), 0.3: (119, 88), 0.4: (118, 87), 0.5: (112, 60), 0.6: (120, 1)}


def test_it_goes_up_to_the_first_that_fails_and_asks_test_questions_of_one(ask):
    found = ask(LOSSES)
    assert found.variant.sparsity == 0.4
    assert ask.made == [0.3, 0.4, 0.5]  # 0.6 would be within the margin, too
    assert ask.asked == [
        ("validation", 0.0),
        *(("validation", 0.0, sparsity) for sparsity in (0.3, 0.4, 0.5)),
        ("test", 0.0, 0.4),
    ]
    bounds = [trial.largest_loss for trial in found.trials]
    assert bounds == [stats.largest_loss(0, lost, 200) for lost in (1, 2, 8)]
    assert [found.within(trial) for trial in found.trials] == [True, True, False]
    assert bounds[1] < 0.05 < bounds[2]
    assert found.trials[2].loss == pytest.approx(0.04)  # itself below the margin
    assert found.test.point.questions == TEST
    assert found.confirmed
    assert found.verdict.startswith("0.4; 160 test questions confirm it: 54.37 % right")


def test_all_may_hold(ask):
    found = ask({at: LOSSES[at] for at in (0.0, 0.3, 0.4)})
    assert found.variant.sparsity == 0.4
    assert [found.within(trial) for trial in found.trials] == [True, True]


def test_test_questions_may_not_confirm_it(ask):
    found = ask({0.0: (120, 90), 0.3: (120, 80)})
    assert found.variant.sparsity == 0.3
    assert not found.confirmed
    assert "160 test questions do NOT confirm it: 50.00 % right" in found.verdict
    assert found.test.largest_loss == stats.largest_loss(0, 10, 160)


def test_where_dense_is_at_chance_on_test_questions_they_confirm_nothing(ask):
    """Of 160 it is from 24 right on: there would be nothing to lose."""
    assert ask({0.0: (120, 24), 0.3: (120, 24)}).confirmed
    found = ask({0.0: (120, 23), 0.3: (120, 23)})
    assert not found.confirmed
    assert found.within(found.test)
    assert found.verdict.endswith("; dense is not shown to be above chance")


def test_where_none_holds_no_test_question_is_asked(ask):
    found = ask({0.0: (120, 90), 0.3: (100, 90), 0.4: (120, 90)})
    assert (found.variant, found.test) == (None, None)
    assert not found.confirmed
    assert len(found.trials) == 1
    assert not any(split == "test" for split, *_ in ask.asked)


def test_a_model_that_is_not_above_chance_has_nothing_to_lose(ask):
    """Of 200 questions with ten options it is from 29 right on."""
    assert ask({0.0: (29, 90), 0.3: (29, 90)}).confirmed
    with pytest.raises(InputError, match=r"not shown to be above chance, 10\.0 %"):
        ask({0.0: (28, 90), 0.3: (28, 90)})
    assert ask.asked == [("validation", 0.0)]


@pytest.mark.parametrize("margin", [0.001, 0.01, 0.05, 0.2])
def test_so_few_questions_that_no_answer_could_hold_are_told_at_once(ask, margin):
    fewest = stats.fewest_questions(margin)
    assert stats.largest_loss(0, 0, fewest) <= margin
    assert stats.largest_loss(0, 0, fewest - 1) > margin
    affordable.check_questions(margin, validation=fewest, test=fewest)
    for short in {"validation": fewest - 1}, {"test": fewest - 1}:
        with pytest.raises(InputError, match=f"ask at least {fewest} of each split"):
            affordable.check_questions(margin, **short)
    if fewest > len(TEST):
        with pytest.raises(InputError, match="could not be excluded even if no answer"):
            ask(LOSSES, margin)
        assert ask.asked == ask.made == []


def test_a_margin_of_nothing_is_refused(ask):
    with pytest.raises(InputError, match="accept more than 0"):
        ask(LOSSES, 0.0)


def test_what_is_no_way_up_is_our_own_fault(loaded, ask):
    with pytest.raises(ValueError, match=r"sparsity 0\.3 does not ascend"):
        ask({0.0: (120, 90), 0.4: (120, 90), 0.3: (120, 90)})
    model = loaded("gpt2")
    with pytest.raises(ValueError, match="nothing is pruned"):
        largest_affordable(model, (), VALIDATION, TEST, 0.05)


def test_its_bound_is_that_of_a_report():
    start, point = made.curve({0.0: 120, 0.3: 117}, questions=VALIDATION)
    trial = affordable.Trial(point, start)
    (compared,) = summary.compare([(point, start)])
    assert trial.largest_loss == compared.largest_loss
    assert trial.loss == pytest.approx(-compared.difference.value)


@pytest.fixture(scope="module")
def tiny_gpt2():
    return jaxsparse.load_model("tiny-gpt2")


def test_a_real_model_is_asked_as_a_sweep_asks_it(tiny_gpt2):
    """Verbs without a story are what it is best at."""
    validation, test = (
        read_questions("bundled", split, "V", 12) for split in ("validation", "test")
    )
    pruned = (jaxsparse.prune(tiny_gpt2, "magnitude", at) for at in (0.3, 0.99))
    journal = Journal()
    found = largest_affordable(
        tiny_gpt2, pruned, validation, test, 0.25, QUERY, journal=journal
    )
    assert [trial.point.sparsity for trial in found.trials] == [0.3, 0.99]
    assert found.variant.sparsity == 0.3
    assert journal.recorded == 12 * 3 + 12 * 2
    options = {"presentations": [QUERY], "journal": journal}
    points = [
        *sweep(tiny_gpt2, validation, "magnitude", (0.3, 0.99), **options),
        *sweep(tiny_gpt2, test, "magnitude", (0.3,), **options),
    ]
    assert journal.recorded == 12 * 3 + 12 * 2  # a sweep has nothing new to ask
    tried = [found.trials[0].dense, *(trial.point for trial in found.trials)]
    tried += [found.test.dense, found.test.point]
    for asked, known in zip(tried, points, strict=True):
        assert asked.sparsity == known.sparsity
        assert (asked.answers.scores == known.answers.scores).all()
    # One compilation for each shape, however many sparsities.
    shapes = found.test.point.workload.shapes + points[0].workload.shapes
    assert found.test.point.workload.compilations <= shapes
