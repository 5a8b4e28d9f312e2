"""What the plots show, line by line, and how they look to the file system."""

import numpy as np
import pytest

from jaxsparse import plots
from jaxsparse.report import pictures
from tests.report.made import curve, many


def titled(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def test_a_panel_for_each_model_and_a_line_for_each_protocol_and_method():
    lines = pictures.accuracy(list(many()))
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
    figure = plots.draw_accuracy(lines, 0.1, "title")
    assert [axis.get_title() for axis in titled(figure)] == [
        "gpt2-medium", "electra-large-discriminator",
    ]  # fmt: skip
    drawn = {line.get_label(): line for line in titled(figure)[0].get_lines()}
    assert list(drawn["cloze, magnitude"].get_ydata()) == [37.5, 75.0]
    assert set(drawn["chance"].get_ydata()) == {10.0}
    assert len(titled(figure)[0].collections) == 4  # a band each


def test_classes_have_a_panel_for_each_curve_and_a_line_each():
    lines = pictures.classes(list(curve({0.0: 8, 0.5: 1})))
    assert [(one.panel, one.label, one.accuracy) for one in lines] == [
        ("one · cloze", "CN", (1, 0.5)), ("one · cloze", "NE", (1, 0)),
        ("one · cloze", "V", (1, 0)), ("one · cloze", "P", (1, 0)),
    ]  # fmt: skip


def test_fine_tuned_curves_are_drawn_against_their_one_shot_curves_only():
    results = [
        *curve({0.0: 8, 0.5: 1}),
        *curve({0.0: 8, 0.5: 2}, method="random"),
        *curve({0.5: 5}, finetuned=True),
    ]
    lines = pictures.finetuned(results)
    assert [(one.panel, one.label, one.accuracy) for one in lines] == [
        ("one · cloze, magnitude", "one-shot", (1, 1 / 8)),
        ("one · cloze, magnitude", "fine-tuned", (5 / 8,)),
    ]
    assert pictures.finetuned(results[:4]) == []


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
        plots.Curve("one", f"{'a long way of asking, ' * 2}{n}", *[(0.5,)] * 4)
        for n in range(5)
    ]
    figure = plots.draw_accuracy(lines, 0.1, "")
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_plot_is_the_same_bytes(tmp_path, kind):
    lines = pictures.accuracy(list(many()))
    contents = set()
    for name in "first", "second":
        plots.save(plots.draw_accuracy(lines, 0.1, "title"), tmp_path / name, kind)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_names_are_text_in_a_picture_not_markup():
    (line,) = pictures.accuracy(list(curve({0.0: 3}, model="<b>&$x$")))
    svg = plots.svg(plots.draw_accuracy([line], 0.1, ""))
    assert "&lt;b&gt;&amp;$x$" in svg
    assert "<b>" not in svg


def test_every_panel_of_the_page_says_in_words_what_it_shows():
    results = [*curve({0.0: 6, 0.5: 4}), *curve({0.5: 5}, finetuned=True)]
    panels = list(pictures.panels(results))
    assert [panel.title.split(":")[0] for panel in panels] == [
        "one", "one · cloze, magnitude", "one · cloze, magnitude, fine-tuned",
        "one · cloze, magnitude", "one · magnitude", "one · magnitude, fine-tuned",
    ]  # fmt: skip
    assert panels[0].alt == (
        "one. cloze, magnitude: 75.0 % at 0, 50.0 % at 0.5; "
        "cloze, magnitude, fine-tuned: 62.5 % at 0.5"
    )
    assert all("<svg" in panel.svg for panel in panels)
