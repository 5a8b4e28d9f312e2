"""Names of marks: none lies on another, or outside of its panel."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.report.beside import APART, SIZE, sides

PLACES = st.floats(0, 1)


def middles(marks):
    """Where the names stand; None of those that have no place."""
    return [
        side and (mark[0] + side[0] * APART[0], mark[1] + side[1] * APART[1])
        for mark, side in zip(marks, sides(marks), strict=True)
    ]


def test_a_mark_by_itself_has_its_name_above_at_the_right():
    assert list(sides([(0.5, 0.5)])) == [(1, 1)]
    assert list(sides([(1.0, 0.5)])) == [(-1, 1)]  # the panel ends there
    assert list(sides([(0.5, 1.0), (1.0, 1.0)])) == [(1, -1), (-1, -1)]


def test_marks_at_one_place_take_its_sides_in_turn_until_none_is_left():
    taken = list(sides([(0.5, 0.5)] * 5))
    assert taken == [(1, 1), (1, -1), (-1, 1), (-1, -1), None]


@given(st.lists(st.tuples(PLACES, PLACES), max_size=12))
def test_no_name_lies_on_another_or_on_another_mark(marks):
    names = [(at, name) for at, name in enumerate(middles(marks)) if name]

    def are_apart(one, other):
        return any(
            abs(a - b) >= size - 1e-9
            for a, b, size in zip(one, other, SIZE, strict=True)
        )

    for (_, one), (_, other) in combinations(names, 2):
        assert are_apart(one, other)
    for at, name in names:
        assert all(are_apart(name, mark) for mark in marks if mark != marks[at])
        assert all(0 <= value <= 1 for value in name)
