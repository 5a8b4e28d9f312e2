"""The page as text, and as a reader meets it in a real browser."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxsparse.report.page import (
    Page,
    PageCurve,
    PagePoint,
    PageQuestion,
    Picture,
    render,
)
from jaxsparse.report.tables import Table
from tests.report.browser import DESKTOP, PHONE, Browser, open_browser

CLASSES = ("CN", "NE", "V", "P")
SPARSITIES = (0.0, 0.5, 0.75, 0.9)
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 34"><path d="M0 0"/></svg>'
)
TABLE = Table(
    "one · cloze",
    ("method", *(f"column {number}" for number in range(12))),
    (("dense", *["61.2"] * 12), ("magnitude", *["48.0"] * 12)),
    ("48 questions",),
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
            sentences=tuple(f"Sentence {k} has w{k % 10} ." for k in range(1, 21)),
            query="Then came the XXXXX .",
            options=tuple(f"w{k}" for k in range(10)),
            answer=f"w{n % 10}",
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
        point = PagePoint(sparsity, accuracy, predicted.tolist(), scores.tolist())
        points.append(point)
    return PageCurve(model, label, protocol, tuple(points))


def page_of(number, *curves):
    return Page(
        title="Accuracy against sparsity",
        commands=("./run.sh --models=one,two",),
        notes=("3 malformed questions left out",),
        legend="sparsity: requested",
        tables=(TABLE,),
        pictures=(Picture("one", "accuracy of one against sparsity", SVG),),
        curves=curves,
        questions=questions(number),
        asked=number,
    )


ONE = curve("one", "cloze, magnitude", 48, 1)
OTHERS = (
    curve("one", "append, magnitude", 48, 2),
    curve("two", "cloze, magnitude", 48, 3, (0.0, 0.75)),
    curve("two", "cloze, random", 48, 4, (0.5, 0.75)),
)
PAGE = page_of(48, ONE, *OTHERS)
UNKNOWN_OPTION = dataclasses.replace(ONE.points[0], predicted=[10] * 48)


def right(one, sparsity):
    """Whether each question is right, as the test's own data has it."""
    (point,) = (point for point in one.points if point.sparsity == sparsity)
    return np.array(point.predicted) == np.arange(len(point.predicted)) % 10


def ids(chosen):
    return [PAGE.questions[number].id for number in np.flatnonzero(chosen)]


# As text


class Texts(HTMLParser):
    """The text of each cell, and the pictures."""

    def __init__(self, page):
        super().__init__()
        self.tag, self.cells, self.images = "", [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        if tag in ("th", "td"):
            self.cells.append("")
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        if self.tag in ("th", "td"):
            self.cells[-1] += data.strip()


def test_tables_and_pictures_need_no_script():
    texts = Texts(render(PAGE))
    assert texts.cells == [*TABLE.header, *TABLE.rows[0], *TABLE.rows[1]]
    assert texts.images[0]["alt"] == "accuracy of one against sparsity"
    assert texts.images[0]["src"].startswith("data:image/svg+xml;base64,")


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
    text = render(PAGE).split('id="data">')[1].split("</script>")[0]
    cloze, append, *_ = json.loads(text)["curves"]
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


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_opens_quietly_and_fits(browser, written, size):
    browser.resize(size)
    browser.open(written)
    click(browser, "next-lost")
    browser.run("document.getElementById('story-box').open = true")
    assert browser.console() == []
    assert browser.requests() == [written.as_uri()]
    assert browser.run("return performance.getEntriesByType('resource')") == []
    assert overflow(browser) <= 0
    assert len(texts(browser, "#story li")) == 20
    assert browser.run("return document.images[0].naturalWidth") > 0


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
        wide = "const box = document.querySelector(arguments[0]);"
        assert browser.run(f"{wide} return box.scrollWidth > box.clientWidth", box)
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
    names = [f"✓ w{k}\nanswer" if k == 3 else f"w{k}" for k in range(10)]
    assert texts(opened, "#matrix tbody th") == names
    assert texts(opened, "#matrix tr.answer th") == ["✓ w3\nanswer"]
    accuracy = [f"{100 * point.accuracy:.1f} %" for point in one.points]
    assert texts(opened, "#matrix thead button small") == accuracy


def test_query_verdict_and_story_tell_of_choice_and_answer(opened):
    choose(opened, sparsity="0.9", show="lost")
    (number,) = (n for n, one in enumerate(PAGE.questions) if one.id == shown(opened))
    answer = PAGE.questions[number].answer
    chosen = f"w{ONE.points[-1].predicted[number]}"
    assert text(opened, "#query") == f"Then came the {chosen} ✗ ."
    assert text(opened, "#verdict") == (
        f"At sparsity 0.9: {chosen}, ✗ wrong; the answer is {answer}. "
        f"Dense: {answer}, ✓ right: lost."
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


# Other pages


def open_page(browser: Browser, path, page):
    path.write_text(render(page), encoding="utf-8")
    browser.open(path)


def test_hostile_text_is_text(browser, tmp_path):
    hostile = tuple(
        PageQuestion(
            id=f"{evil}-{number}",
            word_class=evil,
            sentences=(evil,) * 20,
            query=f"{evil} XXXXX {evil}",
            options=(*HOSTILE, "a", "b", "c"),
            answer=evil,
        )
        for number, evil in enumerate(HOSTILE)
    )
    curves = tuple(
        dataclasses.replace(curve("", "cloze", len(HOSTILE), 0), model=evil, label=evil)
        for evil in HOSTILE
    )
    joined = " ".join(HOSTILE)
    table = Table(joined, ("", *HOSTILE), ((joined, *HOSTILE),), HOSTILE)
    picture = Picture(
        joined, joined, SVG.replace("<path", "<script>alert(1)</script><path")
    )
    page = Page(
        joined, HOSTILE, HOSTILE, joined, (table,), (picture,), curves, hostile, 7
    )
    browser.resize(DESKTOP)
    open_page(browser, tmp_path / "hostile.html", page)
    title = browser.run("return document.title")  # with white space of its own
    assert title.split() == joined.split()
    content = "return document.querySelector(arguments[0]).textContent"
    assert browser.run(content, "h1") == joined
    assert browser.run(content, "#legend") == joined
    assert browser.run("return document.images[0].alt") == joined
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
    assert browser.run("return document.images.length") == 1
    assert browser.console() == []
    assert overflow(browser) <= 0


def test_a_page_without_questions_has_its_tables(browser, tmp_path):
    page = dataclasses.replace(page_of(0), asked=48, pictures=())
    open_page(browser, tmp_path / "bare.html", page)
    assert texts(browser, "#tables tbody th") == ["dense", "magnitude"]
    assert text(browser, "#held").startswith("0 of 48 questions are in this file")
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
