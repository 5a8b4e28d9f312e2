"""Plain-text books: what is prose, what is licence, what cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.cbt.books import parse_book, read_book
from jaxsparse.types import InputError

PROSE = "The hen ran home.\n\nShe was late, and nobody\nhad waited for her."
PARAGRAPHS = ("The hen ran home.", "She was late, and nobody had waited for her.")
BEGINNINGS = [
    "*** START OF THE PROJECT GUTENBERG EBOOK THE LATE HEN ***",
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LATE HEN ***",
    "***START OF THE PROJECT GUTENBERG EBOOK THE LATE HEN***",
    "*** START OF THE PROJECT GUTENBERG EBOOK A TALE OF\nThe Late Hen ***",
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04*END*",
]
ENDS = [
    "*** END OF THE PROJECT GUTENBERG EBOOK THE LATE HEN ***",
    "***END OF THIS PROJECT GUTENBERG EBOOK THE LATE HEN***",
    "End of the Project Gutenberg EBook of The Late Hen",
    "End of Project Gutenberg's The Late Hen, by Nobody",
]


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("end", ENDS)
def test_header_and_licence_are_stripped(beginning, end):
    text = (
        f"You may copy it.\n\n{beginning}\n\n{PROSE}\n\n{end}\n\nNo warranty is given."
    )
    assert parse_book(text, "hen").paragraphs == PARAGRAPHS
    windows = parse_book("\ufeff" + text.replace("\n", "\r\n"), "hen")
    assert windows.paragraphs == PARAGRAPHS


def test_the_last_beginning_and_the_first_end_count():
    text = "\n\n".join(
        ("Old.", BEGINNINGS[0], "Small print.", BEGINNINGS[-1], PROSE, *ENDS, "Tail.")
    )
    assert parse_book(text, "hen").paragraphs == PARAGRAPHS


def test_a_book_without_licence_is_kept_whole():
    assert parse_book(PROSE, "hen").paragraphs == PARAGRAPHS
    aside = "We read the end of Project Gutenberg's list, and the start of another."
    assert parse_book(aside, "hen").paragraphs == (aside,)


def test_what_is_no_prose_is_left_out_and_counted():
    noise = [
        "The Late Hen",
        "CHAPTER I.",
        "I. HOW SHE RAN.",
        "* * * * *",
        "[12]",
        "12.",
    ]
    text = "\n\n \n".join([*noise, '  She   ran:\n  "_Oh!_"  ', "And then--", "Page"])
    book = parse_book(text, "hen")
    assert book.paragraphs == ('She ran: "Oh!"', "And then--")
    assert book.left_out == len(noise) + 1
    assert book.name == "hen"


def test_sentences_are_in_the_form_of_cbt():
    book = parse_book(
        "“I can’t,” she said. Mr. Moss—late too—ran.\n\n(So then?)", "hen"
    )
    assert list(book.sentences()) == [
        "`` I ca n't , '' she said .",
        "Mr. Moss -- late too -- ran .",
        "-LRB- So then ? -RRB-",
    ]


@given(st.text() | st.lists(st.sampled_from(["\r", "\n", "_", "*", " ", "so."])))
def test_sentences_stand_on_one_line_with_single_spaces(text):
    book = parse_book("".join(text) + "\n\nWe end.", "any")
    assert book.paragraphs
    for line in (*book.paragraphs, *book.sentences()):
        assert line == " ".join(line.split()) != ""


def test_a_file_is_read_and_named(tmp_path):
    path = tmp_path / "the-late.hen.txt"
    path.write_bytes(b"\xef\xbb\xbf" + PROSE.replace("\n", "\r\n").encode())
    book = read_book(path)
    assert book.name == "the-late.hen"
    assert book.paragraphs == PARAGRAPHS
    assert book.left_out == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"One.\nTwo caf\xe9.\n", r":2: byte 13 of the file is not UTF-8; convert"),
        ("One.".encode("utf-16"), r":1: byte 1 of the file is not UTF-8"),
        (b"", "holds no paragraph of prose"),
        (b"THE END\n\n* * *\n", "no paragraph of prose: .*; name a plain-text book"),
    ],
)
def test_a_file_that_is_no_book_is_refused(tmp_path, content, message):
    path = tmp_path / "hen.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"hen\.txt.*{message}"):
        read_book(path)


def test_what_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.txt"):
        with pytest.raises(InputError, match=f"{path.name} cannot be read: "):
            read_book(path)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (
            "*** START OF THE  PROJECT\xa0GUTENBERG EBOOK ***",
            "END OF PROJECT GUTENBERG",
        ),
        ("*** START OF THE PROJECT\nGUTENBERG EBOOK ***", "End of\nProject Gutenberg"),
        ("START OF PROJECT GUTENBERG", "The End of the Project Gutenberg EBook"),
    ],
)
def test_marks_are_found_however_they_are_spaced_and_whatever_ends_lines(start, end):
    text = f"The header.\n\n{start}\n\n{PROSE}\n\n{end}\n\nThe licence."
    for newline in "\n", "\r\n", "\r":
        assert parse_book(text.replace("\n", newline), "a").paragraphs == PARAGRAPHS


def test_two_books_in_one_file_are_refused(tmp_path):
    one = f"*** START OF THE PROJECT GUTENBERG EBOOK ***\n\n{PROSE}\n\n"
    one += "*** END OF THE PROJECT GUTENBERG EBOOK ***\n\n"
    path = tmp_path / "two.txt"
    path.write_text(one)
    assert read_book(path).paragraphs == PARAGRAPHS
    path.write_text(one + one)
    with pytest.raises(InputError, match="holds more than one book; make a file of"):
        read_book(path)


def test_many_empty_lines_take_no_time():
    """With a pattern that backtracks, minutes."""
    assert parse_book("\n" * 30_000 + PROSE, "a").paragraphs == PARAGRAPHS
