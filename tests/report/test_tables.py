"""Tables for people: what they hold, as markdown and within a terminal's width."""

import re

import pytest

from jaxsparse import stats
from jaxsparse.report import tables, text
from jaxsparse.report.results import Labels
from jaxsparse.report.tables import all_tables, summaries_of
from tests.report.made import RUN, curve, many, questions_of, results_of


def tables_of(results):
    """Those of the points."""
    return list(tables.tables(summaries_of(results), Labels(results)))


def test_a_table_for_each_model_and_protocol_has_dense_once_and_every_point():
    made = tables_of(list(many()))
    assert [table.title for table in made] == [
        "gpt2-medium · cloze",
        "gpt2-medium · append",
        "electra-large-discriminator · cloze",
        "electra-large-discriminator · append",
    ]
    for table in made:
        assert [row[:2] for row in table.rows] == [
            ("dense", "0"), ("magnitude", "0.5"), ("random", "0.5"),
            ("most frequent", ""), ("chance", ""),
        ]  # fmt: skip
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_tables_say_percent_and_every_statistic():
    (table,) = tables_of(list(results_of()))
    values = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    dense, pruned, prior, chance = values
    assert dense == {
        "method": "dense", "sparsity": "0", "achieved": "0.0000", "total": "0.0000",
        "CN": "50.0", "NE": "50.0", "V": "50.0", "P": "0.0", "all": "37.5",
        "95 % CI": "13.7–69.4", "class mean": "37.5",
        "class mean CI": dense["class mean CI"], "difference": "", "difference CI": "",
        "p": "", "p Holm": "", "ties": "0", "seconds": "9.0",
    }  # fmt: skip
    assert pruned == {
        "method": "magnitude", "sparsity": "0.5", "achieved": "0.4900",
        "total": "0.3100", "CN": "100.0", "NE": "100.0", "V": "50.0", "P": "50.0",
        "all": "75.0", "95 % CI": "40.9–92.9", "class mean": "75.0",
        "class mean CI": pruned["class mean CI"], "difference": "+37.5",
        "difference CI": pruned["difference CI"],
        "p": "0.25", "p Holm": "0.25", "ties": "0", "seconds": "9.0",
    }  # fmt: skip
    for row in dense, pruned:
        assert re.fullmatch(r"[\d.]+–[\d.]+", row["class mean CI"])
    assert re.fullmatch(r"\+[\d.]+ to \+[\d.]+", pruned["difference CI"])
    assert (chance["CN"], chance["all"], chance["p"]) == ("10.0", "10.0", "")
    assert (prior["method"], prior["all"]) == ("most frequent", "0.0")


def test_notes_say_what_was_asked_what_is_free_and_what_can_be_told():
    questions = questions_of(10)
    shown = curve({0.0: 36, 0.5: 34, 0.9: 2}, questions=questions)
    (table,) = tables_of(list(shown))
    asked, kept, told = table.notes
    assert asked == (
        "40 questions, 20 with sentences dropped to fit; gpt2, bfloat16, scope matrix, "
        "prunable blocks"
    )
    assert kept == (
        "magnitude: sparsity 0.5 is kept for free; half of what dense has above chance "
        "is gone at 0.68"
    )
    found = f"{100 * stats.detectable_difference(40, 0.85, 0.05 / 2):.1f}"
    assert told == (
        "A loss of less than 15.0 points cannot be significant with so many questions; "
        f"where 85 % of the answers change, as at most here, one of {found} points is "
        "found four times in five."
    )


def test_notes_of_a_model_at_chance_and_of_one_that_loses_nothing():
    (table,) = tables_of(list(results_of()))
    assert table.notes[1] == (
        "magnitude: sparsity 0.5 (the largest asked for) is kept for free; half of "
        "what dense has above chance is gone nowhere"
    )
    assert table.notes[2].endswith("not even one as large is found four times in five.")
    (table,) = tables_of(list(curve({0.0: 1, 0.5: 1})))
    assert table.notes[1:] == (
        "magnitude: dense is not above chance, so that there is nothing to lose",
        "A loss of less than 75.0 points cannot be significant with so many questions.",
    )


def test_notes_of_many_questions_and_of_very_few():
    few = questions_of(1)
    (table,) = tables_of(list(curve({0.0: 4, 0.5: 0}, questions=few)))
    assert table.notes[2] == "With so few questions no loss can be significant."
    many = questions_of(2000)
    lost = {0.0: 8000, 0.5: 6000, 0.9: 8000}
    (table,) = tables_of(list(curve(lost, questions=many)))
    assert table.notes[1].startswith("magnitude: no sparsity is kept for free; half of")
    assert table.notes[2].startswith("A loss of less than 0.07 points cannot")
    stars = [row[table.header.index("p Holm")] for row in table.rows[:3]]
    assert (stars[0], stars[1][-1], stars[2]) == ("", "*", "1")


def test_what_is_free_is_a_table_too():
    questions = questions_of(10)
    results = [
        *curve({0.0: 36, 0.5: 34, 0.9: 2}, questions=questions),
        *curve({0.0: 36, 0.5: 35}, questions=questions, method="random"),
        *curve({0.0: 2, 0.5: 2}, questions=questions, protocol="append"),
    ]
    changed = 34 / 40
    found = f"{100 * stats.detectable_difference(40, changed, 0.05 / 3):.1f}"
    assert tables.free(summaries_of(results), Labels(results)).rows == (
        ("one · cloze, magnitude", "0.5", "0.68", found),
        ("one · cloze, random", "0.5", "nowhere", found),
        ("one · append, magnitude", "at chance", "", ""),
    )


def test_the_overview_has_a_row_for_each_line_of_the_plot_and_the_baselines():
    table = tables.overview(list(many()))
    assert table.header == ("", "0", "0.5")
    assert len(table.rows) == 2 * 2 * 2 + 2
    assert table.rows[0] == ("gpt2-medium · cloze, magnitude", "37.5", "75.0")
    assert table.rows[-1] == ("chance", "10.0", "10.0")
    one, *_ = tables.overview(list(results_of(methods=("random",)))).rows
    assert "random" not in one[0]  # nothing to tell apart


def test_curves_are_told_apart_by_whatever_differs():
    results = [
        *results_of(),
        *curve({0.0: 3, 0.9: 3}, scope="global"),
        *curve({0.0: 3, 0.5: 3}, context="query"),
        *curve({0.5: 3}, finetuned=True),
    ]
    assert [row[0] for row in tables.overview(results).rows[:4]] == [
        "one · cloze, full context, magnitude, matrix",
        "one · cloze, full context, magnitude, global",
        "one · cloze, query only, magnitude, matrix",
        "one · cloze, full context, magnitude, matrix, fine-tuned",
    ]
    first, second = tables_of(results)
    assert (first.title, second.title) == (
        "one · cloze, full context", "one · cloze, query only",
    )  # fmt: skip
    assert [row[0] for row in first.rows[:4]] == [
        "dense", "magnitude, matrix", "magnitude, global",
        "magnitude, matrix, fine-tuned",
    ]  # fmt: skip
    assert "scope matrix, global" in first.notes[0]


def test_the_original_layout_is_a_block_for_each_model_with_runtimes():
    table = tables.original(list(many()))
    names = [f"{p}, {m}" for p in ("cloze", "append") for m in ("magnitude", "random")]
    columns = [f"{name}, {what}" for name in names for what in ("%", "runtime")]
    assert table.header == ("model", "sparsity", *columns)
    assert [row[:4] for row in table.rows] == [
        ("gpt2-medium", "0 %", "37.5", "9.0 s"),
        ("", "50 %", "75.0", "9.0 s"),
        ("electra-large-discriminator", "0 %", "37.5", "9.0 s"),
        ("", "50 %", "75.0", "9.0 s"),
    ]
    uneven = [*curve({0.0: 3, 0.5: 3}), *curve({0.0: 3, 0.9: 2}, protocol="append")]
    assert [row[1:] for row in tables.original(uneven).rows] == [
        ("0 %", "37.5", "9.0 s", "37.5", "9.0 s"),
        ("50 %", "37.5", "9.0 s", "", ""),
        ("90 %", "", "", "25.0", "9.0 s"),
    ]


def test_markdown_tables_are_tables_and_notes_are_there():
    made = text.markdown(all_tables(list(many())), RUN, ["accuracy.png", "layers.png"])
    for fact in (RUN["command"], *RUN["notes"], "(accuracy.png)"):
        assert fact in made
    assert "![layers against sparsity](layers.png)" in made
    lines = made.splitlines()
    assert sum(line.startswith("## ") for line in lines) == 1 + 1 + 4 + 1 + 1
    assert lines[-1].startswith("sparsity: as requested; achieved: sparsity of the")
    for number, line in enumerate(lines):
        if line.startswith("| method"):
            assert lines[number - 1] == ""  # or markdown would join it to a sentence
            assert set(lines[number + 1]) == {"|", "-"}
            rows = lines[number : number + 2 + 5]
            assert {row.count("|") for row in rows} == {19}
            assert lines[number + 2 + 5] == ""


def widths(made):
    return max(map(len, made.splitlines()))


def test_terminal_tables_are_aligned_and_at_most_100_columns_wide():
    made = text.terminal(list(many()))
    assert widths(made) <= 100
    blocks = [block.splitlines() for block in made.strip().split("\n\n")]
    said = " ".join(blocks.pop())
    assert said.startswith("sparsity: as requested; all: accuracy in percent")
    assert not re.search("achieved|ties|class mean", said)  # what is not shown
    assert len(blocks.pop()) == 2 + 8 + 2
    for title, header, *rows in blocks:
        assert "·" in title
        assert header.split()[:2] == ["method", "sparsity"]
        points = rows[:3]
        assert {len(line) for line in (header, *points)} == {len(header)}
        end = header.index("  all  ") + 5
        assert [line[:end].split()[-1] for line in points] == ["37.5", "75.0", "75.0"]


@pytest.mark.parametrize("sparsities", [5, 9, 40])
def test_a_terminal_is_never_too_narrow_and_nothing_is_left_out(sparsities):
    at = {round(n / 41, 4): 3 for n in range(sparsities)}
    model = "a-company-with-a-name/" + "and-a-very-long-model-name-" * 4
    results = [
        *curve(at, model=model, scope="global"),
        *curve({**at, 0.999: 7}, model=model, protocol="append"),
        *curve({0.25: 1}, model=model, finetuned=True),
    ]
    made = text.terminal(results)
    assert widths(made) <= 100
    *_, overview = made.split("Accuracy at each sparsity", 1)
    for sparsity in (*at, 0.999):
        assert re.search(rf" {sparsity:g}\b", overview)
    assert "87.5" in overview
    assert "magnitude, " in made


def test_long_names_lose_their_middle():
    assert text._shortened("abcdefghij", 10) == "abcdefghij"
    assert text._shortened("abcdefghijk", 10) == "abcd…ghijk"
    assert len(text._shortened("abcdefghijk", 7)) == 7
