"""What the plots show, line by line, and how they look to the file system."""

import dataclasses

import numpy as np
import pytest

from jaxsparse import plots
from jaxsparse.report import curves, pictures
from jaxsparse.report.statistics import baselines, statistics
from jaxsparse.training.training import Training
from tests.report.made import MATRICES, QUESTIONS, curve, many


def titled(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def test_a_panel_for_each_model_and_a_line_for_each_protocol_and_method():
    lines = curves.accuracy(list(many()))
    assert [(one.panel, one.label) for one in lines[:3]] == [
        ("gpt2-medium", "cloze, magnitude"),
        ("gpt2-medium", "cloze, random"),
        ("gpt2-medium", "append, magnitude"),
    ]
    assert len(lines) == 8
    assert lines[0].sparsities == (0.0, 0.5)
    assert lines[0].accuracy == (0.375, 0.75)
    for low, value, high in zip(
        lines[0].low, lines[0].accuracy, lines[0].high, strict=True
    ):
        assert low < value < high
    levels = {"most frequent": 0.25, "chance": 0.1}
    figure = plots.draw_accuracy(lines, levels, "title")
    assert [axis.get_title() for axis in titled(figure)] == [
        "gpt2-medium", "electra-large-discriminator",
    ]  # fmt: skip
    drawn = {line.get_label(): line for line in titled(figure)[0].get_lines()}
    assert list(drawn["cloze, magnitude"].get_ydata()) == [37.5, 75.0]
    assert set(drawn["most frequent"].get_ydata()) == {25.0}
    assert set(drawn["chance"].get_ydata()) == {10.0}
    assert len({axis.get_ylim() for axis in titled(figure)}) == 1
    assert len(titled(figure)[0].collections) == 4  # a band each


def test_classes_have_a_panel_for_each_curve_and_a_line_each():
    lines = curves.classes(list(curve({0.0: 8, 0.5: 1})))
    assert [(one.panel, one.label, one.accuracy) for one in lines] == [
        ("one · cloze", "CN", (1, 0.5)), ("one · cloze", "NE", (1, 0)),
        ("one · cloze", "V", (1, 0)), ("one · cloze", "P", (1, 0)),
    ]  # fmt: skip


def test_fine_tuned_curves_are_drawn_against_their_one_shot_curves_only():
    results = [
        *curve({0.0: 8, 0.5: 1}),
        *curve({0.0: 8, 0.5: 2}, method="random"),
        *curve({0.5: 5}, training=Training()),
    ]
    lines = curves.finetuned(results)
    assert [(one.panel, one.label, one.accuracy) for one in lines] == [
        ("one · cloze, magnitude", "one-shot", (1, 1 / 8)),
        ("one · cloze, magnitude", "fine-tuned", (5 / 8,)),
    ]
    assert curves.finetuned(results[:4]) == []


def test_layers_are_a_map_of_heat_for_each_model_and_method():
    maps = pictures.layers(list(many()))
    assert [one.panel for one in maps] == [
        f"{model} · {method}"
        for model in ("gpt2-medium", "electra-large-discriminator")
        for method in ("magnitude", "random")
    ]
    assert maps[0].rows == ("h 0", "h 1")
    assert maps[0].columns == (0.5,)
    assert maps[0].values == ((0.4,), (0.5,))  # both matrices of a layer together
    assert pictures.layers(list(curve({0.0: 8}))) == []
    figure = plots.draw_layers(maps, "title")
    (image,) = titled(figure)[1].get_images()
    np.testing.assert_allclose(image.get_array(), [[40], [50]])
    written = [text.get_text() for text in titled(figure)[1].texts]
    assert written == ["40.0", "50.0"]


def test_the_legend_fits_whatever_it_says():
    lines = [
        plots.Series("one", f"{'a long way of asking, ' * 2}{n}", *[(0.5,)] * 4)
        for n in range(5)
    ]
    figure = plots.draw_accuracy(lines, {}, "")
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_many_lines_leave_their_panel_its_height_and_are_told_apart():
    heights, looks = [], set()
    for number in 2, 12:
        lines = [
            plots.Series("one", f"cloze, wanda+pcg, {n}:9", *[(0.0, 0.5)] * 4)
            for n in range(number)
        ]
        figure = plots.draw_accuracy(lines, {}, "title")
        figure.canvas.draw()
        heights.append(figure.axes[0].bbox.height)
        looks = {
            (line.get_color(), line.get_marker(), line.get_linestyle())
            for line in figure.axes[0].lines
        }
    assert heights[1] > 0.8 * heights[0]
    assert len(looks) == 12


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_plot_is_the_same_bytes(tmp_path, kind):
    lines = curves.accuracy(list(many()))
    contents = set()
    for name in "first", "second":
        figure = plots.draw_accuracy(lines, {"chance": 0.1}, "title")
        plots.save(figure, tmp_path / name, kind)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_names_are_text_in_a_picture_not_markup():
    (line,) = curves.accuracy(list(curve({0.0: 3}, model="<b>&$x$")))
    svg = plots.svg(plots.draw_accuracy([line], {}, ""))
    assert "&lt;b&gt;&amp;$x$" in svg
    assert "<b>" not in svg


def test_a_scope_that_cuts_all_layers_alike_has_no_map():
    """To within the rounding of counts, at every sparsity."""
    (one, *_) = curve({0.5: 4})
    even = [
        dataclasses.replace(
            one, path=f"{one.path}{n}", weights=1001, pruned=500 + n % 2
        )
        for n, one in enumerate(MATRICES)
    ]
    uneven = [dataclasses.replace(one, weights=1000, pruned=400) for one in MATRICES]
    uneven[-1] = dataclasses.replace(uneven[-1], pruned=430)
    levels = [
        dataclasses.replace(one, matrices=tuple(even), sparsity=sparsity)
        for sparsity in (0.5, 0.51)
    ]
    assert pictures.layers(levels) == []
    assert "layers" not in pictures.figures(statistics(levels))
    levels[1] = dataclasses.replace(levels[1], matrices=tuple(uneven))
    assert len(pictures.layers(levels)) == 1  # one sparsity that differs is enough


def test_level_lines_are_of_their_class():
    """The answer stands in no story more often than `the`, but in class V."""
    asked = tuple(
        dataclasses.replace(one, context=("Zoë Zoë",) * 20) if "V" in one.id else one
        for one in QUESTIONS
    )
    levels = pictures.references(baselines(asked))
    accuracies = {
        name: [one.accuracy for one in found] for name, found in levels.items()
    }
    none = [0.0, pytest.approx(0.1)]
    assert accuracies == {
        "CN": none, "NE": none, "V": [1.0, pytest.approx(0.1)], "P": none,
        "all": [0.25, pytest.approx(0.1)],
    }  # fmt: skip


def test_the_page_has_curves_and_a_small_panel_for_each_class():
    results = [*many()]
    drawn, classes = pictures.charts(statistics(results))
    assert [panel.title for panel in drawn.panels] == [
        "gpt2-medium", "electra-large-discriminator",
    ]  # fmt: skip
    assert [row for row, _ in classes.rows] == [one.title for one in drawn.panels]
    panels = dict(classes.rows)["gpt2-medium"]
    assert [panel.title for panel in panels] == [
        "common nouns (CN), 2 questions", "named entities (NE), 2 questions",
        "verbs (V), 2 questions", "prepositions (P), 2 questions",
    ]  # fmt: skip
    assert [line.label for line in panels[0].lines] == [
        line.label for line in drawn.panels[0].lines
    ]
    assert dict(panels[0].lines[0].address) == {
        "model": "gpt2-medium", "label": "cloze, magnitude", "class": "CN",
        "show": "all",
    }  # fmt: skip
    pooled = drawn.panels[0].lines[0]
    assert (pooled.correct, pooled.questions) == ((3, 6), 8)


def test_the_page_compares_fine_tuned_with_one_shot_where_both_are_there():
    results = [*curve({0.0: 6, 0.5: 4}), *curve({0.5: 5}, training=Training())]
    _, compared, _ = pictures.charts(statistics(results))
    assert [panel.title for panel in compared.panels] == ["one · cloze, magnitude"]
    lines = compared.panels[0].lines
    assert [line.label for line in lines] == ["one-shot", "fine-tuned"]
    assert dict(lines[1].address)["label"] == "cloze, magnitude, fine-tuned"


def test_one_class_alone_has_no_panel_of_its_own():
    asked = tuple(one for one in QUESTIONS if one.word_class == "V")
    (only,) = pictures.charts(statistics([*curve({0.0: 1, 0.5: 1}, questions=asked)]))
    assert only.id == "curves"
