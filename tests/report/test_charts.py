"""Panels of curves as SVG, read as XML."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from jaxsparse.report import charts
from jaxsparse.report.charts import Frame, linear
from jaxsparse.report.lines import Line, Panel, Reference

FRAME = Frame(400, 200, 20, 30, True)
SVG = "{http://www.w3.org/2000/svg}"


def line(label, accuracy=(0.5, 0.25), sparsities=(0.0, 0.5)):
    return Line(
        panel="one", label=label, sparsities=sparsities, accuracy=accuracy,
        low=tuple(value - 0.1 for value in accuracy),
        high=tuple(value + 0.1 for value in accuracy),
        achieved=sparsities, correct=(8, 4), questions=16, seconds=(0.08, 0.04),
        names=("", "0.5"), seeds=(1, 1),
        address=(("model", "o&ne"), ("label", label), ("class", "CN"), ("show", "all")),
    )  # fmt: skip


def drawn(*lines, references=(), frame=FRAME):
    labels = [one.label for one in lines]
    text = charts.draw(Panel("one", lines, references), labels, linear(), 1.0, frame)
    named = text.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1)
    return ElementTree.fromstring(named)


def places(svg, selector):
    return [
        tuple(map(float, pair.split(",")))
        for pair in svg.find(selector).get("points").split()
    ]


def test_lines_bands_and_points_stand_where_their_values_are():
    svg = drawn(line("cloze"))
    # 316 units from left to right, 150 from top to base
    assert places(svg, f".//{SVG}polyline") == [(30, 95), (188, 132.5)]
    band = [(30, 80), (188, 117.5), (188, 147.5), (30, 110)]
    assert places(svg, f".//{SVG}polygon") == band
    moved = [one.get("transform") for one in svg.iter(f"{SVG}a")]
    assert moved == ["translate(30.0 95.0)", "translate(188.0 132.5)"]


def test_a_point_leads_to_its_questions():
    first, second = drawn(line("cloze, wanda")).iter(f"{SVG}a")
    asked = "#model=o%26ne&label=cloze%2C+wanda&class=CN&show=all&sparsity="
    assert [first.get("href"), second.get("href")] == [f"{asked}0.0", f"{asked}0.5"]
    title = second.find(f"{SVG}title").text
    assert title.splitlines() == [
        "o&ne · cloze, wanda · CN", "sparsity 0.5: 50 % of the prunable weights left",
        "accuracy 25.0 %, 95 % interval 15.0 to 35.0", "4 of 16 questions right",
    ]  # fmt: skip
    dense = first.find(f"{SVG}title").text.splitlines()[1]
    assert dense == "dense: 100 % of the prunable weights left"


def test_no_two_of_many_lines_look_alike():
    looks = set()
    for number in range(36):
        looks.add((number % charts.COLOURS, charts.marker(number)))
    assert len(looks) == 36
    solid, dashed = charts.stroke(0), charts.stroke(1)
    assert "dasharray" not in solid
    assert "dasharray" in dashed


@pytest.mark.parametrize("accuracies", [(0.3, 0.28, 0.1), (0.1, 0.1), (0.0, 0.02)])
def test_names_of_level_lines_keep_clear_of_each_other(accuracies):
    references = tuple(
        Reference(f"{n}", f"{n}", one) for n, one in enumerate(accuracies)
    )
    svg = drawn(line("cloze"), references=references)
    names = [one for one in svg.iter(f"{SVG}text") if float(one.get("x")) > FRAME.right]
    heights = sorted(float(one.get("y")) for one in names)
    assert len(heights) == len(accuracies)
    assert all(b - a >= 12 for a, b in pairwise(heights))
    levels = [one for one in svg.iter(f"{SVG}path") if "reference" in one.get("class")]
    at = [float(one.get("d").split()[1].split("H")[0]) for one in levels]
    expected = [170 - 150 * one for one in sorted(accuracies, reverse=True)]
    assert at == pytest.approx(expected, abs=0.06)


def test_a_panel_says_in_words_what_it_shows():
    svg = drawn(line("cloze"), references=(Reference("chance", "chance", 0.1),))
    assert svg.get("aria-label") == (
        "one. Accuracy at each sparsity. cloze: 50.0 % at 0, 25.0 % at 0.5; "
        "chance: 10.0 %."
    )


def test_a_small_panel_does_not_name_its_axes():
    small = Frame(300, 140, 8, 20, False)
    texts = [one.text for one in drawn(line("cloze"), frame=small).iter(f"{SVG}text")]
    assert "sparsity" not in texts
    assert texts[:3] == ["0", "20", "40"]
