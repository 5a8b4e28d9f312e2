"""Batches: every question once, few shapes, nothing read from padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse.scoring.batching import plan, stack
from jaxsparse.scoring.encoded import Encoded

property_test = settings(deadline=None, max_examples=60)
BUCKETS = (64, 128, 256, 384, 512, 640)


def row(rng, kind, length, decoder, scored):
    """Tokens are at least 1, so that padding can be told from them."""
    tokens = rng.integers(1, 9, decoder if kind == "seq2seq" else length)
    made = {"tokens": tokens.astype(np.int32)}
    if kind == "seq2seq":
        made["encoder_tokens"] = rng.integers(1, 9, length).astype(np.int32)
    if kind != "causal":
        made["attention_mask"] = np.ones(length, bool)
    if kind != "masked":
        made["positions"] = np.arange(len(tokens), dtype=np.int32)
        made["branches"] = np.zeros(len(tokens), np.int32)
    made["scored"] = rng.integers(0, len(tokens), scored).astype(np.int32)
    return made


ROW = st.tuples(  # length, decoder length, scored positions
    st.integers(1, 600), st.integers(1, 300), st.integers(1, 12)
)


def shapes(most_rows):
    """Of each question: its rows, and the terms of an option."""
    rows = st.lists(ROW, min_size=1, max_size=most_rows)
    return st.lists(st.tuples(rows, st.integers(1, 12)), min_size=1, max_size=12)


QUESTIONS = st.one_of(
    st.tuples(st.just("causal"), shapes(1)),
    st.tuples(st.sampled_from(["masked", "seq2seq"]), shapes(12)),
)
BUDGETS = st.integers(1, 20_000)


def make(asked, seed=0):
    kind, questions = asked
    return [encoded(seed, kind, *question) for question in questions]


def encoded(seed, kind, rows, terms):
    rng = np.random.default_rng(seed)
    made = tuple(row(rng, kind, *lengths) for lengths in rows)
    options = []
    for _ in range(10):
        option = []
        for _ in range(terms):
            number = int(rng.integers(len(made)))
            slot = int(rng.integers(len(made[number]["scored"])))
            option.append((number, slot, int(rng.integers(1, 9))))
        options.append(tuple(option))
    return Encoded(made, tuple(options), (terms,) * 10, 0)


def story_length(question):
    name = "encoder_tokens" if "encoder_tokens" in question.rows[0] else "tokens"
    return max(len(row[name]) for row in question.rows)


@given(QUESTIONS, BUDGETS)
@property_test
def test_every_question_is_in_one_batch(asked, budget):
    members = make(asked)
    numbers = [n for batch in plan(members, budget) for n in batch.questions]
    assert sorted(numbers) == list(range(len(members)))


@given(QUESTIONS, BUDGETS)
@property_test
def test_a_bucket_of_lengths_has_one_shape(asked, budget):
    members = make(asked)
    shapes = {}
    for batch in plan(members, budget):
        lengths = {story_length(members[number]) for number in batch.questions}
        [bucket] = {min(b for b in BUCKETS if length <= b) for length in lengths}
        assert shapes.setdefault(bucket, batch.shape) == batch.shape
        assert bucket in dict(batch.shape.lengths).values()


@given(QUESTIONS, BUDGETS)
@property_test
def test_the_budget_holds_unless_one_question_exceeds_it(asked, budget):
    members = make(asked)
    batches = plan(members, budget)
    for batch in batches:
        if batch.shape.tokens > budget:
            alike = [b.questions for b in batches if b.shape == batch.shape]
            sizes = [len(members[n].rows) for numbers in alike for n in numbers]
            assert batch.shape.rows == max(sizes)


@given(QUESTIONS, BUDGETS)
@property_test
def test_no_padding_rows_where_a_later_question_would_fit(asked, budget):
    members = make(asked)
    batches = plan(members, budget)
    for number, batch in enumerate(batches):
        used = sum(len(members[n].rows) for n in batch.questions)
        assert used <= batch.shape.rows
        for later in batches[number + 1 :]:
            if later.shape == batch.shape:
                sizes = [len(members[n].rows) for n in later.questions]
                assert used + min(sizes) > batch.shape.rows


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100])
def test_batches_of_a_bucket_share_its_rows_evenly(count):
    members = [encoded(0, "causal", [(100, 1, 1)], 1)] * count
    batches = plan(members, 8 * 128)
    assert len(batches) == -(-count // 8)
    padding = sum(batch.shape.rows for batch in batches) - count
    assert padding < len(batches)


def test_the_budget_counts_the_decoder_too():
    members = [encoded(0, "seq2seq", [(100, 60, 1)], 1)] * 20
    batches = plan(members, 4 * (128 + 64))
    assert [batch.shape.rows for batch in batches] == [4] * 5


def test_large_questions_are_topped_up_with_small_ones():
    sizes = [4, 4, 4, 4, 12, 12, 12, 12]
    members = [encoded(0, "masked", [(100, 1, 1)] * size, 1) for size in sizes]
    batches = plan(members, 16 * 128)
    assert [batch.shape.rows for batch in batches] == [16] * 4


@given(QUESTIONS, BUDGETS)
@property_test
def test_the_plan_depends_on_lengths_alone(asked, budget):
    one, other = make(asked, seed=1), make(asked, seed=2)
    assert plan(one, budget) == plan(other, budget)


@given(QUESTIONS, BUDGETS)
@property_test
def test_terms_point_at_what_the_questions_score(asked, budget):
    """And so never at padding: slots count from a row's own scored positions."""
    members = make(asked)
    for batch in plan(members, budget):
        _, terms = stack(members, batch)
        scored = dict(batch.shape.lengths)["scored"]
        assert terms.valid.sum() == sum(
            len(option) for n in batch.questions for option in members[n].terms
        )
        first_row = 0
        for place, number in enumerate(batch.questions):
            for option, expected in enumerate(members[number].terms):
                valid = terms.valid[place, option]
                found = terms.outputs[place, option][valid]
                rows, slots = np.divmod(found, scored)
                tokens = terms.tokens[place, option][valid]
                stacked = zip(rows - first_row, slots, tokens, strict=True)
                assert tuple(stacked) == expected
            first_row += len(members[number].rows)


@given(QUESTIONS, BUDGETS)
@property_test
def test_rows_are_stacked_in_order_and_padded(asked, budget):
    padding = {"branches": -1, "attention_mask": False}
    members = make(asked)
    for batch in plan(members, budget):
        fields, _ = stack(members, batch)
        rows = [row for number in batch.questions for row in members[number].rows]
        for name, length in batch.shape.lengths:
            assert fields[name].shape == (batch.shape.rows, length)
            beyond = np.full((batch.shape.rows, length), True)
            for at, values in enumerate(rows):
                found = fields[name][at, : len(values[name])]
                assert np.array_equal(found, values[name])
                assert found.dtype == values[name].dtype
                beyond[at, : len(values[name])] = False
            assert (fields[name][beyond] == padding.get(name, 0)).all()
