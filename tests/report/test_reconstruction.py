"""How far outputs of pruned matrices are from the dense ones': files and tables, and
the rows of calibration that this was measured on."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from jaxsparse.calibration import Calibration
from jaxsparse.models.inputs import CausalInputs, Seq2SeqInputs
from jaxsparse.report import merge, pictures, read, statistics, write
from jaxsparse.report.files import FILES, files_of, layer_rows
from jaxsparse.report.reading import RunFiles
from jaxsparse.report.tables import all_tables
from jaxsparse.report.text import terminal
from jaxsparse.running_text import Examples
from tests.report.made import RUN, curve

TITLE = "Reconstruction error at each sparsity"


def with_errors(points, damped=()):
    """Of four matrices 1, 2 and 3 % at 0.5 and twice as much at 0.9; one has none."""
    for point in points:
        errors = [percent * (2 if point.sparsity > 0.5 else 1) for percent in (1, 2, 3)]
        matrices = tuple(
            dataclasses.replace(
                matrix,
                error=errors[number] / 100 if number < 3 else None,
                damping_raised=2 * (number in damped),
            )
            for number, matrix in enumerate(point.matrices)
        )
        yield dataclasses.replace(point, matrices=matrices)


def points_of(damped=(), methods=("magnitude", "random")):
    return [
        point
        for protocol in ("cloze", "append")
        for method in methods
        for point in with_errors(
            curve({0.0: 3, 0.5: 6, 0.9: 1}, method=method, protocol=protocol), damped
        )
    ]


def table_of(points):
    found = all_tables(statistics(points))
    return next((table for table in found if table.title == TITLE), None)


def test_a_method_has_the_mean_of_its_matrices_at_each_sparsity_once():
    table = table_of(points_of())
    assert table.header == ("", "0.5", "0.9")
    assert table.rows == (
        ("one · magnitude", "2.00", "4.00"),
        ("one · random", "2.00", "4.00"),
    )
    assert len(table.notes) == 1
    assert "Σ (X W − X W′ − δ)² / Σ (X W)²" in table.notes[0]  # +bias moves outputs
    assert table_of(list(curve({0.0: 3, 0.5: 6}))) is None


def test_how_linears_are_computed_prunes_nothing():
    dense = [*with_errors(curve({0.0: 3, 0.5: 6}))]
    sparse = [*with_errors(curve({0.0: 3, 0.5: 6, 0.9: 1}, execution="sparse"))]
    assert table_of([*dense, *sparse]).rows == (("one · magnitude", "2.00", "4.00"),)
    assert len(list(layer_rows([*dense, *sparse]))) == 2 * len(dense[1].matrices)
    (heat_map,) = pictures.layers([*dense, *sparse])
    assert heat_map.panel == "one · magnitude"
    assert heat_map.columns == (0.5, 0.9)


def test_errors_that_another_run_alone_has_are_merged():
    plain = tuple(curve({0.0: 3, 0.5: 6}))
    measured = tuple(with_errors(plain))
    facts = {"command": "", "notes": []}

    def rows(digest):
        return {**facts, "calibration": {"one": {"digest": digest}}}

    first = RunFiles(Path("a"), facts, plain)
    second = RunFiles(Path("b"), rows("bb"), measured)
    merged = merge([first, second])
    assert [p.matrices for p in merged.points] == [p.matrices for p in measured]
    assert not any("errors of reconstruction" in note for note in merged.notes)
    third = RunFiles(Path("c"), rows("cc"), measured)
    (note, _) = merge([second, third]).notes
    assert note.startswith("the runs measured errors of reconstruction on different")


def test_errors_of_another_dtype_are_not_lost():
    points = [
        *with_errors(curve({0.0: 3, 0.5: 6})),
        *with_errors(curve({0.0: 3, 0.9: 6}, dtype="float32")),
    ]
    assert table_of(points).rows == (
        ("one · magnitude, bfloat16", "2.00", ""),
        ("one · magnitude, float32", "", "4.00"),
    )
    same = [
        *with_errors(curve({0.0: 3, 0.5: 6})),
        *with_errors(curve({0.0: 3, 0.5: 6}, dtype="float32")),
    ]
    assert len(table_of(same).rows) == 2
    assert {row["dtype"] for row in layer_rows(same)} == {"bfloat16", "float32"}


def test_that_damping_was_raised_is_said():
    points = points_of(damped=(1, 2), methods=("sparsegpt",))
    said = "damping was raised for 4 matrices, tenfold up to 2×, as for h/attn/c_attn"
    assert table_of(points).notes[1].startswith(f"{said}, layer 1: ")
    assert said in " ".join(terminal(statistics(points)).split())
    assert "damping" not in terminal(statistics(points_of()))
    assert TITLE in terminal(statistics(points), verbose=True)


def test_files_hold_what_tables_say(tmp_path):
    points = points_of(damped=(1,))
    write(tmp_path, statistics(points), RUN)
    again = read(tmp_path)
    assert [p.matrices for p in again.points] == [p.matrices for p in points]
    assert table_of(merge([again]).points) == table_of(points)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert TITLE in page
    assert "damping was raised" in page


def calibration_of(inputs):
    targets = np.zeros((2, 0), np.int32)
    return Calibration(
        Examples(inputs, targets, targets == 1), "bundled", 3, False, 0, 99
    )


def test_rows_of_several_models_are_in_one_file(tmp_path):
    points = list(curve({0.0: 3, 0.5: 6}))
    tokens = np.array([[1, 2, 3], [4, 5, 6]], np.int32)
    everywhere = np.arange(3, dtype=np.int32) + 0 * tokens
    causal = CausalInputs(tokens, everywhere, everywhere, everywhere)
    mask = tokens != 6
    both = Seq2SeqInputs(tokens + 10, mask, tokens, everywhere, everywhere, everywhere)
    calibrations = {"a": calibration_of(causal), "b": calibration_of(both)}
    write(tmp_path, statistics(points), RUN, calibrations)
    assert set(files_of(points, calibrated=True)) - set(FILES) == {
        "calibration.parquet"
    }
    table = pq.read_table(tmp_path / "calibration.parquet")
    assert table["model"].to_pylist() == ["a", "a", "b", "b"]
    assert table["tokens"].to_pylist() == 2 * tokens.tolist()
    assert table["attended"].to_pylist() == 4 * [[True] * 3]
    encoded = [None, None, [11, 12, 13], [14, 15]]
    assert table["encoder_tokens"].to_pylist() == encoded
    write(tmp_path, statistics(points), RUN)
    assert not (tmp_path / "calibration.parquet").exists()
