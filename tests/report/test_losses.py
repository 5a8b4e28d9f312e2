"""What is lost on running text: files, tables and pictures, of each point once."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jaxsparse.points import TextLoss, TokenLosses
from jaxsparse.report import (
    losses,
    merge,
    pictures,
    read,
    statistics,
    write,
    write_merged,
)
from jaxsparse.report.columns import TEXT_TOKENS, TEXTS
from jaxsparse.report.files import FILES, check_replaceable, files_of
from jaxsparse.report.reading import RunFiles
from jaxsparse.report.tables import all_tables
from jaxsparse.report.text import terminal
from jaxsparse.types import InputError
from tests.report.made import RUN, curve

NATS = {0.0: 3.25, 0.5: 4.5, 0.9: 800.0}


def details(nats):
    values = np.array([[nats - 1, nats], [nats, nats + 1]], np.float32)
    places = np.array([[1, 2], [1, 2]], np.int32)
    return TokenLosses(places, ("Ġthe", "Ġfox", "a,b", 'c"d'), values)


def with_texts(points, names=("a.txt",), causal=True, told=False):
    """The same points with losses on texts, each of two windows of two targets."""
    for point in points:
        nats = [NATS[point.sparsity] + 10 * at for at in range(len(names))]
        yield dataclasses.replace(
            point,
            texts=tuple(
                TextLoss(
                    name, 2, 4, value,
                    float(np.exp(min(value, 700))) if causal else None, 3,
                    details(value) if told else None,
                )
                for name, value in zip(names, nats, strict=True)
            ),
        )  # fmt: skip


def points_of(*names, protocols=("cloze", "append"), told=False, **how):
    return [
        point
        for protocol in protocols
        for method in ("magnitude", "random")
        for point in with_texts(
            curve({0.0: 3, 0.5: 6, 0.9: 1}, method=method, protocol=protocol, **how),
            names,
            told=told,
        )
    ]


def run(name, points, **facts):
    return RunFiles(Path(name), {"command": "", "notes": [], **facts}, tuple(points))


def written(tmp_path, points, name="out"):
    write(tmp_path / name, statistics(points), RUN)
    return tmp_path / name


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The files of a run with two texts, all tokens kept."""
    points = points_of("a.txt", "b.txt", told=True)
    return written(tmp_path_factory.mktemp("run"), points)


def csv_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_point_has_a_row_for_each_text_whatever_the_protocol(out):
    rows = csv_rows(out / "text.csv")
    assert list(rows[0]) == list(TEXTS)
    assert not {"protocol", "context", "detokenize"} & set(rows[0])
    assert len(rows) == 2 * 3 * 2
    first, second = rows[2:4]
    assert (first["method"], first["sparsity"]) == ("magnitude", "0.5")
    assert [first["text"], second["text"]] == ["a.txt", "b.txt"]
    assert [float(first["nats"]), float(second["nats"])] == [4.5, 14.5]
    assert float(first["perplexity"]) == pytest.approx(np.exp(4.5))
    assert (first["windows"], first["targets"]) == ("2", "4")
    assert first["tokens_left_out"] == "3"
    assert (out / "text.png").read_bytes().startswith(b"\x89PNG")


def test_every_token_is_in_a_row_that_leads_to_its_point(out):
    table = pq.read_table(out / "text_tokens.parquet")
    assert table.column_names == list(TEXT_TOKENS)
    rows = csv_rows(out / "text.csv")
    for row in table.to_pylist():
        place = 2 * row["point"] + ["a.txt", "b.txt"].index(row["file"])
        (of_point,) = rows[place : place + 1]
        assert of_point["text"] == row["file"]
        mean = float(of_point["nats"])
        offset = {(0, 1): -1, (0, 2): 0, (1, 1): 0, (1, 2): 1}
        assert row["nats"] == mean + offset[row["window"], row["position"]]
    assert table["token"].to_pylist()[:4] == ["Ġthe", "Ġfox", "a,b", 'c"d']
    assert table.num_rows == len(rows) * 4


def test_files_of_texts_are_there_only_with_texts(tmp_path):
    plain = list(curve({0.0: 3, 0.5: 6}))
    assert files_of(plain) == FILES
    some = points_of("a.txt", protocols=("cloze",))
    assert set(files_of(some)) - set(FILES) == {"text.csv", "text.png"}
    told = points_of("a.txt", protocols=("cloze",), told=True)
    assert set(files_of(told)) - set(files_of(some)) == {"text_tokens.parquet"}
    assert files_of(told)[-1] == "run.json"
    out = written(tmp_path, told)
    assert {path.name for path in out.iterdir()} == set(files_of(told))
    assert written(tmp_path, plain) == out  # what it does not have goes
    assert {path.name for path in out.iterdir()} == set(FILES)
    assert "nats" not in (out / "report.md").read_text().lower()
    assert 'id="text"' not in (out / "report.html").read_text()
    (out / "text.csv").mkdir()
    with pytest.raises(InputError, match=r"text\.csv is in the way"):
        check_replaceable(out)


def test_tables_have_nats_and_perplexity_beside_accuracy():
    found = statistics(points_of("a.txt"))
    overview, of_text, _, first, *_ = all_tables(found)
    assert len(overview.rows) > len(of_text.rows) == 2  # a row a method
    assert of_text.rows[0][0].endswith("magnitude")
    assert of_text.rows[0][1:3] == ("3.250 (25.790)", "4.500 (90.017)")
    assert of_text.rows[0][3].startswith("800.0 (1.01e+304")
    header = list(first.header)
    assert header.index("nats") == header.index("95 % CI") + 1
    cells = {row[:2]: row for row in first.rows}
    assert cells["magnitude", "0.5"][header.index("nats")] == "4.500"
    assert cells["magnitude", "0.5"][header.index("perplexity")] == "90.017"
    said = terminal(found, verbose=True)
    assert "3.250 (25.790)" in said
    assert max(map(len, said.splitlines())) <= 100


def test_several_texts_are_numbered_and_named(out):
    report = (out / "report.md").read_text()
    assert "| nats 1 | perplexity 1 | nats 2 | perplexity 2 |" in report
    assert "running text: 1 a.txt, 2 b.txt" in report
    assert "nats: mean of -log p" in report
    assert "![text against sparsity](text.png)" in report


def test_the_page_has_the_picture_and_says_what_it_shows(out):
    page = (out / "report.html").read_text()
    assert '<a href="#text">Running text</a>' in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert "one · a.txt, magnitude: 3.25 at 0, 4.50 at 0.5, 800.00 at 0.9" in page


def test_where_no_token_is_predicted_from_the_left_there_is_no_perplexity():
    points = list(with_texts(curve({0.0: 3, 0.5: 6}), causal=False))
    assert [row["perplexity"] for row in losses.rows(points)] == [None, None]
    headers = [table.header for table in all_tables(statistics(points))]
    assert not any("perplexity" in " ".join(header) for header in headers)


def test_texts_are_read_back_and_merged(tmp_path):
    some = points_of("a.txt", protocols=("cloze",))
    first = written(tmp_path, some, "first")
    other = list(curve({0.0: 3, 0.5: 6}, model="two", digest="4567"))
    facts = {**RUN, "models": {"two": {"digest": "4567"}}}
    write(tmp_path / "second", statistics(other), facts)
    runs = [read(first), read(tmp_path / "second")]
    assert [point.texts[0].nats for point in runs[0].points] == [
        point.texts[0].nats for point in some
    ]
    assert runs[0].points[1].texts[0].tokens is None
    assert not runs[1].points[0].texts
    merged = merge(runs)
    found = statistics(merged.points)
    names = write_merged(tmp_path / "all", found, merged, "./run.sh", runs, 0)
    assert {"text.csv", "text.png", "text.svg"} <= set(names)
    assert csv_rows(tmp_path / "all" / "text.csv") == csv_rows(first / "text.csv")
    merged = merge(runs[1:])
    found = statistics(merged.points)
    names = write_merged(tmp_path / "all", found, merged, "./run.sh", runs[1:], 0)
    assert "text.csv" not in names
    assert not (tmp_path / "all" / "text.csv").exists()


def test_texts_that_another_run_alone_has_are_merged():
    (dense, pruned) = with_texts(curve({0.0: 3, 0.5: 6}, method="random"))

    def drawn(nats, *redrawn):
        (loss,) = pruned.texts
        changed = dataclasses.replace(loss, nats=nats, redrawn=redrawn)
        return dataclasses.replace(pruned, texts=(changed,))

    plain = list(curve({0.0: 3, 0.5: 6}, method="random"))
    first, second = drawn(4.0, (5, 4.1), (2, 4.2)), drawn(9.0, (2, 9.2), (1, 9.1))
    merged = merge([run("a", plain), run("b", [dense, first]), run("c", [second])])
    _, point = merged.points
    assert len(merged.points) == 2
    assert point.texts[0].nats == 4.0  # of the first that has it
    assert point.texts[0].redrawn == ((5, 4.1), (2, 4.2), (1, 9.1))
    assert merged.points[0].texts[0].nats == NATS[0.0]
    other = list(with_texts(curve({0.0: 3, 0.5: 6}, method="random"), ["b.txt"]))
    merged = merge([run("a", [dense, pruned]), run("b", other)])
    assert losses.names(merged.points) == ["a.txt", "b.txt"]


def test_texts_are_told_by_their_content():
    points = list(with_texts(curve({0.0: 3, 0.5: 6})))

    def reading(name, digest, tokens=0):
        return run(
            name, points, texts={"a.txt": digest}, settings={"text_tokens": tokens}
        )

    runs = [reading("a", "12"), reading("b", "34"), reading("c", "12"),
            reading("d", "12", 64)]  # fmt: skip
    merged = merge(runs)
    assert losses.names(merged.points) == ["a.txt", "a.txt (b)", "a.txt (d)"]
    assert merged.notes[0].startswith("a.txt of b is called a.txt (b) here: another")


def test_texts_of_another_protocol_are_not_lost():
    points = [
        *with_texts(curve({0.0: 3, 0.5: 6}), ["a.txt"]),
        *with_texts(curve({0.0: 3, 0.5: 6}, protocol="append"), ["b.txt"]),
    ]
    assert [row["text"] for row in losses.rows(points)] == ["a.txt", "b.txt"] * 2


def test_dtypes_are_told_apart_where_nothing_is_said_of_questions():
    points = [
        *with_texts(curve({0.0: 3, 0.5: 6})),
        *with_texts(curve({0.0: 3, 0.5: 6}, dtype="float32")),
    ]
    _, of_text, *_ = all_tables(statistics(points))
    labels = ["magnitude, bfloat16", "magnitude, float32"]
    assert [row[0] for row in of_text.rows] == [f"one · {label}" for label in labels]
    assert [line.label for line in pictures.text(points)] == labels
    maps = [f"one · {label}" for label in labels]
    assert [heat_map.panel for heat_map in pictures.layers(points)] == maps


def test_further_draws_are_rows_ranges_and_read_back(tmp_path):
    points = [
        dataclasses.replace(
            point,
            texts=tuple(
                dataclasses.replace(loss, redrawn=((1, 4.0), (2, 5.3)))
                if point.recipe.seed is not None and point.sparsity
                else loss
                for loss in point.texts
            ),
        )
        for point in points_of("a.txt", protocols=("cloze",))
    ]
    out = written(tmp_path, points)
    rows = csv_rows(out / "text.csv")
    assert [row["draw"] for row in rows] == ["0"] * 6 + ["1", "2"] * 2
    assert [(row["seed"], row["nats"]) for row in rows[6:8]] == [
        ("1", "4.0"),
        ("2", "5.3"),
    ]
    assert {row["method"] for row in rows[6:]} == {"random"}
    found = read(out)
    assert [p.texts[0].redrawn for p in found.points] == [
        p.texts[0].redrawn for p in points
    ]
    _, of_text, *_ = all_tables(statistics(points))
    magnitude, random = of_text.rows
    assert magnitude[2] == "4.500 (90.017)"
    assert random[1:3] == ("3.250 (25.790)", "4.600 [4.000–5.300]")
    assert "3 draws" in of_text.notes[1]
    header, rows = next(
        (table.header, table.rows)
        for table in all_tables(statistics(points))
        if "nats" in table.header
    )
    (row,) = (row for row in rows if row[:2] == ("random", "0.5"))
    nats, perplexity = (row[header.index(name)] for name in ("nats", "perplexity"))
    assert nats == "4.600 [4.000–5.300]"
    assert perplexity == f"{np.exp(4.6):.3f}"
    of_random = pictures.text(points)[1]
    assert (of_random.low[1], of_random.high[1]) == (4.0, 5.3)


@pytest.mark.parametrize("order", [1, -1])
def test_patterns_have_columns_and_hollow_marks(order):
    """Whichever comes first."""
    plain, patterned = {0.0: 3, 0.5: 6, 0.9: 1}, {0.0: 3, 0.5: 1}
    curves = [
        list(with_texts(curve(plain, method="random"))),
        list(with_texts(curve(patterned, method="random", pattern="2:4"))),
    ]
    points = [point for members in curves[::order] for point in members]
    accuracy, of_text, *_ = all_tables(statistics(points))
    assert accuracy.header == of_text.header == ("", "0", "0.5", "0.9", "2:4")
    (row,) = of_text.rows
    assert row[0] == "one · random"
    assert row[2] == row[4] != row[3]
    line, marks = pictures.text(points)
    assert (line.pattern, marks.pattern) == ("", "2:4")
    assert line.label == marks.label
    assert (line.sparsities, marks.sparsities) == ((0, 0.5, 0.9), (0.5,))


def test_a_pattern_alone_is_a_mark_beside_dense():
    at = {0.0: 3, 0.5: 1}
    points = [
        point
        for method in ("magnitude", "random")
        for point in with_texts(curve(at, method=method, pattern="2:4"))
    ]
    assert [
        (line.label, line.pattern, line.sparsities) for line in pictures.text(points)
    ] == [
        ("magnitude", "", (0.0,)), ("magnitude", "2:4", (0.5,)),
        ("random", "", (0.0,)), ("random", "2:4", (0.5,)),
    ]  # fmt: skip
    figure = pictures.figures(statistics(points), ["text"])["text"]
    (legend,) = figure.legends
    assert [one.get_text() for one in legend.get_texts()] == ["magnitude", "random"]
    assert legend.get_title().get_text() == "Nats of running text; hollow: 2:4"


def test_numbers_are_as_long_as_they_need_to_be():
    values = (None, 3.14159, 99.5, 123.456, 1234567.0, float("inf"))
    expected = ["", "3.142", "99.500", "123.5", "1.23e+06", "inf"]
    assert [losses.number(value) for value in values] == expected
