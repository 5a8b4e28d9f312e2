"""The page as text, and as a reader meets it in a real browser."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxsparse.plots import HeatMap
from jaxsparse.report.cells import TextTable
from jaxsparse.report.lines import Line, Panel, Reference
from jaxsparse.report.page import (
    Page,
    PageCurve,
    PagePoint,
    PageQuestion,
    PageText,
    render,
)
from jaxsparse.report.sections import Chart, Picture
from tests.report.browser import DESKTOP, PHONE, WIDE, Browser, open_browser

CLASSES = ("CN", "NE", "V", "P")
SPARSITIES = (0.0, 0.5, 0.75, 0.9)
# As wide as a table of points becomes: twenty columns, among them seven intervals.
COLUMNS = (
    "method", "sparsity", "all", "95 % CI", "cluster CI", "difference", "difference CI",
    "p Holm", "CN", "NE", "V", "P", "class mean", "class mean CI", "p", "achieved",
    "total", "ties", "seconds", "questions dropped",
)  # fmt: skip
CELLS = {"CI": "40.3–67.4", "difference CI": "−39.6 to −10.4", "p Holm": "6.1e-05*"}
ROW = tuple(CELLS.get(name, CELLS.get(name[-2:], "0.1234")) for name in COLUMNS[1:])
TABLE = TextTable(
    "one · cloze",
    COLUMNS,
    (("most frequent", *ROW), ("magnitude", *ROW)),
    ("48 questions",),
)
LEVELS = (
    Reference("most frequent", "frequent", 0.2),
    Reference("chance", "chance", 0.1),
)
HOSTILE = (
    "</script><script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "&amp;",
    "\"'><b>",
    "\u2028\u2029",
    "</style></title>-->]]>",
    "{{script}}",
)


def questions(number):
    """Options w0 to w9, of which question n has n % 10 as its answer."""
    return tuple(
        PageQuestion(
            id=f"{CLASSES[n % 4]}-test-{n + 1}",
            word_class=CLASSES[n % 4],
            answers=(n % 10,),
            texts=(
                PageText(
                    tuple(f"Sentence {k} has w{k % 10}." for k in range(1, 21)),
                    f"Then came query{n} and the XXXXX.",
                    tuple(f"w{k}" for k in range(10)),
                ),
            ),
        )
        for n in range(number)
    )


def curve(model, label, number, seed, sparsities=SPARSITIES):
    """Scores of chance, with a bonus for the answer that shrinks with sparsity."""
    draw, protocol = np.random.default_rng(seed), label.split(",")[0]
    points = []
    for sparsity in sparsities:
        scores = draw.normal(-30, 1, (number, 10))
        scores[np.arange(number), np.arange(number) % 10] += 2 * (1 - sparsity)
        if protocol == "append":
            scores = np.exp(scores + 25) / (1 + np.exp(scores + 25))
        predicted = scores.argmax(axis=1)
        accuracy = float(np.mean(predicted == np.arange(number) % 10))
        of_answer = scores[np.arange(number), np.arange(number) % 10, None]
        places = 1 + (scores > of_answer).sum(axis=1)
        said = predicted.tolist(), places.tolist(), scores.tolist()
        points.append(PagePoint(sparsity, accuracy, *said))
    return PageCurve(model, label, protocol, "full", 0, tuple(points))


def line(one, panel, word_class="all"):
    """A curve as a line of a panel; as wide an interval as 48 questions have."""
    accuracy = tuple(point.accuracy for point in one.points)
    return Line(
        panel=panel,
        label=one.label,
        sparsities=tuple(point.sparsity for point in one.points),
        accuracy=accuracy,
        low=tuple(max(0.0, value - 0.1) for value in accuracy),
        high=tuple(value + 0.1 for value in accuracy),
        achieved=tuple(point.sparsity for point in one.points),
        correct=tuple(round(48 * value) for value in accuracy),
        questions=48,
        seconds=(0.1,) * len(accuracy),
        names=tuple(f"{point.sparsity:g}" for point in one.points),
        seeds=(1,) * len(accuracy),
        address=(
            ("model", one.model), ("label", one.label), ("class", word_class),
            ("show", "all"),
        ),
    )  # fmt: skip


def charts_of(curves):
    """A panel for each model; and small ones, for each class."""
    models = dict.fromkeys(one.model for one in curves)
    lines = [line(one, one.model) for one in curves]
    panels = tuple(
        Panel(model, tuple(one for one in lines if one.panel == model), LEVELS)
        for model in models
    )
    small = tuple(
        Panel(name, (line(curves[0], name, name),), LEVELS) for name in CLASSES
    )
    return (
        Chart("curves", "Accuracy against sparsity", ("Bands: …",), (("", panels),)),
        Chart("classes", "By word class", (), (("one", small),), small=True),
    )


def page_of(number, *curves):
    return Page(
        title="one, two: how much can be cut away?",
        findings=("Half can go: 61.2 % against 60 %.", "Nothing more.", "Nor this."),
        about=(("models", "one (gpt2)"), ("device", "cpu")),
        commands=("./run.sh --model=one,two",),
        notes=("3 malformed questions left out",),
        charts=charts_of(curves) if curves else (),
        pictures=(),
        maps=(),
        explained={"all": "accuracy in percent"},
        legend="all: accuracy in percent.",
        tables=(TABLE,),
        styles=("ptb",),
        curves=curves,
        questions=questions(number),
        class_names={"CN": "common nouns"},
        class_kind="word class",
        asked=number,
    )


ONE = curve("one", "cloze, magnitude", 48, 1)
OTHERS = (
    curve("one", "append, magnitude", 48, 2),
    curve("two", "cloze, magnitude", 48, 3, (0.0, 0.75)),
    curve("two", "cloze, random", 48, 4, (0.5, 0.75)),
)
PAGE = page_of(48, ONE, *OTHERS)
SUFFIX = ["", "st", "nd", "rd", *["th"] * 7]
UNKNOWN_OPTION = dataclasses.replace(ONE.points[0], predicted=[10] * 48)


def right(one, sparsity):
    """Whether each question is right, as the test's own data has it."""
    (point,) = (point for point in one.points if point.sparsity == sparsity)
    return np.array(point.predicted) == np.arange(len(point.predicted)) % 10


def ids(chosen):
    return [PAGE.questions[number].id for number in np.flatnonzero(chosen)]


# As text


class Texts(HTMLParser):
    """The text of each cell, and what points and panels say."""

    def __init__(self, page):
        super().__init__()
        self.tag, self.cells, self.titles, self.panels = "", [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        if tag in ("th", "td"):
            self.cells.append("")
        if tag == "title":
            self.titles.append("")
        if tag == "svg" and ("role", "group") in attrs:
            self.panels.append(dict(attrs)["aria-label"])

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag in ("th", "td"):
            self.cells[-1] += data.strip()
        if self.tag == "title":
            self.titles[-1] += data


def test_tables_and_curves_need_no_script():
    texts = Texts(render(PAGE))
    assert texts.cells == [*TABLE.header, *TABLE.rows[0], *TABLE.rows[1]]
    accuracy = ONE.points[1].accuracy
    assert texts.titles[2].split("\n") == [
        "one · cloze, magnitude",
        "sparsity 0.5: 50 % of the prunable weights left",
        f"accuracy {100 * accuracy:.1f} %, 95 % interval "
        f"{100 * accuracy - 10:.1f} to {100 * accuracy + 10:.1f}",
        f"{round(48 * accuracy)} of 48 questions right",
    ]
    assert len(texts.panels) == 2 * (2 + 4)  # two axes of two models and four classes
    assert f"magnitude: {100 * ONE.points[0].accuracy:.1f} % at 0, " in texts.panels[0]


def test_columns_explain_themselves():
    assert '<th scope="col" title="accuracy in percent">all</th>' in render(PAGE)


def test_a_map_of_heat_is_there_only_where_there_is_one_to_draw():
    assert 'class="heat"' not in render(PAGE)
    one = HeatMap("one · magnitude", ("h 0", "h 1"), (0.5,), ((0.3,), (0.7,)))
    text = render(dataclasses.replace(PAGE, maps=(one,)))
    assert '<td style="--cut:30%">30.0</td>' in text
    assert '<td class=deep style="--cut:70%">70.0</td>' in text
    assert '<a href="#layers">' in text


def test_the_explorer_begins_where_most_is_lost():
    """The first of equals, on the first curve with a dense point."""
    points = [
        dataclasses.replace(point, accuracy=accuracy)
        for point, accuracy in zip(ONE.points, (0.5, 0.4, 0.2, 0.2), strict=True)
    ]
    one = dataclasses.replace(ONE, points=tuple(points))
    without = dataclasses.replace(ONE, points=tuple(points[1:]))
    for curves, opening in (
        ((one,), {"curve": 0, "point": 2}),
        ((without, one), {"curve": 1, "point": 2}),
        ((without,), {"curve": 0, "point": 0}),
    ):
        text = render(dataclasses.replace(PAGE, curves=curves))
        assert json.loads(data_of(text))["opening"] == opening


def data_of(text):
    return text.split('id="data">')[1].split("</script>")[0]


def test_the_page_names_no_address_outside_itself():
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", render(PAGE))
    assert addresses
    assert all(one.startswith(("data:", "#")) for one in addresses)
    assert "url(" not in render(PAGE)


def test_the_page_says_how_many_of_the_questions_it_holds():
    assert "All 48 questions of the run are in this file." in render(PAGE)
    part = render(dataclasses.replace(PAGE, asked=2500))
    assert "48 of 2,500 questions are in this file; " in part


def test_scores_are_embedded_in_few_digits():
    cloze, append, *_ = json.loads(data_of(render(PAGE)))["curves"]
    for kept, given in (cloze, ONE), (append, OTHERS[0]):
        for one, point in zip(kept["points"], given.points, strict=True):
            assert one["predicted"] == point.predicted
            np.testing.assert_allclose(one["scores"], point.scores, 1e-3, 0)
    nats = {score for row in cloze["points"][0]["scores"] for score in row}
    assert {score == round(score, 3) for score in nats} == {True}
    assert any(score < 0.001 for score in append["points"][0]["scores"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "guess"}, "'guess' is none of"),
        ({"points": ()}, "do not ascend"),
        ({"points": ONE.points[::-1]}, "do not ascend"),
        ({"points": curve("", "cloze", 47, 0).points}, "47 predictions"),
        ({"points": (UNKNOWN_OPTION,)}, "option 10 of 10 scores for 10 options"),
    ],
)  # fmt: skip
def test_a_curve_that_does_not_fit_is_refused(change, message):
    wrong = dataclasses.replace(ONE, **change)
    with pytest.raises(ValueError, match=message):
        render(dataclasses.replace(PAGE, curves=(wrong,)))


def test_a_score_that_is_no_number_is_refused():
    scores = [[float("nan")] * 10] * 48
    point = dataclasses.replace(ONE.points[0], scores=scores)
    wrong = dataclasses.replace(ONE, points=(point,))
    with pytest.raises(ValueError, match="JSON"):
        render(dataclasses.replace(PAGE, curves=(wrong,)))


# In a browser


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(PAGE), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, written):
    browser.resize(DESKTOP)
    browser.open(written)
    return browser


def choose(browser: Browser, **choices):
    """Chooses in the selects of these ids by the text in front, as a reader does."""
    for name, text in choices.items():
        browser.run(
            """const select = document.getElementById(arguments[0]);
            const chosen = [...select.options].find(
              (one) => one.textContent.startsWith(arguments[1]));
            if (!chosen || chosen.disabled) throw Error(`no ${arguments[1]}`);
            select.value = chosen.value;
            select.dispatchEvent(new Event("change"));""",
            name, text,
        )  # fmt: skip


def press(browser: Browser, key):
    browser.run(
        """document.activeElement.dispatchEvent(
          new KeyboardEvent("keydown", { key: arguments[0], bubbles: true }))""",
        key,
    )


def texts(browser: Browser, selector):
    return browser.run(
        """return [...document.querySelectorAll(arguments[0])].map(
          (one) => one.innerText.trim())""",
        selector,
    )


def text(browser: Browser, selector):
    (only,) = texts(browser, selector)
    return only


def shown(browser: Browser):
    """The id of the question in sight."""
    return text(browser, "#name").split(" · ")[0]


def listed(browser: Browser):
    return [one.split()[0] for one in texts(browser, "#list button")]


def click(browser: Browser, name):
    browser.run("document.getElementById(arguments[0]).click()", name)


def overflow(browser: Browser):
    """How far the body is wider than the window."""
    return browser.run("return document.documentElement.scrollWidth - innerWidth")


def hidden_width(browser: Browser, box):
    """How much of what is in a box is out of sight."""
    return browser.run(
        """const box = document.querySelector(arguments[0]);
        return box.scrollWidth - box.clientWidth""",
        box,
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_opens_quietly_and_fits(browser, written, size):
    browser.resize(size)
    browser.open(written)
    click(browser, "next-lost")
    browser.run(
        "for (const one of document.querySelectorAll('details')) one.open = true"
    )
    assert browser.console() == []
    assert browser.requests() == [written.as_uri()]
    assert browser.run("return performance.getEntriesByType('resource')") == []
    assert overflow(browser) <= 0
    assert len(texts(browser, "#story li")) == 20


def test_the_policy_refuses_the_network(opened):
    refused = opened.driver.execute_async_script(
        """const done = arguments[0];
        document.addEventListener("securitypolicyviolation",
          (event) => done(event.effectiveDirective), { once: true });
        new Image().src = "http://127.0.0.1:9/picture.png";"""
    )
    assert refused == "img-src"


def test_wide_tables_scroll_in_their_own_box(browser, written):
    browser.resize(PHONE)
    browser.open(written)
    for box in ("#tables .scroll", "#matrix-box"):
        assert hidden_width(browser, box) > 0
    left = """const box = document.querySelector("#tables .scroll");
    box.scrollLeft = 300;
    const name = box.querySelector("tbody th").getBoundingClientRect();
    return name.left - box.getBoundingClientRect().left"""
    assert browser.run(left) == 0  # the names stay
    choose(browser, sparsity="0.9")
    seen = """const box = document.getElementById("matrix-box").getBoundingClientRect();
    const column = document.querySelector("#matrix .selected").getBoundingClientRect();
    return column.left >= box.left && column.right <= box.right + 1"""
    assert browser.run(seen)


@pytest.mark.parametrize("one", PAGE.curves, ids=lambda one: f"{one.model} {one.label}")
def test_filters_let_the_right_questions_through(opened, one):
    choose(opened, model=one.model, label=one.label)
    classes = np.array([question.word_class for question in PAGE.questions])
    dense = one.points[0].sparsity == 0
    for point in one.points:
        here = right(one, point.sparsity)
        before = right(one, 0.0) if dense else here
        kinds = {"all": here | True, "right": here, "wrong": ~here}
        if dense:
            kinds |= {"lost": before & ~here, "gained": ~before & here}
        choose(opened, sparsity=f"{point.sparsity:g}")
        for word_class in ("all", "NE"):
            choose(opened, **{"class": word_class})
            for kind, chosen in kinds.items():
                choose(opened, show=kind)
                if word_class != "all":
                    chosen = chosen & (classes == word_class)
                expected = ids(chosen)
                assert listed(opened) == expected
                count = f"{len(expected)} of 48 questions"
                assert text(opened, "#count") == count
                if expected:
                    assert shown(opened) in expected


def test_the_list_marks_right_wrong_lost_and_gained(opened):
    choose(opened, sparsity="0.75")
    here, dense = right(ONE, 0.75), right(ONE, 0.0)
    assert (dense & ~here).any()
    assert (~dense & here).any()
    for line, now, before in zip(
        texts(opened, "#list button"), here, dense, strict=True
    ):
        changed = "" if now == before else " gained" if now else " lost"
        assert line.split(" ", 1)[1] == f"{'✓' if now else '✗'}{changed}"


@pytest.mark.parametrize("way", ["button", "key"])
def test_next_lost_goes_through_exactly_the_lost_ones(opened, way):
    choose(opened, sparsity="0.9", show="right")
    lost = ids(right(ONE, 0.0) & ~right(ONE, 0.9))
    assert text(opened, "#next-lost") == f"next lost ({len(lost)})"
    choose(opened, show="all")
    opened.run("document.querySelector('#list button').click()")
    start = [shown(opened)] if shown(opened) in lost else []
    visited = []
    for _ in range(len(lost) + 1 - len(start)):
        click(opened, "next-lost") if way == "button" else press(opened, "n")
        visited.append(shown(opened))
    assert start + visited == [*lost, lost[0]]  # and round again


def test_next_lost_leaves_a_filter_that_hides_lost_ones(opened):
    choose(opened, sparsity="0.9", show="right")
    click(opened, "next-lost")
    assert opened.run("return document.getElementById('show').value") == "lost"
    assert shown(opened) in ids(right(ONE, 0.0) & ~right(ONE, 0.9))


def test_nothing_is_lost_at_dense(opened):
    choose(opened, sparsity="0 (dense)", show="lost")
    assert text(opened, "#count") == "0 of 48 questions"
    assert opened.run("return document.getElementById('next-lost').disabled")
    assert opened.run("return document.getElementById('detail').hidden")


def test_a_curve_without_dense_says_so(opened):
    choose(opened, show="lost")
    assert opened.run("return document.getElementById('no-dense').hidden")
    choose(opened, model="two", label="cloze, random")
    assert "no dense point" in text(opened, "#no-dense")
    assert opened.run("return document.getElementById('show').value") == "all"
    disabled = (
        "return [...show.options].filter((one) => one.disabled).map((one) => one.value)"
    )
    assert opened.run(f"const show = document.getElementById('show'); {disabled}") == [
        "lost", "gained",
    ]  # fmt: skip
    press(opened, "n")
    assert opened.console() == []


@pytest.mark.parametrize("one", PAGE.curves[:2], ids=["cloze", "append"])
def test_bars_are_shares_and_marks_are_right(opened, one):
    number = 13
    choose(opened, model=one.model, label=one.label, sparsity="0.5")
    opened.run(
        "document.querySelectorAll('#list button')[arguments[0]].click()", number
    )
    rows = opened.run(
        """return [...document.querySelectorAll("#matrix tbody tr")].map((row) =>
          [...row.querySelectorAll("td")].map((cell) => [
            cell.querySelector(".bar").getBoundingClientRect().width /
              cell.querySelector(".track").getBoundingClientRect().width,
            cell.innerText.includes("●"),
            cell.classList.contains("selected"),
            cell.title,
          ]))"""
    )
    for column, point in enumerate(one.points):
        scores = np.array(point.scores[number])
        weights = np.exp(scores - scores.max()) if one is ONE else scores
        drawn = [row[column] for row in rows]
        shares = weights / weights.sum()
        # Scores are rounded to 0.001, and widths to 1/64 of a pixel.
        np.testing.assert_allclose([cell[0] for cell in drawn], shares, atol=2e-3)
        chosen = np.arange(10) == point.predicted[number]
        assert [cell[1] for cell in drawn] == chosen.tolist()
        assert {cell[2] for cell in drawn} == {point.sparsity == 0.5}
        assert drawn[0][3].startswith(f"share {100 * shares[0]:.1f} %, score ")
    places = [
        f"{point.places[number]}{SUFFIX[point.places[number]]}" for point in one.points
    ]
    assert texts(opened, "#matrix tfoot td") == places
    names = [f"✓ w{k}\nanswer" if k == 3 else f"w{k}" for k in range(10)]
    assert texts(opened, "#matrix tbody th") == names
    assert texts(opened, "#matrix tr.answer th") == ["✓ w3\nanswer"]
    accuracy = [f"{100 * point.accuracy:.1f} %" for point in one.points]
    assert texts(opened, "#matrix thead button small") == accuracy


def test_query_verdict_and_story_tell_of_choice_and_answer(opened):
    choose(opened, sparsity="0.9", show="lost")
    (number,) = (n for n, one in enumerate(PAGE.questions) if one.id == shown(opened))
    answer, place = f"w{number % 10}", ONE.points[-1].places[number]
    chosen = f"w{ONE.points[-1].predicted[number]}"
    assert text(opened, "#query") == f"Then came query{number} and the {chosen} ✗."
    assert text(opened, "#verdict") == (
        f"At sparsity 0.9: {chosen}, ✗ wrong; the answer is {answer}, "
        f"{place}{SUFFIX[place]} of 10. Dense: {answer}, ✓ right: lost."
    )
    assert texts(opened, "#story mark.answer") == [answer] * 2
    assert texts(opened, "#story mark.chosen") == [chosen] * 2


def test_arrows_and_buttons_step_through_the_list(opened):
    choose(opened, **{"class": "V"})
    expected = [one.id for one in PAGE.questions if one.word_class == "V"]
    assert shown(opened) == expected[0]
    press(opened, "ArrowLeft")  # there is none before
    press(opened, "ArrowRight")
    click(opened, "next")
    assert shown(opened) == expected[2]
    press(opened, "ArrowLeft")
    click(opened, "previous")
    assert shown(opened) == expected[0]
    opened.run("document.getElementById('class').focus()")
    press(opened, "ArrowRight")  # the select's own
    assert shown(opened) == expected[0]


def test_a_search_counts_and_goes_with_the_filters_and_the_address(opened, written):
    choose(opened, sparsity="0.5")
    search(opened, "QUERY3")  # begins query3 and query30 to query39
    found = [3, *range(30, 40)]
    assert listed(opened) == [PAGE.questions[number].id for number in found]
    said = "11 of 48 questions; “QUERY3” begins a word 11 times"
    assert text(opened, "#count") == said
    choose(opened, show="right")
    here = right(ONE, 0.5)
    assert listed(opened) == [PAGE.questions[n].id for n in found if here[n]]
    choose(opened, show="all")
    opened.run("document.querySelectorAll('#list button')[4].click()")
    search(opened, "sentence 7")
    assert texts(opened, "#story mark.found") == ["Sentence 7"]
    assert text(opened, "#count").endswith("“sentence 7” begins a word 48 times")
    address = opened.run("return location.hash")
    before = shown(opened)
    opened.open(written, address)
    assert opened.run("return document.getElementById('search').value") == "sentence 7"
    assert (shown(opened), len(listed(opened))) == (before, 48)
    search(opened, "uery3")  # words begin with what is searched
    assert text(opened, "#count") == "0 of 48 questions; “uery3” begins a word 0 times"
    search(opened, "(-[")
    search(opened, "")
    assert text(opened, "#count") == "48 of 48 questions"
    opened.run("document.getElementById('controls').requestSubmit()")
    assert opened.console() == []


def search(browser: Browser, words):
    browser.run(
        """const box = document.getElementById("search");
        box.value = arguments[0];
        box.dispatchEvent(new Event("input"))""",
        words,
    )


def test_an_address_opens_the_same_question_again(opened, written):
    choose(opened, model="two", label="cloze, mag", sparsity="0.75", show="wrong")
    choose(opened, **{"class": "P"})
    click(opened, "next")
    before = shown(opened), text(opened, "#verdict"), listed(opened)
    address = opened.run("return location.hash")
    opened.open(written, address)
    assert (shown(opened), text(opened, "#verdict"), listed(opened)) == before
    assert opened.run("return document.getElementById('show').value") == "wrong"
    assert opened.run("return scrollY") > 0


def test_an_address_of_a_question_counts_more_than_its_filters(opened, written):
    choose(opened, sparsity="0.9", show="wrong")
    address = opened.run("return location.hash").replace("show=wrong", "show=right")
    before = shown(opened)
    opened.open(written, address)
    assert shown(opened) == before
    assert opened.run("return document.getElementById('show').value") == "all"


@pytest.mark.parametrize(
    "address",
    [
        "#tables",
        "#model=one&label=cloze%2C+magnitude&class=all&show=all",
        "#%E0%A4%A&model",
        "#model=one&label=cloze%2C+magnitude&sparsity=0.6&class=all&show=all",
        "#model=one&label=cloze%2C+magnitude&sparsity=0.5&class=all&show=toString",
        "#model=one&label=cloze%2C+magnitude&sparsity=0.5&class=all&show=all&question=x",
        "#model=three&label=cloze&sparsity=0.5&class=all&show=all",
    ],
)
def test_a_bad_address_is_ignored(browser, written, address):
    browser.open(written, address)
    assert shown(browser) == PAGE.questions[0].id
    assert text(browser, "#count") == "48 of 48 questions"
    assert browser.console() == []


# The head and the curves


def test_the_first_screen_has_the_findings_and_the_curves(browser, written):
    for size in (DESKTOP, PHONE):
        browser.resize(size)
        browser.open(written)
        tops = """return arguments[0].map((one) => document.querySelector(one))
          .map((one) => one.getBoundingClientRect().bottom)"""
        shown = [".lead", "#curves figure svg.linear"]
        assert max(browser.run(tops, shown)) < size[1]
    assert text(browser, ".lead") == "Half can go: 61.2\u00a0% against 60\u00a0%."
    assert texts(browser, ".findings li") == ["Nothing more.", "Nor this."]
    assert text(browser, "h1") == "one, two: how much can be cut away?"
    assert texts(browser, "#about dd") == ["one (gpt2)", "cpu"]


def hover(browser: Browser, selector=".point"):
    browser.run(
        """document.querySelector(arguments[0]).dispatchEvent(
          new PointerEvent("pointerover", { bubbles: true }))""",
        selector,
    )


SECOND = "#curves svg.linear .points .point:nth-child(2)"


def test_a_point_shows_its_values_and_leads_to_its_questions(opened, written):
    hover(opened, SECOND)
    name, sparsity, accuracy, correct = text(opened, "#tip").splitlines()
    assert name == "one · cloze, magnitude"
    assert sparsity == "sparsity 0.5: 50 % of the prunable weights left"
    assert accuracy.startswith(f"accuracy {100 * ONE.points[1].accuracy:.1f} %, 95 %")
    assert correct == f"{right(ONE, 0.5).sum()} of 48 questions right"
    marked = "return document.querySelectorAll('.point.shown').length"
    assert opened.run(marked) == 2  # in both axes
    inside = """const box = document.getElementById("tip").getBoundingClientRect();
    return box.left >= 0 && box.top >= 0 && box.right <= innerWidth"""
    assert opened.run(inside)
    hover(opened, "h1")
    assert opened.run("return document.getElementById('tip').hidden")
    choose(opened, sparsity="0.9", show="lost")
    opened.run("scrollTo(0, 0)")
    click_point(opened, SECOND)
    assert opened.run("return document.getElementById('sparsity').value") == "1"
    assert text(opened, "#count") == "48 of 48 questions"
    assert opened.run("return scrollY") > 0
    opened.run("scrollTo(0, 0)")
    click_point(opened, SECOND)  # the address is there already
    assert opened.run("return scrollY") > 0
    click_point(opened, "#classes .points .point:nth-child(3)")
    assert opened.run("return document.getElementById('class').value") == "CN"
    assert opened.console() == []


def click_point(browser: Browser, selector, pointer="mouse"):
    browser.run(
        """const point = document.querySelector(arguments[0]);
        for (const name of ["pointerdown", "click"]) {
          point.dispatchEvent(new PointerEvent(name,
            { bubbles: true, cancelable: true, pointerType: arguments[1] }));
        }""",
        selector, pointer,
    )  # fmt: skip


def test_a_finger_sees_the_values_first(opened):
    click_point(opened, SECOND, "touch")
    assert text(opened, "#tip").startswith("one · cloze")
    assert opened.run("return scrollY") == 0
    click_point(opened, SECOND, "touch")
    assert opened.run("return scrollY") > 0


def test_points_that_lie_on_each_other_are_all_named(browser, tmp_path):
    same = dataclasses.replace(OTHERS[0], points=ONE.points)
    page = page_of(48, ONE, same)
    browser.resize(DESKTOP)
    open_page(browser, tmp_path / "same.html", page)
    hover(browser)
    assert text(browser, "#tip").splitlines()[:2] == [
        "one · cloze, magnitude", "one · append, magnitude",
    ]  # fmt: skip


def test_arrows_lead_from_point_to_point(opened):
    focused = "return document.activeElement.getAttribute('href')"
    opened.run("document.querySelector('#curves svg.linear .point').focus()")
    for key, label, sparsity in (
        ("ArrowRight", "cloze", "0.5"), ("ArrowDown", "append", "0.5"),
        ("ArrowLeft", "append", "0.0"), ("ArrowLeft", "append", "0.0"),
        ("ArrowUp", "cloze", "0.0"),
    ):  # fmt: skip
        press(opened, key)
        address = opened.run(focused)
        assert f"label={label}" in address
        assert address.endswith(f"sparsity={sparsity}")
        assert text(opened, "#tip").startswith(f"one · {label}")
        assert shown(opened) == PAGE.questions[0].id  # the explorer does not move
    press(opened, "Escape")
    assert opened.run("return document.getElementById('tip').hidden")
    stops = "return document.querySelectorAll(\"#curves .point[tabindex='0']\").length"
    assert opened.run(stops) == 4  # one for each panel and axis


def test_both_axes_have_all_points_and_small_panels_one_axis_at_a_time(opened):
    places = """return [...document.querySelectorAll(
      `#curves figure:first-child svg.${arguments[0]} .point .hit`)].map(
      (one) => one.getBoundingClientRect().x)"""
    linear, log = (np.array(opened.run(places, axis)[:4]) for axis in ("linear", "log"))
    steps = np.diff(linear) / np.ptp(linear)
    np.testing.assert_allclose(steps, np.diff(SPARSITIES) / 0.9, atol=0.02)
    remaining = -np.log10(1 - np.array(SPARSITIES))
    np.testing.assert_allclose(
        np.diff(log) / np.ptp(log), np.diff(remaining) / remaining[-1], atol=0.02
    )
    visible = """return ["linear", "log"].map((axis) =>
      document.querySelector(`#classes svg.${axis}`).checkVisibility())"""
    assert opened.run(visible) == [True, False]
    click(opened, "classes-log")
    assert opened.run(visible) == [False, True]


def test_curves_and_heat_wear_the_colours_of_the_page(browser, tmp_path):
    one = HeatMap("one · magnitude", ("h 0", "h 1"), (0.5,), ((0.3,), (0.7,)))
    path = tmp_path / "heat.html"
    path.write_text(render(dataclasses.replace(PAGE, maps=(one,))), encoding="utf-8")
    worn = """const of = (selector, name) =>
      getComputedStyle(document.querySelector(selector))[name];
    return [of("body", "backgroundColor"), of("#curves polyline", "stroke"),
      of("#curves .band", "fill"), of("#curves .tick", "fill"),
      of(".heat .deep", "backgroundColor"), of(".heat .deep", "color")]"""
    colours = {}
    for dark in False, True:
        browser.resize(DESKTOP, dark=dark)
        browser.open(path)
        colours[dark] = browser.run(worn)
    browser.resize(DESKTOP)
    paper, curve, band, *_ = colours[False]
    assert (paper, curve, band) == ("rgb(255, 255, 255)", *["rgb(0, 98, 163)"] * 2)
    assert colours[True][:2] == ["rgb(20, 23, 27)", "rgb(108, 182, 245)"]
    assert all(a != b for a, b in zip(*colours.values(), strict=True))


def test_no_column_is_cut_at_1400_pixels(browser, written):
    browser.resize(WIDE)
    browser.open(written)
    assert overflow(browser) <= 0
    assert hidden_width(browser, "#tables .scroll") == 0


# Other pages


def test_the_story_is_what_the_model_of_the_curve_has_read(browser, tmp_path):
    asked = tuple(
        dataclasses.replace(
            one,
            texts=(
                *one.texts,
                PageText(
                    tuple(f"Tokens {k} ." for k in range(20)), "Tokens XXXXX .",
                    tuple(f"t{k}" for k in range(10)),
                ),
            ),
        )
        for one in questions(48)
    )  # fmt: skip
    tokens = dataclasses.replace(ONE, model="two", context="query", style=1)
    appended = dataclasses.replace(OTHERS[0], context="last")
    page = dataclasses.replace(
        page_of(48, ONE, tokens, appended), questions=asked, styles=("ptb", "none")
    )
    browser.resize(DESKTOP)
    open_page(browser, tmp_path / "styles.html", page)
    assert texts(browser, "#story li")[0] == "Sentence 1 has w1."
    assert "as the model read them, its tokens made running text" in text(
        browser, "#read"
    )
    assert texts(browser, "#story .unread") == []
    choose(browser, model="two")
    assert texts(browser, "#story li")[0] == "Tokens 0 ."
    assert texts(browser, "#matrix tbody th")[1] == "t1"
    assert "read the query alone, its tokens as they stand" in text(browser, "#read")
    assert len(texts(browser, "#story .unread")) == 20
    choose(browser, model="one", label="append")
    chosen = f"w{appended.points[browser.run('return state.point')].predicted[0]}"
    assert text(browser, "#query").startswith(
        f"Then came query0 and the XXXXX. {chosen} "
    )
    assert len(texts(browser, "#story .unread")) == 19


def open_page(browser: Browser, path, page):
    path.write_text(render(page), encoding="utf-8")
    browser.open(path)


def test_hostile_text_is_text(browser, tmp_path):
    hostile = tuple(
        PageQuestion(
            id=f"{evil}-{number}",
            word_class=evil,
            answers=(number,),
            texts=(
                PageText(
                    (evil,) * 20, f"{evil} XXXXX {evil}", (*HOSTILE, "a", "b", "c")
                ),
            ),
        )
        for number, evil in enumerate(HOSTILE)
    )
    curves = tuple(
        dataclasses.replace(curve("", "cloze", len(HOSTILE), 0), model=evil, label=evil)
        for evil in HOSTILE
    )
    joined = " ".join(HOSTILE)
    table = TextTable(joined, ("", *HOSTILE), ((joined, *HOSTILE),), HOSTILE)
    lines = tuple(line(one, joined, joined) for one in curves)
    panel = Panel(joined, lines, (Reference(joined, "chance", 0.1),))
    rows = ((joined, (panel,)),)
    page = Page(
        title=joined, findings=HOSTILE, about=((joined, joined),), commands=HOSTILE,
        notes=HOSTILE, charts=(Chart("curves", joined, HOSTILE, rows),),
        pictures=(Picture("text", joined, joined, "<svg/>"),),
        maps=(HeatMap(joined, HOSTILE, (0.5,), ((0.5,),) * len(HOSTILE)),),
        explained=dict.fromkeys(HOSTILE, joined), legend=joined, tables=(table,),
        styles=(joined,), curves=curves, questions=hostile,
        class_names=dict.fromkeys(HOSTILE, joined), class_kind=joined,
        asked=7,
    )  # fmt: skip
    browser.resize(DESKTOP)
    open_page(browser, tmp_path / "hostile.html", page)
    point = "return document.querySelector('.point').getAttribute('aria-label')"
    assert browser.run(point).startswith(
        f"{HOSTILE[0]} · {HOSTILE[0]} · {joined}; dense"
    )
    hover(browser)
    assert joined in browser.run("return document.getElementById('tip').textContent")
    title = browser.run("return document.title")  # with white space of its own
    assert title.split() == joined.split()
    content = "return document.querySelector(arguments[0]).textContent"
    assert browser.run(content, "h1") == joined
    assert browser.run(content, "#legend") == joined
    for number, evil in enumerate(HOSTILE):
        browser.run(
            "document.querySelectorAll('#list button')[arguments[0]].click()", number
        )
        assert browser.run(content, "#story li") == evil
        assert browser.run(content, "#query").startswith(f"{evil} ")
        assert browser.run(content, "#name").startswith(f"{evil}-{number} · {evil} · ")
        assert browser.run(content, "#matrix tr.answer th") == f"✓ {evil}answer"
    scripts = "return document.scripts.length + document.querySelectorAll('b').length"
    assert browser.run(scripts) == 2  # the data and our own
    images = "return [...document.images].map(image => image.alt)"
    assert browser.run(images) == [joined]
    assert browser.console() == []
    assert overflow(browser) <= 0


def test_a_page_without_questions_has_its_tables(browser, tmp_path):
    page = dataclasses.replace(page_of(0), asked=48)
    open_page(browser, tmp_path / "bare.html", page)
    assert texts(browser, "#tables tbody th") == ["most frequent", "magnitude"]
    assert text(browser, "#in-file").startswith("0 of 48 questions are in this file")
    assert text(browser, "#nothing") == "There is no question to show."
    hidden = "return !document.getElementById('explorer').checkVisibility()"
    assert browser.run(hidden)
    assert browser.console() == []


def test_many_questions_come_in_pages(browser, tmp_path):
    one = curve("one", "cloze", 2000, 5, (0.0, 0.5))
    open_page(browser, tmp_path / "many.html", page_of(2000, one))
    assert len(listed(browser)) == 50
    assert text(browser, "#count") == "2000 of 2000 questions"
    choose(browser, page="1951")
    assert shown(browser) == listed(browser)[0] == "V-test-1951"
    assert len(listed(browser)) == 50
    press(browser, "ArrowLeft")
    assert shown(browser) == listed(browser)[-1] == "NE-test-1950"
    choose(browser, show="lost")
    lost = np.count_nonzero(right(one, 0.0) & ~right(one, 0.5))
    assert text(browser, "#count") == f"{lost} of 2000 questions"
    assert browser.console() == []
