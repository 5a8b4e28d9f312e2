"""The loop over batches: what is scored, what is recorded, and what is refused."""

import dataclasses
import functools
import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest

from jaxsparse import scoring
from jaxsparse.cbt import Question
from jaxsparse.evaluation import Scorer, score_batches
from jaxsparse.journal import Journal
from jaxsparse.one_shot import OneShot
from jaxsparse.pruning import Recipe
from jaxsparse.sweep import evaluate
from jaxsparse.types import InputError, Presentation
from jaxsparse.variants import dense
from tests import tiny
from tests.asking import plan_of
from tests.told import Told

QUERY = Presentation("cloze", "query")
TWO_AT_A_TIME = {"batch_tokens": 2 * 56}


def question(seed):
    story, query, options, answer = tiny.question_text(seed)
    return Question(story, query, options, answer, "CN", id=f"CN-test-{seed}")


@pytest.fixture
def stub(monkeypatch):
    """Scores a batch without a model: question n of the batch, variant v: v + n."""
    sizes, worst = [], [0.0]

    def score(scorer, apply, params, changed, batch, levels):
        questions = len(batch.terms.places)
        sizes.append(questions)
        made = np.arange(levels)[:, None] + np.arange(questions)
        made = np.repeat(made[..., None], 10, axis=2).astype(np.float32)
        made[-1, 0, 0] += worst[0]
        made[:, ~np.asarray(batch.terms.valid).any(axis=-1)] = -np.inf
        return lambda: (made, 12.0)

    monkeypatch.setattr(Scorer, "score", score)
    return sizes, worst


@pytest.fixture(scope="module")
def three():
    """In batches of two: the second is padded. The third question has eight options,
    which its shape pads."""
    questions = [question(seed) for seed in (2, 8, 17)]
    few = questions[2].options[:8]
    return [
        *questions[:2],
        dataclasses.replace(questions[2], options=few, answer=few[0]),
    ]


@pytest.fixture(scope="module")
def variants(loaded):
    """Dense and two pruned ones."""
    model, recipe = loaded("gpt2"), Recipe("magnitude")
    return (dense(model, recipe), *OneShot(model).variants(recipe, (0.5, 0.9)))


def ask(variants, questions, journal, at_once):
    told = Told()
    points = list(
        evaluate(
            variants, questions, QUERY, levels_at_once=at_once, journal=journal,
            progress=told, **TWO_AT_A_TIME,
        )
    )  # fmt: skip
    return [point.answers for point in points], [n for n in told.told if n in range(9)]


def test_every_question_gets_its_scores_and_its_share_of_the_seconds(
    variants, three, stub
):
    answers, told = ask(variants, three, Journal(), 3)
    assert stub[0] == [2, 2]
    assert told[-2:] == [6, 3]
    for number, of_variant in enumerate(answers):
        assert of_variant.scores[:, 0].tolist() == [number, number + 1, number]
        assert np.isneginf(of_variant.scores[2, 8:]).all()
        # 12 seconds for three variants: of two questions first, then of one.
        assert of_variant.seconds.tolist() == [2, 2, 4]


def test_what_only_fills_the_shape_is_not_kept_and_costs_nothing(variants, three, stub):
    journal = Journal()
    ask(variants[:2], three, journal, 2)
    answers, told = ask(variants, three, journal, 2)  # the last one alone
    assert told[-2:] == [2, 1]
    assert journal.recorded == 9
    assert answers[2].seconds.tolist() == [6, 6, 12]


def test_of_a_batch_known_in_part_the_rest_is_scored_in_the_same_shape(
    variants, three, stub
):
    journal = Journal()
    ask(variants[:1], three[:1], journal, 1)
    (answers,), told = ask(variants[:1], three, journal, 1)
    assert stub[0] == [1, 2, 2]
    assert told[-2:] == [1, 1]
    # Each stood first in its batch.
    assert answers.scores[:, 0].tolist() == [0, 0, 0]


def test_of_equal_questions_one_is_asked(variants, three, stub):
    twice = [three[0], three[1], dataclasses.replace(three[0], id="CN-test-99")]
    (answers,), _ = ask(variants[:1], twice, journal := Journal(), 1)
    assert journal.recorded == 2
    assert answers.scores[0].tolist() == answers.scores[2].tolist()


@pytest.mark.parametrize("worst", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused_with_a_remedy_and_not_kept(
    variants, three, stub, worst
):
    journal, stub[1][0] = Journal(), worst
    with pytest.raises(InputError, match=r"`dtype=float32`: .*gpt2.* not finite;"):
        ask(variants, three, journal, 3)
    assert journal.recorded == 0


def test_scorers_time_leaves_compilation_out(variants, three):
    model, scorer = variants[0].model, Scorer()
    plan = plan_of(model, three, QUERY, **TWO_AT_A_TIME)
    leaves = variants[0].leaves()
    batches = list(score_batches(scorer, plan, model.apply, model.params, leaves))
    assert [members for members, *_ in batches] == [(0, 1), (2,)]
    assert scorer.compilations == 1
    assert 0 < sum(seconds for *_, seconds in batches) < scorer.compile_seconds
    assert {scores.dtype for _, scores, _ in batches} == {np.dtype(np.float32)}


def test_the_questions_that_lost_sentences_are_known(loaded):
    short = question(2)
    story = tuple(" ".join([sentence] * 4) for sentence in short.context)
    long = dataclasses.replace(short, context=story)
    model = loaded("electra-discriminator")
    plan = plan_of(model, [short, long], Presentation("append"), 4096)
    assert plan.encoded[1].dropped > 0
    assert plan.truncated.tolist() == [False, True]


GENEROUS = 60  # seconds, within which any of these batches is made


@dataclasses.dataclass
class Pretended(Scorer):
    """A device that has the scores of a batch once `finish` of its number returns."""

    finish: Callable[[int], None] = lambda number: None
    given: int = 0  # how many batches it was given

    def _compile(self, *_):
        return self._begin

    def _begin(self, shared, changed, batch):
        finish = functools.partial(self.finish, self.given)
        self.given += 1
        return Awaited(batch.terms.valid.shape[:2], finish)


@dataclasses.dataclass
class Awaited:
    shape: tuple[int, int]
    finish: Callable[[], None]

    def __array__(self, dtype=None, copy=None):
        self.finish()
        return np.zeros((1, *self.shape), np.float32)


@pytest.fixture(scope="module")
def one_each(variants):
    """Four batches of a question each."""
    some = [question(seed) for seed in (2, 8, 17, 23)]
    plan = plan_of(variants[0].model, some, QUERY, batch_tokens=1)
    assert [batch.questions for batch in plan.batches] == [(0,), (1,), (2,), (3,)]
    return plan


def scored_by(device, plan):
    return score_batches(device, plan, lambda params, inputs: inputs, {}, {})


def test_the_device_never_waits_for_the_host(one_each, monkeypatch):
    """It finishes no batch before the next one is made and the scores of the last are
    recorded: were one done after the other, all would wait for ever. And it has a batch
    while scores are recorded."""
    make, numbers, late = scoring.batch, itertools.count(), []
    made, recorded = ([threading.Event() for _ in one_each.batches] for _ in "mr")

    def made_one(*arguments):
        batch = make(*arguments)
        made[next(numbers)].set()
        return batch

    def finish(number):
        for event in (*made[number + 1 : number + 2], *recorded[:number]):
            if not late and not event.wait(GENEROUS):
                late.append(number)

    monkeypatch.setattr(scoring, "batch", made_one)
    device = Pretended(finish=finish)
    for (member,), _, seconds in scored_by(device, one_each):
        assert not late
        assert device.given == min(member + 2, len(one_each.batches))
        assert seconds > 0
        recorded[member].set()
    assert all(event.is_set() for event in (*made, *recorded))


def test_an_error_of_the_device_ends_the_run_after_what_came_before(one_each):
    def finish(number):
        if number == 2:
            raise RuntimeError("the device is gone")

    recorded = []

    def run():
        for members, *_ in scored_by(Pretended(finish=finish), one_each):
            recorded.extend(members)

    with pytest.raises(RuntimeError, match="the device is gone"):
        run()
    assert recorded == [0, 1]
