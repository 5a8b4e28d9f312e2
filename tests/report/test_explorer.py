"""What of results the page is given."""

import dataclasses
import json

import numpy as np

from jaxsparse.report import explorer
from jaxsparse.report.statistics import statistics
from jaxsparse.report.tables import all_tables
from tests.report.made import QUESTIONS, curve

STORY = ("`` Hush ! '' said Zoë .", *("It did n't end .",) * 19)
ASKED = tuple(
    dataclasses.replace(one, context=STORY, query="`` I ca n't , '' said the XXXXX .")
    for one in QUESTIONS
)


def data(results, **given):
    found = statistics(results)
    page = explorer.page(found, all_tables(found), ["./run.sh"], [], **given)
    return page, json.loads(page.split('id="data">')[1].split("</script>")[0])


def with_style(results, style):
    for one in results:
        put = dataclasses.replace(one.setup.presentation, detokenize=style)
        setup = dataclasses.replace(one.setup, presentation=put)
        curve = dataclasses.replace(one.curve, setup=setup)
        yield dataclasses.replace(one, curve=curve)


def test_questions_are_the_text_that_models_read():
    _, given = data([*curve({0.0: 4, 0.5: 2}, questions=ASKED)])
    assert given["styles"] == ["ptb"]
    (text,) = given["questions"][0]["texts"]
    assert text["sentences"][:2] == ['"Hush!" said Zoë.', "It didn't end."]
    assert text["query"] == '"I can\'t," said the XXXXX.'
    assert given["questions"][0]["answers"] == [9]


def test_every_style_of_merged_runs_is_there_and_each_curve_names_its_own():
    results = [
        *curve({0.0: 4, 0.5: 2}, questions=ASKED),
        *with_style(curve({0.0: 4, 0.5: 2}, questions=ASKED), "none"),
    ]
    _, given = data(results)
    assert given["styles"] == ["ptb", "none"]
    assert [one["style"] for one in given["curves"]] == [0, 1]
    _, tokens = given["questions"][0]["texts"]
    assert tokens["sentences"][0] == STORY[0]


def test_places_count_what_is_better_and_what_comes_first_of_equals():
    scores = np.array([[3, 1, 2], [3, 1, 2], [1, 1, 1], [1, 1, 1]], np.float32)
    assert explorer.places(scores, [[1], [2], [0], [2]]) == [3, 2, 1, 3]
    assert explorer.places(scores[:1], [[1, 2]]) == [2]  # twice among the options


def test_places_of_a_page_agree_with_its_predictions():
    _, given = data([*curve({0.0: 4, 0.5: 2})])
    for point in given["curves"][0]["points"]:
        right = [
            predicted in question["answers"]
            for predicted, question in zip(
                point["predicted"], given["questions"], strict=True
            )
        ]
        assert [place == 1 for place in point["places"]] == right


def test_findings_and_facts_are_on_the_page():
    facts = [{"started": "2026-11-28T21:46:01+00:00"}]
    found = ("Half can go.", "Or <less>.")
    page, _ = data([*curve({0.0: 4, 0.5: 2})], facts=facts, sentences=found)
    assert '<p class="lead">Half can go.</p>' in page
    assert "<li>Or &lt;less&gt;.</li>" in page
    assert "<dt>started</dt><dd>2026-11-28 21:46:01 UTC</dd>" in page
    assert "<title>one: how much can be cut away?</title>" in page
