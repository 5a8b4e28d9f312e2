"""Questions from books of any origin: one run end to end, and what it refuses."""

import os
import re
import signal
import subprocess
import sys

import pyarrow.parquet
import pytest

from experiments import build_cbt
from jaxsparse import cbt, processes
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


@pytest.mark.parametrize("cores", [1, 2])
def test_the_same_flags_write_the_same_bytes_on_any_cores(
    place, made, cores, monkeypatch
):
    monkeypatch.chdir(place)
    monkeypatch.setattr(processes, "cores", lambda: cores)
    ended = binary.run(build_cbt, "--books=books", f"--out=on-{cores}", *FLAGS)
    assert (ended.status, ended.stderr) == (0, "")
    for path in made[0].iterdir():
        if path.name != "summary.md":  # it has the command line, and so --out
            written = place / f"on-{cores}" / path.name
            assert written.read_bytes() == path.read_bytes()


def refused(place, *argv, start=run):
    """The one line of a run that fails and writes nothing."""
    before = sorted(place.rglob("*"))
    ended = start(place, *argv)
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


# What goes wrong while words are tagged

TAGGER = """
class HanoverTagger:
    def __init__(self, name):
        self.analyze_forward = len
    def tag_sent(self, tokens, taglevel):
        {}
"""


@pytest.fixture
def tagged_by(tmp_path):
    """Makes a folder of three books beside a HanTa that tags them by these lines."""

    def make(*lines):
        (tmp_path / "books").mkdir()
        for name in "abc":
            (tmp_path / f"books/{name}.txt").write_text(book(NAMES), encoding="utf-8")
        package = tmp_path / "HanTa"
        package.mkdir()
        (package / "__init__.py").touch()
        code = TAGGER.format("\n        ".join(lines))
        (package / "HanoverTagger.py").write_text(code)
        return tmp_path

    return make


@pytest.fixture
def on_two_cores(monkeypatch):
    def start(place, *argv):
        monkeypatch.chdir(place)
        monkeypatch.syspath_prepend(place)
        monkeypatch.setattr(processes, "cores", lambda: 2)
        return binary.run(build_cbt, "--books=books", "--out=made", *argv)

    return start


def test_a_process_that_is_killed_ends_the_run_in_one_line(tagged_by, on_two_cores):
    place = tagged_by("import os", "os.kill(os.getpid(), 9)")
    assert refused(place, start=on_two_cores) == (
        "error: one of the processes that share the work was killed by SIGKILL, as the "
        "system does when memory runs out; run it again, on fewer cores if memory is "
        "short (on Linux: taskset -c 0 ./run.sh …)\n"
    )


def test_bad_input_is_the_same_line_where_a_process_finds_it(tagged_by, on_two_cores):
    place = tagged_by(
        "from jaxsparse.types import InputError", "raise InputError('no  `seed=3`')"
    )
    assert refused(place, start=on_two_cores) == "error: no --seed=3\n"


def test_without_hanta_a_run_says_how_to_install_it(tagged_by, on_two_cores):
    place = tagged_by("pass")
    (place / "HanTa/__init__.py").write_text("raise ImportError")
    assert refused(place, start=on_two_cores) == (
        "error: HanTa, which tags words, is not installed; "
        "run .venv/bin/python -m pip install 'hanta>=1.2'\n"
    )


def test_our_own_fault_keeps_its_traceback_from_there(tagged_by, on_two_cores):
    place = tagged_by("1 / 0")
    with pytest.raises(ZeroDivisionError) as raised:
        on_two_cores(place)
    assert "in tag_sent" in raised.value.__notes__[0]
    assert not (place / "made").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes(tagged_by, number):
    place = tagged_by("import os", "os.write(1, b'ready\\n')", "while True: pass")
    before = sorted(place.glob("*"))
    argv = ("--books=books", "--out=new/made")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "experiments", "build_cbt", *argv],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{place}:{binary.ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, number)
        _, stderr = process.communicate(timeout=60)  # all have closed it
    assert process.returncode == 128 + number
    assert without_progress(stderr) == "interrupted\n" * (number == signal.SIGINT)
    assert sorted(place.glob("*")) == before
