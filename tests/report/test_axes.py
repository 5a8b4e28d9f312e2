"""Where sparsities stand on the axes of the page."""

import math
from itertools import pairwise

import pytest

from jaxsparse.report.charts import linear, remaining


def test_sparsity_stands_as_it_is():
    axis = linear()
    assert [axis.place(value) for value in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
    assert [text for _, text in axis.ticks] == ["0", "0.25", "0.5", "0.75", "1"]


def test_the_weights_left_stand_in_logarithms():
    axis = remaining([0.0, 0.5, 0.9, 0.99])
    places = [axis.place(value) for value in (0.0, 0.5, 0.9, 0.99)]
    assert places == pytest.approx([0, math.log10(2) / 2, 0.5, 1])
    assert [text for _, text in axis.ticks] == ["100", "50", "20", "10", "5", "2", "1"]
    assert [place for place, _ in axis.ticks][3] == pytest.approx(0.5)
    assert axis.broken is None


def test_no_weights_at_all_stand_behind_a_gap():
    axis = remaining([0.0, 0.9, 1.0])
    assert axis.place(0.9) < axis.broken < axis.place(1.0) == 1
    assert [text for _, text in axis.ticks] == ["100", "50", "20", "10", "0"]


@pytest.mark.parametrize(
    ("shown", "texts"),
    [
        ([0.0], ["100", "50", "20", "10"]),  # a decade at least
        ([0.9999], ["100", "10", "1", "0.1", "0.01"]),  # no crowd
        ([1.0], ["100", "50", "20", "10", "0"]),
    ],
)
def test_ticks_fit_whatever_was_asked_for(shown, texts):
    axis = remaining(shown)
    assert [text for _, text in axis.ticks] == texts
    places = [place for place, _ in axis.ticks]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert all(b - a > 0.08 for a, b in pairwise(places))
