"""How losses on running text look: near lines apart, far ones in figures."""

import math

import pytest

from jaxsparse.report import text_plot
from jaxsparse.report.text_plot import LossSeries

DENSE = 3.9
SPARSITIES = (0.0, 0.5, 0.8)


def line(label, *nats, pattern="", sparsities=SPARSITIES, **how):
    nats = nats if pattern else (DENSE, *nats)
    return LossSeries("one", label, sparsities, nats, nats, nats, pattern, **how)


NEAR = (line("wanda", 4.0, 5.2), line("ria", 3.9, 5.1), line("admm", 3.9, 4.4))
FAR = line("random", 6.5, 8.2)
MARK = line("random", 7.1, pattern="2:4", sparsities=(0.5,))


def test_a_panel_is_as_high_as_the_lines_that_are_near_one_another():
    assert text_plot.ceiling([*NEAR]) == 5.2
    assert text_plot.ceiling([FAR, *NEAR, MARK]) == 5.2
    assert text_plot.ceiling([*NEAR, MARK]) == 5.2
    assert text_plot.ceiling([*NEAR, line("magnitude", 4.2, 6.0)]) == 6.0  # not so far
    two = FAR, line("gradient", 7.0, 9.0)
    assert text_plot.ceiling([*NEAR, *two]) == 5.2
    assert text_plot.ceiling([*NEAR[:2], *two]) == 9.0  # half of them
    assert text_plot.ceiling([FAR, NEAR[0]]) == 8.2  # nor is one of two an exception
    flat = [line(name, DENSE, DENSE) for name in "abc"]
    assert text_plot.ceiling(flat) == DENSE
    assert text_plot.ceiling([*flat, FAR]) == 8.2


def test_losses_beyond_the_end_are_written_at_the_edge():
    figure = text_plot.draw([FAR, MARK, *NEAR], "title")
    (axis,) = figure.axes
    bottom, end = axis.get_ylim()
    assert bottom < DENSE
    assert 5.2 < end < 6.5
    assert [text.get_text() for text in axis.texts] == ["6.5", "8.2", "7.1"]
    heights = {text.get_text(): text.xy[1] for text in axis.texts}
    assert 5.2 < heights["7.1"] < heights["6.5"] == heights["8.2"] < end
    assert max(axis.get_yticks()) <= 5.3  # what is above is not to scale
    (legend,) = figure.legends
    assert "above the dots: nats, not to scale" in legend.get_title().get_text()
    plain = text_plot.draw([*NEAR], "title")
    assert not plain.axes[0].texts
    assert plain.legends[0].get_title().get_text() == "title"


def test_values_that_would_overlap_are_not_all_written():
    far = line("random", 8.1, 8.2, 8.3, sparsities=(0.0, 0.9, 0.95, 0.99))
    figure = text_plot.draw([far, *NEAR], "")
    assert [text.get_text() for text in figure.axes[0].texts] == ["8.1", "8.3"]


def test_the_legend_is_beside_the_panels():
    figure = text_plot.draw([FAR, MARK, *NEAR], "title")
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(axis.get_tightbbox()) for axis in figure.axes)


def test_perplexity_stands_beside_nats_where_it_is_known():
    figure = text_plot.draw([line("wanda", 4.0, 5.2, has_perplexity=True)], "")
    nats, perplexity = figure.axes
    assert perplexity.get_ylim() == nats.get_ylim()
    labels = [label.get_text() for label in perplexity.get_yticklabels()]
    assert labels == ["50", "60", "70", "80", "100", "120", "150"]
    places = perplexity.get_yticks()
    assert places == pytest.approx([math.log(float(label)) for label in labels])
    assert len(text_plot.draw([*NEAR], "").axes) == 1


@pytest.mark.parametrize("high", [4.0, 4.3, 6.0, 12.0, 60.0, 800.0])
def test_ticks_are_few_whatever_the_range(high):
    values = list(text_plot.perplexities(3.9, high))
    assert 1 <= len(values) <= text_plot.MOST_TICKS
    assert values == sorted(values)
    assert all(3.9 <= math.log(value) <= high for value in values)
