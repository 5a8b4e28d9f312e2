"""Packed rows hold exactly what the rows they are made of hold."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse.scoring import seq2seq
from jaxsparse.scoring.encoded import distinct, pack

property_test = settings(deadline=None, max_examples=150)
TOKENS = st.integers(0, 2)  # few, so that rows begin alike and repeat


@st.composite
def rows_and_first(draw):
    """Rows with a common prefix (which may go on in some), and first scored tokens."""
    prefix = draw(st.lists(TOKENS, max_size=6))
    rows, first = [], []
    for _ in range(draw(st.integers(1, 5))):
        own = draw(st.lists(TOKENS, min_size=2 if not prefix else 1, max_size=5))
        rows.append(np.asarray(prefix + own, np.int32))
        first.append(draw(st.integers(1, len(rows[-1]) - 1)))
    return rows, first


def packed_rows(rows, first, head=0):
    """The packed row, and of each row its terms (slot, token), where the first `head`
    tokens are given as those of all rows."""
    packed, terms = pack(
        rows[0][:head], [row[head:] for row in rows], [at - head for at in first]
    )
    assert terms[:, 1].tolist() == [0] * len(terms)
    return packed, [
        [tuple(term[2:]) for term in terms[terms[:, 0] == option].tolist()]
        for option in range(len(rows))
    ]


def visible(packed, at):
    """The positions that the token at a packed position sees, itself included."""
    branches = packed["branches"]
    seen = (branches == 0) | (branches == branches[at])
    return np.flatnonzero(seen & (np.arange(len(branches)) <= at))


@given(rows_and_first())
@property_test
def test_a_scored_token_is_predicted_from_exactly_its_rows_beginning(case):
    rows, first = case
    packed, terms = packed_rows(rows, first)
    for row, start, row_terms in zip(rows, first, terms, strict=True):
        assert [token for _, token in row_terms] == row[start:].tolist()
        for place, (slot, _) in enumerate(row_terms, start):
            seen = visible(packed, packed["scored"][slot])
            assert packed["tokens"][seen].tolist() == row[:place].tolist()
            assert packed["positions"][seen].tolist() == list(range(place))


@given(rows_and_first())
@property_test
def test_every_row_is_the_prefix_a_branch_and_a_last_token(case):
    rows, first = case
    packed, terms = packed_rows(rows, first)
    branches = packed["branches"]
    prefix = packed["tokens"][branches == 0].tolist()
    made = {0: prefix} | {
        branch: prefix + packed["tokens"][branches == branch].tolist()
        for branch in set(branches.tolist()) - {0}
    }
    for row, row_terms in zip(rows, terms, strict=True):
        assert row[:-1].tolist() in made.values()
        assert row_terms[-1][1] == row[-1]


@given(rows_and_first())
@property_test
def test_nothing_is_computed_twice_or_for_nothing(case):
    """The prefix is the longest there can be, equal rows share their branch, and a
    position is read only if it predicts."""
    rows, first = case
    packed, terms = packed_rows(rows, first)
    shared = 0
    while shared < min(first) and len({tuple(row[: shared + 1]) for row in rows}) == 1:
        shared += 1
    assert (packed["branches"] == 0).sum() == shared
    distinct_rows = {tuple(row) for row in rows}
    assert len(packed["tokens"]) == shared + sum(
        len(row) - 1 - shared for row in distinct_rows
    )
    slots = [slot for row_terms in terms for slot, _ in row_terms]
    assert set(slots) == set(range(len(packed["scored"])))
    assert len(set(packed["scored"].tolist())) == len(packed["scored"])


@given(rows_and_first(), st.data())
@property_test
def test_it_does_not_matter_how_much_is_given_as_head(case, data):
    rows, first = case
    shared = 0
    while shared < min(first) and len({tuple(row[: shared + 1]) for row in rows}) == 1:
        shared += 1
    packed, terms = packed_rows(rows, first)
    head = data.draw(st.integers(0, shared))
    again, terms_again = packed_rows(rows, first, head)
    assert terms_again == terms
    for name, values in packed.items():
        np.testing.assert_array_equal(again[name], values)


def test_the_example_of_the_docstring():
    rows = [np.array([7, 8, 9, 1, 2, 3], np.int32), np.array([7, 8, 9, 4, 5], np.int32)]
    packed, terms = packed_rows(rows, [3, 3])
    assert packed["tokens"].tolist() == [7, 8, 9, 1, 2, 4]
    assert packed["positions"].tolist() == [0, 1, 2, 3, 4, 3]
    assert packed["branches"].tolist() == [0, 0, 0, 1, 1, 2]
    assert packed["scored"].tolist() == [2, 3, 4, 5]
    assert terms == [[(0, 1), (1, 2), (2, 3)], [(0, 4), (3, 5)]]
    assert all(values.dtype == np.int32 for values in packed.values())


@given(rows_and_first())
@property_test
def test_a_decoder_row_of_its_own_is_packed_alone(case):
    rows, first = case
    packed, _ = pack(rows[0][:0], rows[:1], first[:1])
    alone = seq2seq._alone(rows[0][:0], rows[0], first[0])
    assert alone.keys() == packed.keys()
    for name, values in packed.items():
        np.testing.assert_array_equal(alone[name], values)
        assert alone[name].dtype == values.dtype


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
@property_test
def test_the_first_of_equals_stands_for_all(keys):
    options, numbers = distinct(keys)
    assert [keys[options[number]] for number in numbers] == keys
    assert options == sorted({keys.index(key) for key in keys})
