"""The table of smaller models: what is left of the dense one, and how fast it is."""

import dataclasses

from jaxsparse.report import sizes
from jaxsparse.report.labels import Labels
from jaxsparse.report.statistics import statistics
from jaxsparse.report.tables import all_tables
from tests.report.made import at_speed, curve


def sized(points, parameters):
    for point in points:
        size = parameters[point.sparsity]
        yield dataclasses.replace(point, parameters=size, bytes=2 * size)


def table(points):
    return list(sizes.overview(points, Labels(points)))


def test_a_smaller_model_is_beside_the_dense_one():
    neurons = curve({0.0: 6, 0.25: 5, 0.5: 3}, pattern="neurons", scope="")
    points = [
        *sized(curve({0.0: 6, 0.5: 5}), {0.0: 4_000_000, 0.5: 4_000_000}),
        *sized(
            at_speed({0.0: 1, 0.25: 1.25, 0.5: 2}, neurons),
            {0.0: 4_000_000, 0.25: 3_000_000, 0.5: 1_500_000},
        ),
    ]
    (found,) = table(points)
    assert found.rows == (
        ("one · cloze, dense", "0", "4,000,000", "8.0", "1.000", "0.89", "1.00"),
        ("one · cloze, magnitude neurons", "0.25", "3,000,000", "6.0", "0.750", "1.11",
         "0.80"),
        ("one · cloze, magnitude neurons", "0.5", "1,500,000", "3.0", "0.375", "1.78",
         "0.50"),
    )  # fmt: skip
    assert "Smaller models" in [one.title for one in all_tables(statistics(points))]


def test_there_is_none_where_arrays_have_the_dense_shapes():
    points = [*curve({0.0: 6, 0.5: 5}), *curve({0.0: 6, 0.5: 5}, pattern="2:4")]
    assert table(points) == []


def test_what_a_run_does_not_say_is_empty():
    points = [*curve({0.0: 6, 0.5: 3}, pattern="layers", scope="")]
    (found,) = table(points)
    assert [row[2:5] for row in found.rows] == [("", "", "")] * 2
    assert found.rows[1][0] == "one · cloze, influence (layers)"
