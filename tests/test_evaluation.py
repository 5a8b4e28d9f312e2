"""One loop over batches: what is scored, kept, and left out."""

import dataclasses

import numpy as np
import pytest

from jaxsparse.cbt import Question
from jaxsparse.device import CPU
from jaxsparse.evaluation import (
    Prepared,
    Scorer,
    prepare,
    recall,
    score,
    unknown,
)
from jaxsparse.journal import Conditions, Journal
from jaxsparse.types import InputError, Presentation
from tests import tiny
from tests.told import Told


def real_question(seed):
    story, query, options, answer = tiny.question_text(seed)
    return Question(story, query, options, answer, "CN", id=f"CN-test-{seed}")


class Stub(Scorer):
    """Scores a batch without a model: question n of the batch at level l gets l + n."""

    def __init__(self, levels, worst=0.0):
        super().__init__(lambda params, inputs: None, CPU, levels)
        self.worst, self.sizes = worst, []

    def score(self, params, levels, batch):
        questions = len(batch.terms.places)
        self.sizes.append(questions)
        made = np.arange(self.levels_at_once)[:, None] + np.arange(questions)
        made = np.repeat(made[..., None], 10, axis=2).astype(np.float32)
        made[-1, 0, -1] += self.worst
        real = np.asarray(batch.terms.valid).any(axis=-1)
        made[:, ~real] = -np.inf
        return made, 12.0


def conditions(sparsity):
    return Conditions(
        weights="w", method="magnitude", pattern="unstructured", scope="matrix",
        prunable="blocks", sparsity=sparsity, seed=0, calibration=None,
        protocol="cloze", context="query", detokenize="ptb", dtype="float32",
        scoring_revision=1, pruning_revision=1,
    )  # fmt: skip


LEVELS = [conditions(0.1), conditions(0.5), conditions(0.9)]
EVERY = frozenset(range(3))


def asked_again(
    scorer, model, prepared: Prepared, journal, questions=EVERY, levels=None
):
    """Scores the questions and gives the scores at each level, and what was told."""
    levels, told = levels or LEVELS[: scorer.levels_at_once], Told()
    score(
        scorer, prepared, model, leaves={}, levels=levels, questions=questions,
        journal=journal, progress=told,
    )  # fmt: skip
    return [recall(journal, level, prepared) for level in levels], told.told


@pytest.fixture(scope="module")
def some(loaded):
    """Three questions in batches of two: the second batch is padded, and so is what its
    one question has of options."""
    model = loaded("gpt2")
    questions = [real_question(seed) for seed in (2, 8, 17)]
    few = questions[2].options[:8]
    questions[2] = dataclasses.replace(questions[2], options=few, answer=few[0])
    return model, prepare(
        model, questions, Presentation("cloze", "query"), batch_tokens=2 * 56
    )


def test_every_question_gets_its_scores_and_its_share_of_the_seconds(some):
    assert [batch.questions for batch in some[1].batches] == [(0, 1), (2,)]
    stub = Stub(levels=3)
    levels, told = asked_again(stub, *some, Journal())
    assert stub.sizes == [2, 2]
    assert told == [6, 3]
    for number, level in enumerate(levels):
        assert level.scores[:, 0].tolist() == [number, number + 1, number]
        assert np.isneginf(level.scores[2, 8:]).all()
        # 12 seconds for three levels: of two questions first, then of one.
        assert level.seconds.tolist() == [2, 2, 4]


def test_levels_that_only_fill_the_shape_are_not_kept_and_cost_nothing(some):
    stub = Stub(levels=3)
    (level,), told = asked_again(stub, *some, Journal(), levels=LEVELS[:1])
    assert told == [2, 1]
    assert level.seconds.tolist() == [6, 6, 12]


def test_of_a_batch_known_in_part_the_rest_is_scored_in_the_same_shape(some):
    model, prepared = some
    journal, stub = Journal(), Stub(levels=1)
    score(
        stub, prepared, model, leaves={}, levels=LEVELS[:1], questions=frozenset({0}),
        journal=journal, progress=Told(),
    )  # fmt: skip
    assert stub.sizes == [2]
    left = unknown(journal, LEVELS[0], prepared)
    assert left == {1, 2}
    (level,), told = asked_again(stub, model, prepared, journal, left)
    assert stub.sizes == [2, 2, 2]
    assert told == [1, 1]
    # Each stood first in its batch.
    assert level.scores[:, 0].tolist() == [0, 0, 0]
    assert unknown(journal, LEVELS[0], prepared) == frozenset()


@pytest.mark.parametrize("worst", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused_with_a_remedy_and_not_kept(some, worst):
    journal = Journal()
    with pytest.raises(InputError, match=r"--dtype=float32: .*gpt2.* not finite;"):
        asked_again(Stub(levels=2, worst=worst), *some, journal)
    assert journal.recorded == 0


def test_scorers_time_leaves_compilation_out(some):
    scorer = Scorer(some[0].apply, CPU)
    (dense,), _ = asked_again(scorer, *some, Journal())
    assert scorer.compilations == 1
    assert 0 < dense.seconds.sum() < scorer.compile_seconds
    assert dense.scores.dtype == np.float32


def test_the_questions_that_lost_sentences_are_known(loaded):
    short = real_question(2)
    story = tuple(" ".join([sentence] * 4) for sentence in short.context)
    long = dataclasses.replace(short, context=story)
    model = loaded("electra-discriminator")
    made = prepare(model, [short, long], Presentation("append"), batch_tokens=4096)
    assert made.encoded[1].dropped > 0
    assert made.truncated.tolist() == [False, True]
