"""Paths that flags name: what is found, what is refused, nothing half-written."""

import os

import pytest

from experiments.paths import new_directory, text_files
from jaxsparse.types import InputError


def test_files_come_in_the_given_order_and_those_of_a_directory_by_name(tmp_path):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in ("b.txt", "a.txt", "notes.md"):
        (shelf / name).touch()
    other = tmp_path / "other.book"
    other.touch()
    found = text_files("books", [str(other), str(shelf)])
    assert found == [other, shelf / "a.txt", shelf / "b.txt"]


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "hen.txt").touch()
    assert text_files("books", ["~/hen.txt"]) == [tmp_path / "hen.txt"]
    assert new_directory("out", "~/made") == tmp_path / "made"


def test_an_entry_that_is_not_there_may_be_part_of_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hen, fox.txt").touch()
    with pytest.raises(InputError, match=r"--books=hen: no such .*commas separate"):
        text_files("books", ["hen", "fox.text"])


def test_what_names_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="--books is missing"):
        text_files("books", [])
    with pytest.raises(InputError, match="--books=nowhere: no such file"):
        text_files("books", ["nowhere"])
    with pytest.raises(InputError, match=r"no \.txt file in that directory"):
        text_files("books", [str(tmp_path)])
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).touch()
    with pytest.raises(InputError, match=r"caf\\udce9\.txt' is not UTF-8; rename it"):
        text_files("books", [str(tmp_path)])


def test_a_directory_to_write_must_be_new(tmp_path):
    assert new_directory("out", str(tmp_path / "a/b")) == tmp_path / "a/b"
    file, dangling = tmp_path / "file", tmp_path / "dangling"
    file.touch()
    dangling.symlink_to("nowhere")
    for name, message in (
        (None, "--out is missing"),
        ("", "--out is missing"),
        (tmp_path, "exists already; name a new directory"),
        (file, "exists already"),
        (dangling, "exists already"),
        (file / "made", "file is a file; name a directory"),
    ):
        with pytest.raises(InputError, match=message):
            new_directory("out", name and str(name))
    assert sorted(tmp_path.iterdir()) == [dangling, file]


def test_texts_are_found_whatever_case_their_suffix_has(tmp_path):
    for name in "b.TXT", "a.txt", "c.md":
        (tmp_path / name).write_text("x")
    assert [path.name for path in text_files("books", [str(tmp_path)])] == [
        "a.txt", "b.TXT",
    ]  # fmt: skip
    with pytest.raises(InputError, match="--books: an entry is empty; name a file"):
        text_files("books", [str(tmp_path), ""])


def test_every_part_of_a_new_path_must_have_a_name_of_usual_length(tmp_path):
    with pytest.raises(InputError, match="the name is too long"):
        new_directory("out", str(tmp_path / ("n" * 260) / "made"))
