"""Questions from books of any origin: one run end to end, and what it refuses."""

import re

import pyarrow.parquet
import pytest

from jaxsparse import cbt
from jaxsparse.cbt import build
from jaxsparse.cbt.books import read_book
from jaxsparse.cbt.references import from_references, to_lines
from tests.experiments import binary

CLASSES = ("CN", "NE", "P")
FILES = [f"cbtest_{name}_valid.txt" for name in CLASSES]
FLAGS = ("--word_classes=CN,NE,P,CN", "--split=validation", "--per_book=4", "--seed=5")

NOUNS = ["basket", "brush", "candle", "hammer", "kettle", "ladder", "lantern", "letter"]
NOUNS += ["mirror", "pillow", "ribbon", "saddle", "spoon", "table", "wagon"]
NAMES = ["Ada", "Bram", "Cosmo", "Delia", "Ezra", "Flora", "Gideon", "Hester"]
NAMES += ["Ivo", "Jonas", "Klara"]
PLACES = ["above", "across", "behind", "beside", "by", "from", "in", "near", "on"]
PLACES += ["over", "under", "with"]


def book(names, sentences=32):
    """A sentence a paragraph, its words taken in turn."""
    return "\n\n".join(
        f"One day the {NOUNS[n % 15]} stood {PLACES[n % 12]} the "
        f"{NOUNS[(7 * n + 3) % 15]}, and “we don’t mind,” said {names[n % len(names)]}."
        for n in range(sentences)
    )


def run(place, *argv):
    return binary.start("-m", "experiments.build_cbt", *argv, cwd=place)


PROGRESS = re.compile(  # nothing else may stand in such a line
    r"(reading|tagging words|answering without reading|writing)"
    r"(, \d+ (books|questions)|: \d+ of \d+.* left|: \S+ so far)?\n"
)


def without_progress(said):
    """On a busy machine it may take so long that it is told."""
    lines = said.splitlines(keepends=True)
    return "".join(line for line in lines if not PROGRESS.fullmatch(line))


@pytest.mark.parametrize("error", ["error: reading: no", "reading books: Errno 5"])
def test_no_error_is_taken_for_progress(error):
    told = "reading, 3 books\ntagging words: 1 of 3, 0.1 books/s, 00:20 left\nwriting\n"
    assert without_progress(f"{told}{error}\n") == f"{error}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three books: one off Project Gutenberg, one of few names, one too short."""
    place = tmp_path_factory.mktemp("place")
    (place / "books").mkdir()
    gutenberg = (
        "You may copy this basket.\n\n*** START OF THE PROJECT GUTENBERG EBOOK ***\n\n"
        f"CHAPTER I\n\n{book(NAMES)}\n\n*** END OF THE PROJECT GUTENBERG EBOOK ***\n\n"
        "No hammer is warranted, said Nobody."
    )
    (place / "books/a-gutenberg.txt").write_bytes(
        gutenberg.replace("\n", "\r\n").encode()
    )
    (place / "books/b-plain.txt").write_text(book(NAMES[:2]), encoding="utf-8")
    (place / "books/c-short.txt").write_text(book(NAMES, 20), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def made(place):
    """The directory that a run wrote, and what the run said."""
    pytest.importorskip("HanTa")
    return place / "made", run(place, "--books=books", "--out=made", *FLAGS)


def test_a_run_says_what_it_made_and_what_it_left_out(place, made):
    directory, ended = made
    assert (ended.status, without_progress(ended.stderr)) == (0, "")
    summary = (directory / "summary.md").read_text()
    assert ended.stdout == f"{summary}Written to {directory}\n"
    for line in (
        f"    ./run.sh build_cbt --books=books --out=made {' '.join(FLAGS)}",
        "| book | CN | NE | P | paragraphs left out as no prose |",
        "| a-gutenberg | 4 | 4 | 4 | 1 |",
        "| b-plain | 4 | 0 | 4 | 0 |",
        "| c-short | 0 | 0 | 0 | 0 |",
        "| all | 8 | 4 | 8 | |",
        "c-short: 20 sentences, a question needs 21; skipped.",
        "| a-gutenberg | 0 | 0 | 0 | 0 | 0 |",
        "| b-plain | 0 | 0 | 0 | 0 | 12 |",
        "| NE, all books | 0 | 0 | 0 | 0 | 12 |",
        "| all | 0 | 0 | 0 | 0 | 12 |",
        "A rule is warned of above 4.5 × chance in a class, or 3.5 × in all, by the "
        "low end of its 95 % interval.",
        "| chance | 10.0 | 10.0 | 10.0 | 10.0 |",
        "Warning: P: the option least frequent in the story is right in 87.5 % of 8 "
        "questions, chance 10.0 %.",  # the book's words come in turn
    ):
        assert line in summary.splitlines()
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        [*FILES, "questions.parquet", "references.jsonl", "summary.md"]
    )
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_all_formats_hold_the_same_questions(place, made):
    directory, _ = made
    text = cbt.read(str(directory), "validation", CLASSES)
    table = cbt.read(str(directory / "questions.parquet"), "validation", None)
    assert not text.malformed
    assert not table.malformed
    assert [q.word_class for q in text.questions] == ["CN"] * 8 + ["NE"] * 4 + ["P"] * 8
    digests = [question.digest for question in text.questions]
    assert [question.digest for question in table.questions] == digests
    assert {question.story for question in table.questions} == {
        "a-gutenberg",
        "b-plain",
    }
    assert {question.story for question in text.questions} == {""}
    items = from_references(directory / "references.jsonl", place / "books")
    judged = [cbt.questions.judge(item, "", "CN", "validation", 1) for item in items]
    assert [question.digest for question in judged] == digests
    for question in text.questions:
        assert "we do n't mind , ''" in question.query
        assert not any("warranted" in line for line in question.context)


def test_books_take_turns(made):
    table = pyarrow.parquet.read_table(made[0] / "questions.parquet").to_pydict()
    assert table["story"] == (
        ["a-gutenberg", "b-plain"] * 4
        + ["a-gutenberg"] * 4
        + ["a-gutenberg", "b-plain"] * 4
    )
    assert set(table["split"]) == {"validation"}


def test_flags_reach_the_draw(place, made):
    words = [
        build.Words.of(read_book(path), build.hanta_tagger())
        for path in sorted((place / "books").glob("*.txt"))
    ]
    expected = [
        line
        for one in words
        for line in to_lines(build.build(one, CLASSES, 4, 5, build.Skipped()))
    ]
    found = (made[0] / "references.jsonl").read_text().splitlines(keepends=True)
    assert sorted(found) == sorted(expected)


def test_the_same_command_writes_the_same_bytes(place, made):
    assert run(place, "--books=books", "--out=again", *FLAGS).status == 0
    for path in made[0].iterdir():
        if path.name != "summary.md":  # it has the command line, and so --out
            assert (place / "again" / path.name).read_bytes() == path.read_bytes()


def refused(place, *argv):
    """The one line of a run that fails and writes nothing."""
    before = sorted(place.rglob("*"))
    ended = run(place, *argv)
    assert (ended.status, ended.stdout) == (2, "")
    said = without_progress(ended.stderr)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert sorted(place.rglob("*")) == before
    return said


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"It ran.\nOld caf\xe9s did not.\n")
    assert "latin.txt:2: byte 16 of the file is not UTF-8; convert" in refused(
        tmp_path, "--books=latin.txt", "--out=made"
    )
    assert "--out=latin.txt: exists already; name a new" in refused(
        tmp_path, "--books=latin.txt", "--out=latin.txt"
    )
    assert "--word_classes=CN,XX: choose of CN,NE,V,P" in refused(
        tmp_path, "--books=latin.txt", "--out=made", "--word_classes=CN,XX"
    )


def test_books_of_one_name_are_refused(tmp_path):
    for name in ("hen.txt", "hen.text"):
        (tmp_path / name).write_text(book(NAMES), encoding="utf-8")
    assert "--books: hen names two books; rename one" in refused(
        tmp_path, "--books=hen.txt,hen.text", "--out=made"
    )


def test_books_without_a_question_say_why(tmp_path):
    pytest.importorskip("HanTa")
    (tmp_path / "few.txt").write_text(book(NAMES[:1]), encoding="utf-8")
    (tmp_path / "short.txt").write_text(book(NAMES, 20), encoding="utf-8")
    said = refused(
        tmp_path, "--books=few.txt,short.txt", "--out=a", "--word_classes=NE"
    )
    assert said == (
        "error: --books: no questions. "
        "short: 20 sentences, a question needs 21; skipped. "
        "NE: 12 sentences skipped, fewer than ten candidates in the book.\n"
    )
