"""Accuracy against the time of a question: where it is drawn, and how."""

import dataclasses
from xml.etree import ElementTree

import pytest

from jaxsparse import plots
from jaxsparse.points import Point
from jaxsparse.report import charts, curves, merge, pictures, read, text, timing, write
from jaxsparse.report import statistics as statistics_of
from jaxsparse.report.charts import Frame
from jaxsparse.report.files import FILES, files_of
from jaxsparse.report.lines import Panel, Reference
from jaxsparse.report.merge import write_merged
from tests.report.made import RUN, at_speed, curve, results_of

SPEEDS = {0.0: 1, 0.5: 1.25, 0.9: 2.5}
SVG = "{http://www.w3.org/2000/svg}"


def sparse(**how) -> list[Point]:
    """8 questions in 9 seconds at 0, in 7.2 at 0.5 and in 3.6 at 0.9."""
    points = curve({0.0: 6, 0.5: 5, 0.9: 2}, execution="sparse", **how)
    return list(at_speed(SPEEDS, points))


def dense() -> list[Point]:
    return list(curve({0.0: 6, 0.5: 5, 0.9: 2}))


def axis_of(*seconds):
    (line,) = curves.accuracy(sparse())
    return timing.axis([dataclasses.replace(line, seconds=seconds)])


def test_time_is_drawn_only_where_it_can_tell_points_apart():
    assert not timing.is_timed([*dense(), *results_of(methods=("random",))])
    assert not timing.is_timed([*curve({0.0: 3, 0.5: 2}, pattern="2:4")])
    assert not timing.is_timed([*curve({0.0: 3}, execution="sparse")])  # dense alone
    assert timing.is_timed([*dense(), *sparse()])
    assert timing.is_timed([*curve({0.0: 3, 0.5: 2}, pattern="neurons")])
    assert "accuracy_seconds" not in pictures.figures(statistics_of(dense()))
    assert [chart.id for chart in pictures.charts(statistics_of(dense()))] == [
        "curves", "classes",
    ]  # fmt: skip


def test_times_begin_at_0_so_that_half_the_way_is_half_the_time():
    axis = axis_of(0.08, 0.04, 0.02)
    assert axis.label == "milliseconds a question"
    assert axis.place(0.04) == axis.place(0.08) / 2 == 2 * axis.place(0.02)
    assert axis.place(0.0) == 0
    assert 0.9 < axis.place(0.08) < 1
    assert [text for _, text in axis.ticks] == ["0", "20", "40", "60", "80"]
    assert axis.ticks[2][0] == pytest.approx(axis.place(0.04))


def test_times_that_are_far_apart_stand_in_logarithms():
    axis = axis_of(0.5, 0.02)
    assert axis.label == "milliseconds a question (log scale)"
    places = [axis.place(taken) for taken in (0.02, 0.1, 0.5)]
    assert places[1] == pytest.approx((places[0] + places[2]) / 2)
    assert 0 < places[0] < places[2] < 1
    assert [text for _, text in axis.ticks] == ["20", "50", "100", "200", "500"]


@pytest.mark.parametrize(
    ("seconds", "label", "ticks"),
    [
        ((12.0, 9.0), "seconds a question", ["0", "2", "4", "6", "8", "10", "12"]),
        ((0.00012,), "milliseconds a question", ["0", "0.02", "0.04", "0.06", "0.08",
                                                 "0.1", "0.12"]),
        ((300.0, 0.01), "seconds a question (log scale)", ["0.01", "0.1", "1", "10",
                                                           "100"]),
        ((1.0, 1.0), "milliseconds a question", ["0", "200", "400", "600", "800",
                                                 "1000"]),
    ],
)  # fmt: skip
def test_ticks_fit_whatever_was_measured(seconds, label, ticks):
    axis = axis_of(*seconds)
    assert axis.label == label
    assert [text for _, text in axis.ticks] == ticks
    assert all(-1e-9 <= place <= 1 + 1e-9 for place, _ in axis.ticks)


def test_the_plot_has_a_line_for_each_curve_a_bar_a_point_and_a_star_for_dense():
    found = statistics_of([*dense(), *sparse(), *sparse(model="two")])
    figure = pictures.figures(found, ["accuracy_seconds"])["accuracy_seconds"]
    first, second = (axis for axis in figure.axes if axis.get_title())
    assert (first.get_title(), second.get_title()) == ("one", "two")
    assert first.get_xlabel() == "milliseconds a question"
    named = {line.get_label(): line for line in first.get_lines()}
    assert list(named["cloze, magnitude, sparse"].get_ydata()) == [75.0, 62.5, 25.0]
    at = list(named["cloze, magnitude, sparse"].get_xdata())
    assert at == pytest.approx([at[0], at[0] / 1.25, at[0] / 2.5])
    assert len({*named["cloze, magnitude"].get_xdata()}) == 1  # as long at all
    assert named["dense"].get_marker() == "*"
    assert list(named["dense"].get_ydata()) == [75.0]
    bars = [one.get_segments()[0] for one in first.collections]
    assert len(bars) == 6
    low, high = bars[2][:, 1]
    assert low < 62.5 < high
    assert [text.get_text() for text in second.texts] == ["0.5", "0.9"]
    (legend,) = figure.legends
    labels = [one.get_text() for one in legend.get_texts()]
    assert sorted(labels) == sorted({*labels})
    assert {"dense", "chance", "most frequent option of the story"} < {*labels}


def test_a_point_of_a_pattern_is_called_by_it():
    points = sparse(pattern="2:4")[:2]
    (line,) = curves.accuracy(points)
    assert line.names == ("", "2:4")
    figure = pictures.figures(statistics_of(points), ["accuracy_seconds"])
    texts = figure["accuracy_seconds"].axes[0].texts
    assert [one.get_text() for one in texts] == ["2:4"]


def test_the_page_has_a_panel_with_bars_names_and_links():
    (line,) = curves.accuracy(sparse())
    panel = Panel("one", (line,), (Reference("chance", "chance", 0.1),))
    frame = Frame(400, 200, 20, 30, True)
    drawn = charts.draw(panel, [line.label], timing.axis(panel.lines), 1.0, frame)
    svg = ElementTree.fromstring(
        drawn.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1)
    )
    assert svg.get("class") == "time"
    assert "62.5 % at 0.5 in 900 ms, 25.0 % at 0.9 in 450 ms" in svg.get("aria-label")
    assert not list(svg.iter(f"{SVG}polygon"))  # no band
    (bars,) = (p for p in svg.iter(f"{SVG}path") if p.get("class") == "bar c0")
    assert bars.get("d").count("M") == 3
    points = list(svg.iter(f"{SVG}a"))
    assert [one.find(f"{SVG}text") is None for one in points] == [True, False, False]
    assert [one.find(f"{SVG}path").get("class") for one in points] == [
        "marker dense", "marker", "marker",
    ]  # fmt: skip
    assert points[1].find(f"{SVG}text").text == "0.5"
    told = points[2].find(f"{SVG}title").text.splitlines()
    assert told[-1] == "450 ms a question"
    moved = [float(one.get("transform")[10:].split()[0]) for one in points]
    assert moved[0] > moved[1] > moved[2]
    assert {"milliseconds a question"} < {one.text for one in svg.iter(f"{SVG}text")}


def test_files_and_page_and_terminal_have_it_where_there_are_times(tmp_path):
    points = [*dense(), *sparse()]
    assert set(files_of(points)) - set(FILES) == {"accuracy_seconds.png"}
    run = tmp_path / "run"
    write(run, statistics_of(points), RUN)
    assert {path.name for path in run.iterdir()} == set(files_of(points))
    markdown = (run / "report.md").read_text()
    assert "![accuracy against the seconds of a question](accuracy_seconds" in markdown
    page = (run / "report.html").read_text()
    assert '<section id="time" class="chart">' in page
    assert '<li><a href="#time">Accuracy against time</a></li>' in page
    shown = text.terminal(statistics_of(points))
    assert "Seconds of scoring at each sparsity" in shown
    assert "one · cloze, magnitude, sparse  9.00 s  7.20 s  3.60 s" in shown
    assert "Seconds" not in text.terminal(statistics_of(dense()))
    found = read(run)
    merged = merge([found])
    out = tmp_path / "merged"
    names = write_merged(
        out, statistics_of(merged.points), merged, "./run.sh", [found], 0
    )
    assert {"accuracy_seconds.png", "accuracy_seconds.svg"} < set(names)
    write(run, statistics_of(dense()), RUN)
    assert {path.name for path in run.iterdir()} == set(FILES)


def test_the_same_plot_is_the_same_bytes(tmp_path):
    for name in "first", "second":
        figures = pictures.figures(statistics_of(sparse()), ["accuracy_seconds"])
        plots.save(figures["accuracy_seconds"], tmp_path / name)
    first, second = (tmp_path / name for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
