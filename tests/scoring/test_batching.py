"""Batches: every question once, few shapes, nothing read from padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse.models.operations import Operations
from jaxsparse.scoring.batching import padding, plan, stack
from jaxsparse.scoring.encoded import Encoded, QuestionRows, Sizes, TokenRows
from jaxsparse.scoring.grouping import MOST_SHAPES, rounded
from tests.asking import option_terms

property_test = settings(deadline=None, max_examples=60)


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
    made_terms = []
    for option in range(10):
        for _ in range(terms):
            number = int(rng.integers(len(made)))
            slot = int(rng.integers(len(made[number]["scored"])))
            made_terms.append((option, number, slot, int(rng.integers(1, 9))))
    question = QuestionRows(made, np.array(made_terms, np.int32))
    piece = np.ones(terms, np.int32)
    tokens = TokenRows.of_pieces(piece, [piece] * 10, piece, 0, False)
    return Encoded(tokens, lambda _: question, Sizes.of(question))


@given(QUESTIONS, BUDGETS)
@property_test
def test_every_question_is_in_one_batch(asked, budget):
    members = make(asked)
    numbers = [n for batch in plan(members, budget) for n in batch.questions]
    assert sorted(numbers) == list(range(len(members)))


@given(QUESTIONS, BUDGETS)
@property_test
def test_a_shape_is_as_long_as_its_longest_row_rounded_up(asked, budget):
    members = make(asked)
    longest = {}
    for batch in plan(members, budget):
        for number in batch.questions:
            for row in members[number].rows:
                for field, values in row.items():
                    key = batch.shape, field
                    longest[key] = max(longest.get(key, 0), len(values))
    for (shape, field), length in longest.items():
        assert length <= dict(shape.lengths)[field] == rounded(length)


def test_lengths_are_rounded_by_steps_that_grow_with_them():
    found = [rounded(n) for n in (0, 1, 7, 8, 9, 16, 17, 63, 64, 65, 96, 97, 513)]
    assert found == [0, 1, 7, 8, 16, 16, 24, 64, 64, 96, 96, 128, 544]


def lengths_of(seed, count):
    """Rows as long as those of real stories, a few of them much longer."""
    rng = np.random.default_rng(seed)
    return rng.lognormal(np.log(560), 0.35, count).clip(200, 1500).astype(int)


@pytest.mark.parametrize("budget", [2048, 4096, 32768])
@pytest.mark.parametrize("count", [24, 100, 1000])
def test_padding_is_less_than_a_fifth_with_few_shapes(count, budget):
    lengths = lengths_of(0, count)
    members = [encoded(0, "causal", [(int(n), 1, 1)], 1) for n in lengths]
    batches = plan(members, budget)
    computed = sum(batch.shape.tokens for batch in batches)
    assert padding(members, batches) == pytest.approx(1 - lengths.sum() / computed)
    assert padding(members, batches) < 0.2
    assert len({batch.shape for batch in batches}) <= MOST_SHAPES


def test_what_costs_more_is_padded_less():
    """Two lengths of scored positions: with a head that costs nothing they share a
    shape, with one that costs much they do not."""
    members = [
        encoded(0, "causal", [(500, 1, scored)], 1) for scored in [8] * 64 + [64] * 64
    ]
    cheap, dear = (Operations(token=10**6, pair=0, scored=n) for n in (0, 10**9))
    assert len({batch.shape for batch in plan(members, 4096, cheap)}) == 1
    assert len({batch.shape for batch in plan(members, 4096, dear)}) == 2


@given(QUESTIONS, BUDGETS, st.integers(2, 8))
@property_test
def test_devices_share_rows_evenly(asked, budget, devices):
    members = make(asked)
    batches = plan(members, budget, rows_multiple=devices)
    assert all(batch.shape.rows % devices == 0 for batch in batches)
    numbers = [n for batch in batches for n in batch.questions]
    assert sorted(numbers) == list(range(len(members)))


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
        assert terms.valid.sum() == sum(
            len(members[n].laid_out.terms) for n in batch.questions
        )
        first_row = 0
        for place, number in enumerate(batch.questions):
            for option, expected in enumerate(option_terms(members[number])):
                found = terms.places[place, option][terms.valid[place, option]]
                rows, reads = np.divmod(found, batch.shape.reads)
                slots, tokens = terms.slots[rows, reads], terms.tokens[rows, reads]
                stacked = zip(rows - first_row, slots, tokens, strict=True)
                assert list(stacked) == expected
            first_row += len(members[number].rows)


@given(QUESTIONS, BUDGETS)
@property_test
def test_rows_are_stacked_in_order_and_padded(asked, budget):
    filling = {"branches": -1, "attention_mask": False}
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
            assert (fields[name][beyond] == filling.get(name, 0)).all()
