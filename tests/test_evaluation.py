"""From scores to rows of results: ties, classes, intervals, seconds."""

import dataclasses
import math

import numpy as np
import pytest

from jaxsparse.accuracy import accuracies
from jaxsparse.cbt import Question
from jaxsparse.device import CPU
from jaxsparse.evaluation import (
    Asked,
    Prepared,
    Scorer,
    Scores,
    prepare,
    recall,
    score,
    unknown,
)
from jaxsparse.journal import Conditions, Journal
from jaxsparse.types import InputError
from tests import tiny
from tests.told import Told

OPTIONS = tuple("abcdefghij")


def question(number, word_class="CN", answer="a", options=OPTIONS):
    name = f"{word_class}-test-{number}"
    story = ("Hush !",) * 20
    return Question(story, "A XXXXX .", options, answer, word_class, id=name)


def asked(questions, truncated=None):
    truncated = np.array(truncated or [False] * len(questions))
    tokens = ((1,) * 10,) * len(questions)
    return Asked(tuple(questions), "cloze", "full", "ptb", tokens, truncated)


def scores(choices, seconds=None):
    """Scores whose best option is the chosen one."""
    table = np.full((len(choices), 10), -5, np.float32)
    table[np.arange(len(choices)), choices] = -1
    return Scores(table, np.array(seconds or [0.5] * len(choices), np.float64))


def test_of_equal_scores_the_first_is_taken_and_ties_are_counted():
    table = np.full((3, 10), -5, np.float32)
    table[0, [3, 7]] = -1  # a tie for the best
    table[1, 7] = -1  # ties below the best are none
    said = Scores(table, np.ones(3))  # and a tie of all ten
    assert said.predicted.tolist() == [3, 7, 0]
    assert said.tied.tolist() == [True, False, True]
    (*_, pooled) = accuracies(asked([question(n) for n in range(3)]), said, said)
    assert (pooled.ties, pooled.correct) == (2, 1)


def test_an_option_is_correct_by_its_text():
    doubled = ("a", "b", "a", *"defghij")
    questions = [question(1, options=doubled), question(2), question(3, answer="c")]
    assert scores([2, 2, 2]).correct(questions).tolist() == [True, False, True]


def test_a_row_for_each_class_in_order_of_appearance_and_one_for_all():
    classes = ["V", "CN", "V", "CN", "CN"]
    questions = [question(n, word_class) for n, word_class in enumerate(classes)]
    dense, point = scores([0, 0, 0, 1, 1]), scores([0, 1, 1, 0, 0])
    rows = list(
        accuracies(asked(questions, [False, True, False, True, False]), point, dense)
    )
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
    point = scores(np.repeat([0, 0, 1, 1], counts))
    dense = scores(np.repeat([0, 1, 0, 1], counts))
    questions = asked([question(number) for number in range(sum(counts))])
    (row, pooled) = accuracies(questions, point, dense)
    low, high = wilson(both + gained, sum(counts))
    assert (row.ci_low, row.ci_high) == pytest.approx((low, high), abs=1e-12)
    assert row.p_vs_dense == pytest.approx(mcnemar(gained, lost))
    assert (pooled.ci_low, pooled.p_vs_dense) == (row.ci_low, row.p_vs_dense)


def test_p_is_of_the_questions_of_its_own_row():
    classes = ["CN"] * 8 + ["NE"] * 8
    questions = [question(n, word_class) for n, word_class in enumerate(classes)]
    point, dense = scores([0] * 8 + [1] * 8), scores([1] * 8 + [1] * 8)
    common, names, pooled = accuracies(asked(questions), point, dense)
    assert common.p_vs_dense == pytest.approx(2 / 2**8)
    assert names.p_vs_dense == 1
    assert pooled.p_vs_dense == common.p_vs_dense


def test_dense_itself_has_no_p_value():
    questions, dense = asked([question(1)]), scores([0])
    assert {row.p_vs_dense for row in accuracies(questions, dense, dense)} == {None}
    equal = scores([0])
    assert {row.p_vs_dense for row in accuracies(questions, equal, dense)} == {1.0}


def test_seconds_are_those_of_the_rows_questions():
    questions = [question(1), question(2, "P"), question(3)]
    point = scores([0, 0, 0], seconds=[0.25, 2.0, 0.75])
    common, prepositions, pooled = accuracies(asked(questions), point, point)
    assert (common.seconds, prepositions.seconds, pooled.seconds) == (1, 2, 3)
    assert common.questions_per_second == 2
    assert prepositions.questions_per_second == 0.5
    assert pooled.questions_per_second == 1


# Scoring all questions


def real_question(seed):
    story, query, options, answer = tiny.question_text(seed)
    return Question(story, query, options, answer, "CN", id=f"CN-test-{seed}")


class Stub(Scorer):
    """Scores a batch without a model: question n of the batch at level l gets l + n."""

    def __init__(self, levels, worst=0.0):
        super().__init__(lambda params, inputs: None, levels)
        self.worst, self.sizes = worst, []

    def score(self, params, levels, batch):
        questions = len(batch.terms.places)
        self.sizes.append(questions)
        made = np.arange(self.levels_at_once)[:, None] + np.arange(questions)
        made = np.repeat(made[..., None], 10, axis=2).astype(np.float32)
        made[-1, 0, -1] += self.worst
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
    """Three questions in batches of two: the second batch is padded."""
    model = loaded("gpt2")
    questions = [real_question(seed) for seed in (2, 8, 17)]
    return model, prepare(
        model, questions, "cloze", context="query", batch_tokens=2 * 56
    )


def test_every_question_gets_its_scores_and_its_share_of_the_seconds(some):
    assert [batch.questions for batch in some[1].batches] == [(0, 1), (2,)]
    stub = Stub(levels=3)
    levels, told = asked_again(stub, *some, Journal())
    assert stub.sizes == [2, 2]
    assert told == [6, 3]
    for number, level in enumerate(levels):
        assert level.scores[:, 0].tolist() == [number, number + 1, number]
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
    made = prepare(model, [short, long], "append", batch_tokens=4096)
    assert made.encoded[1].dropped > 0
    assert made.asked.truncated.tolist() == [False, True]
