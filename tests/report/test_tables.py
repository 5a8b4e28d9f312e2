"""Tables for people: what they hold, as markdown and within a terminal's width."""

import dataclasses
import re

import pytest

from jaxsparse import stats
from jaxsparse.pruning import Recipe
from jaxsparse.report import cells, costs, original, tables, text
from jaxsparse.report.labels import Labels
from jaxsparse.report.statistics import statistics
from jaxsparse.report.tables import all_tables
from jaxsparse.training.training import Training
from tests.report.made import RUN, at_speed, curve, many, questions_of, results_of


def tables_of(results):
    """Those of the points."""
    return list(tables.tables(statistics(results)))


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
    assert table.header[:9] == (
        "method", "sparsity", "all", "95 % CI", "stories CI", "difference",
        "difference CI", "p Holm", "CN",
    )  # fmt: skip
    values = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    dense, pruned, prior, chance = values
    assert dense == {
        "method": "dense", "sparsity": "0", "achieved": "0.0000", "total": "0.0000",
        "CN": "50.0", "NE": "50.0", "V": "50.0", "P": "0.0", "all": "37.5",
        "95 % CI": "13.7–69.4", "stories CI": "0.0–75.0", "class mean": "37.5",
        "class mean CI": dense["class mean CI"], "difference": "", "difference CI": "",
        "p": "", "p Holm": "", "ties": "0", "seconds": "9.0",
    }  # fmt: skip
    assert pruned == {
        "method": "magnitude", "sparsity": "0.5", "achieved": "0.4900",
        "total": "0.3100", "CN": "100.0", "NE": "100.0", "V": "50.0", "P": "50.0",
        "all": "75.0", "95 % CI": "40.9–92.9", "stories CI": "50.0–100.0",
        "class mean": "75.0",
        "class mean CI": pruned["class mean CI"], "difference": "+37.5",
        "difference CI": pruned["difference CI"],
        "p": "0.25", "p Holm": "0.25", "ties": "0", "seconds": "9.0",
    }  # fmt: skip
    for row in dense, pruned:
        assert re.fullmatch(r"[\d.]+–[\d.]+", row["class mean CI"])
    low, high = stats.difference_interval(3, 0, 8)
    expected = f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−")
    assert pruned["difference CI"] == expected
    assert (chance["CN"], chance["all"], chance["p"]) == ("10.0", "10.0", "")
    assert (prior["method"], prior["all"]) == ("most frequent", "0.0")


def test_a_margin_adds_the_bound_of_the_loss():
    results = list(curve({0.0: 36, 0.5: 34, 0.9: 40}, questions=questions_of(10)))
    (table,) = tables.tables(statistics(results, 0.2))
    at = table.header.index("loss at most")
    bound, _ = stats.difference_interval(0, 2, 40, level=0.9)
    said = [row[at] for row in table.rows]
    assert said == ["", f"{-100 * bound:.1f}", "0.0", "", ""]


def test_notes_say_what_was_asked_and_what_is_claimed():
    questions = questions_of(10)
    shown = curve({0.0: 36, 0.5: 34, 0.9: 2}, questions=questions)
    (table,) = tables_of(list(shown))
    asked, *claimed = table.notes
    assert asked == (
        "40 questions from 10 stories, 20 with sentences dropped to fit; gpt2, "
        "bfloat16, scope matrix, prunable blocks"
    )
    assert claimed[0].startswith("magnitude: no loss is detected up to sparsity 0.5;")
    assert claimed[1].startswith("A loss of less than 15.0 points cannot")


def test_zeros_of_the_file_are_said():
    half = [
        dataclasses.replace(one, achieved_sparsity=0.5)
        for one in curve({0.0: 36, 0.3: 36}, questions=questions_of(10))
    ]
    (table,) = tables_of(half)
    zeros = (
        "50.00 % of the prunable weights are zero in the file already. Dense has these "
        "zeros too; they are pruned first, and count."
    )
    assert table.notes[1] == zeros
    assert " ".join(text.terminal(statistics(half)).split()).endswith(zeros)


def test_what_pruning_costs_is_a_table_too():
    questions = questions_of(10)
    results = [
        *curve({0.0: 36, 0.5: 34, 0.9: 2}, questions=questions),
        *curve({0.0: 36, 0.5: 36}, questions=questions, method="random"),
        *curve({0.0: 36, 0.5: 10}, questions=questions, context="query"),
        *curve({0.0: 2, 0.5: 2}, questions=questions, protocol="append"),
    ]
    power = f"{100 * stats.detectable_difference(40, 34 / 40, 0.05 / 3):.1f}"
    query = f"{100 * stats.detectable_difference(40, 26 / 40, 0.05):.1f}"
    two, none = (-100 * stats.difference_interval(0, n, 40)[0] for n in (2, 0))
    named = [row[1:] for row in next(costs.overview(statistics(results))).rows]
    assert named == [
        ("0.5", f"{two:.1f}", "0.9", "0.68", power),
        ("0.5", f"{none:.1f}", "none", "none", power),
        ("none", "", "0.5", "0.31", query),
        ("not above chance", "", "", "", ""),
    ]
    table = next(costs.overview(statistics(results, 0.1)))
    at = table.header.index("10 excluded up to")
    assert [row[at] for row in table.rows] == ["none", "0.5", "none", ""]
    gains = list(curve({0.0: 10, 0.5: 30}, questions=questions))
    table = next(costs.overview(statistics(gains, 0.0)))
    assert table.rows[0][table.header.index("0 excluded up to")] == "0.5"
    assert len({len(row) for row in (table.header, *table.rows)}) == 1


def test_models_are_compared_in_a_table_of_each_protocol():
    made = all_tables(statistics(list(many())))
    compared = [table for table in made if table.title.startswith("Models")]
    assert [one.title for one in compared] == [
        "Models compared · cloze", "Models compared · append",
    ]  # fmt: skip
    for table in compared:
        assert [row[:4] for row in table.rows] == [
            ("gpt2-medium", "electra-large-discriminator", method, sparsity)
            for method, sparsity in (
                ("dense", "0"), ("magnitude", "0.5"), ("random", "0.5"),
            )
        ]  # fmt: skip
        assert {row[4] for row in table.rows} == {"+0.0"}


def test_the_overview_has_a_row_for_each_line_of_the_plot_and_the_baselines():
    table = tables.overview(statistics(list(many())))
    assert table.header == ("", "0", "0.5")
    assert len(table.rows) == 2 * 2 * 2 + 2
    assert table.rows[0] == ("gpt2-medium · cloze, magnitude", "37.5", "75.0")
    assert table.rows[-1] == ("chance", "10.0", "10.0")
    one, *_ = tables.overview(statistics(list(results_of(methods=("random",))))).rows
    assert "random" not in one[0]  # nothing to tell apart


def test_curves_are_told_apart_by_whatever_differs():
    results = [
        *results_of(),
        *curve({0.0: 3, 0.9: 3}, scope="global"),
        *curve({0.0: 3, 0.5: 3}, context="query"),
        *curve({0.5: 3}, training=Training()),
    ]
    assert [row[0] for row in tables.overview(statistics(results)).rows[:4]] == [
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


def test_a_method_says_what_tells_it_from_itself_and_no_more():
    """Its own scope and order are meant by its name, and so is what is usual."""
    recipes = [
        Recipe("magnitude"),
        Recipe("wanda"),
        Recipe("wanda", statistics="dense"),
        Recipe("wanda", pattern="2:4"),
        Recipe("magnitude", allocation="erk"),
        Recipe("random", "output", seed=1),
    ]
    (dense,) = curve({0.0: 3})
    points = [
        dataclasses.replace(
            dense, curve=dataclasses.replace(dense.curve, recipe=recipe)
        )
        for recipe in recipes
    ]
    labels = Labels(points)
    assert [labels.method(point.curve) for point in points] == [
        "magnitude", "wanda, sequential, seed 0", "wanda, dense, seed 0",
        "wanda, 2:4, sequential, seed 0", "magnitude, erk", "random, seed 1",
    ]  # fmt: skip


def test_execution_is_said_where_curves_differ_in_it():
    dense = [*curve({0.0: 3, 0.5: 6})]
    sparse = [*curve({0.0: 3, 0.5: 6}, execution="sparse")]
    labels = Labels([*dense, *sparse])
    assert labels.line(dense[0].curve) == "cloze, magnitude"
    assert labels.line(sparse[0].curve) == "cloze, magnitude, sparse"
    assert Labels(sparse).curve(sparse[0].curve) == "one · cloze"
    (alone,) = tables_of(sparse)
    assert [row[0] for row in alone.rows[:2]] == ["dense", "magnitude"]
    assert alone.notes[0].endswith("prunable blocks, execution sparse")
    (both,) = tables_of([*dense, *sparse])
    assert [row[0] for row in both.rows[:3]] == [
        "dense", "magnitude", "magnitude, sparse",
    ]  # fmt: skip
    assert "execution" not in tables_of(dense)[0].notes[0]
    shown = text.terminal(statistics([*dense, *sparse]))
    assert "one · cloze, magnitude, sparse  37.5  75.0" in shown


def test_patterns_that_share_the_sparsities_of_others_have_rows_of_their_own():
    points = [
        *curve({0.0: 6, 0.5: 5}),
        *curve({0.0: 6, 0.25: 4, 0.5: 3}, pattern="neurons"),
        *curve({0.0: 6, 0.5: 2}, pattern="2:4"),
    ]
    found = statistics(points)
    for table, cells_of in (
        (tables.overview(found), lambda *right: [f"{100 * n / 8:.1f}" for n in right]),
        (tables.times(found), lambda *right: ["9.00 s"] * len(right)),
    ):
        assert table.header == ("", "0", "0.25", "0.5", "2:4")
        (first, *plain), (second, *neurons), *_ = table.rows
        assert (first, second) == (
            "one · cloze, magnitude", "one · cloze, magnitude neurons",
        )  # fmt: skip
        assert [one for one in plain if one] == cells_of(6, 5, 2)
        assert [one for one in neurons if one] == cells_of(6, 4, 3)
    assert [*of_original(points)] == ["cloze, magnitude", "cloze, magnitude neurons"]


def of_original(points, *facts):
    return {
        table.title.rpartition(" · ")[2]: table
        for table in original.tables(list(points), facts)
    }


def test_the_original_layout_has_models_as_rows_and_seconds_at_every_sparsity():
    found = of_original(many())
    assert list(found) == [
        f"{put}, {method}"
        for put in ("cloze", "append")
        for method in ("magnitude", "random")
    ]
    for table in found.values():
        assert table.header == ("", "0 %", "50 %")
        assert table.rows == (
            ("gpt2-medium", "37.5 / 9.00 s", "75.0 / 9.00 s"),
            ("electra-large-discriminator", "37.5 / 9.00 s", "75.0 / 9.00 s"),
        )
    (note,), *others = (table.notes for table in found.values())
    assert note.startswith("accuracy in percent / seconds that scoring")
    assert not any(others)


def test_the_original_layout_has_a_table_for_each_execution_and_columns_of_patterns():
    slow = [*curve({0.0: 3, 0.5: 3}), *curve({0.0: 5, 0.125: 4}, model="two")]
    fast = at_speed(4, curve({0.0: 3, 0.5: 3}, execution="sparse"))
    found = of_original([*slow, *fast])
    assert [*found] == ["cloze, magnitude", "cloze, magnitude, sparse"]
    assert found["cloze, magnitude"].header == ("", "0 %", "12.5 %", "50 %")
    assert found["cloze, magnitude"].rows == (
        ("one", "37.5 / 9.00 s", "", "37.5 / 9.00 s"),
        ("two", "62.5 / 9.00 s", "50.0 / 9.00 s", ""),
    )
    (row,) = found["cloze, magnitude, sparse"].rows
    assert row == ("one", "37.5 / 2.25 s", "37.5 / 2.25 s")
    patterned = [*curve({0.0: 3, 0.9: 3}), *curve({0.0: 3, 0.5: 2}, pattern="2:4")]
    (table,) = of_original(patterned).values()
    assert table.header == ("", "0 %", "90 %", "2:4")
    assert [cell.split()[0] for cell in table.rows[0][1:]] == ["37.5", "37.5", "25.0"]


def test_what_runs_the_seconds_are_of_is_said_where_there_are_several():
    def run(*made_by):
        return {"answers": {"new": 1, "made_by": list(made_by)}}

    cpu = {"devices": ["cpu:0"], "answers": 30}
    gpu = {"devices": ["cuda:0", "cuda:1"], "answers": 10}
    unused = {"devices": ["TpuDevice(id=0)"], "answers": 0}
    for facts in ([run(cpu, unused)], [run(cpu), {}], [{"answers": "?"}], []):
        (table,) = of_original(curve({0.0: 3}), *facts).values()
        assert len(table.notes) == 1
    for facts in ([run(cpu, gpu)], [run(cpu), run(gpu, unused)]):
        (table,) = of_original(curve({0.0: 3}), *facts).values()
        said = "the answers are of 2 runs (cpu, 2 × cuda); each kept the seconds that"
        assert table.notes[1].startswith(said)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0123, "0.01 s"), (9.994, "9.99 s"), (9.995, "10.0 s"), (99.94, "99.9 s"),
     (99.95, "100 s"), (3400.4, "3,400 s")],
)  # fmt: skip
def test_seconds_have_three_digits_and_thousands_more(value, written):
    assert cells.seconds(value) == written


def test_markdown_tables_are_tables_and_notes_are_there():
    said = ("In short <b>.", "one · cloze: a | b")
    made = text.markdown(
        all_tables(statistics(list(many()))), RUN, ["accuracy.png", "layers.png"], said
    )
    assert "In short &lt;b>.\n\n- one · cloze: a \\| b\n" in made
    for fact in (RUN["command"], *RUN["notes"], "(accuracy.png)"):
        assert fact in made
    assert "![layers against sparsity](layers.png)" in made
    lines = made.splitlines()
    assert sum(line.startswith("## ") for line in lines) == 1 + 1 + 4 + 2 + 4 + 1
    assert lines[-1].startswith("sparsity: as requested; ")
    absent = {"loss at most", "nats", "perplexity", "commonest answer"}
    for name in cells.EXPLAINED:
        assert (f"{name}: " in lines[-1]) == (name not in absent)
    for number, line in enumerate(lines):
        if line.startswith("| method"):
            assert lines[number - 1] == ""  # or markdown would join it to a sentence
            assert set(lines[number + 1]) == {"|", "-"}
            rows = lines[number : number + 2 + 5]
            assert {row.count("|") for row in rows} == {20}
            assert lines[number + 2 + 5] == ""


def widths(made):
    return max(map(len, made.splitlines()))


def test_the_terminal_has_the_summary_alone_and_it_fits_a_screen():
    made = text.terminal(statistics(list(many())))
    overview, said = made.strip().split("\n\n")
    assert len(overview.splitlines()) == 2 + 8 + 2
    assert " ".join(said.split()).startswith(
        "So few of the 8 questions are answered right that no loss could be significant"
    )
    forty = list(curve({0.0: 36, 0.5: 34}, questions=questions_of(10)))
    with_margin = text.terminal(statistics(forty, 0.05))
    assert "40 questions a loss of more than 5 points could not be" in with_margin


def test_verbose_tables_are_aligned_and_at_most_100_columns_wide():
    made = text.terminal(statistics(list(many())), verbose=True)
    assert made.startswith(text.terminal(statistics(list(many()))))  # the summary first
    assert widths(made) <= 100
    blocks = [block.splitlines() for block in made.strip().split("\n\n")]
    said = " ".join(blocks.pop())
    assert said.startswith("sparsity: as requested; all: accuracy in percent")
    assert "CN: common nouns" in said
    assert not re.search("achieved|ties:|class mean", said)  # what is not shown
    points = [block for block in blocks if block[1].startswith("method")]
    assert len(points) == 4
    for title, header, *rows in points:
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
        *curve({0.25: 1}, model=model, training=Training()),
    ]
    made = text.terminal(statistics(results), verbose=True)
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
