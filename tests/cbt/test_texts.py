"""Texts from books, from the stories that ship, and from the stories of questions."""

import pytest

from jaxsparse import assets
from jaxsparse.cbt import bundled_texts, context_texts, read_questions, read_texts
from jaxsparse.types import InputError
from tests.pretraining import little


def test_a_book_comes_out_as_its_sentences_between_single_spaces(tmp_path):
    one = little.write_book(tmp_path / "one.txt", seed=0)
    other = little.write_book(tmp_path / "other.txt", seed=1)
    assert read_texts([one, other]) == little.TEXTS
    assert read_texts([other, one]) == little.TEXTS[::-1]


def test_a_book_without_prose_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("CHAPTER I\n\n* * *\n")
    with pytest.raises(InputError, match=r"empty\.txt holds no paragraph of prose"):
        read_texts([tmp_path / "empty.txt"])


def test_the_bundled_stories_are_read_as_books():
    texts = bundled_texts("validation")
    stories = sorted((assets.STORIES / "validation").glob("*.txt"))
    assert texts == read_texts(stories)
    assert len(texts) == len(stories) > 5
    assert all("``" not in text and "\n" not in text for text in texts)
    assert bundled_texts() == bundled_texts("train") != texts


def test_each_story_of_questions_is_there_once():
    questions = read_questions("bundled")
    plain, undone = (context_texts(questions, style) for style in ("none", "ptb"))
    assert plain[0] == " ".join(questions[0].context)
    assert len(plain) == len({question.context for question in questions})
    assert len(set(plain)) == len(plain) == len(undone)
    assert len(plain) < len(questions)
    assert "``" in "".join(plain)
    assert "``" not in "".join(undone)
