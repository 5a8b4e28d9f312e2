"""Texts that hold questions, against a naive search, and what changes nothing."""

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsparse.cbt import bundled_texts, detokenize, read_questions, refuse_overlap
from jaxsparse.types import InputError

QUESTIONS = tuple(read_questions("bundled"))[::10]
QUESTION = QUESTIONS[3]


def sentences(question, style):
    context, query, options = detokenize(question, style)
    answer = options[question.options.index(question.answer)]
    return [*context, query.replace("XXXXX", answer)]


def refused(text, questions=(QUESTION,)):
    """The id of the question that is found."""
    try:
        refuse_overlap({"mine.txt": ["Nothing.", text]}, questions)
    except InputError as error:
        form = (
            r"mine\.txt: two sentences of question (\S+) stand in it, .*`allow_overlap`"
        )
        return re.fullmatch(form, str(error))[1]
    return None


def test_the_bundled_training_stories_hold_no_test_question():
    refuse_overlap({"bundled": bundled_texts()}, QUESTIONS)
    stories = bundled_texts("test")
    with pytest.raises(InputError, match=r"^bundled: two sentences of question"):
        refuse_overlap({"bundled": stories}, QUESTIONS)


@pytest.mark.parametrize("style", ["none", "ptb"])
@pytest.mark.parametrize("first", [0, 7, 18, 19])
def test_two_consecutive_sentences_are_enough_and_one_is_not(style, first):
    told = sentences(QUESTION, style)
    assert (
        refused(f"A boy ran. {told[first]} {told[first + 1]} He ran on.") == QUESTION.id
    )
    assert refused(f"A boy ran. {told[first]} He ran on.") is None
    assert refused(f"{told[first + 1]} {told[first]}") is None


def test_the_querys_answer_is_filled_in():
    *_, last, query = sentences(QUESTION, "ptb")
    assert refused(f"{last} {query}") == QUESTION.id
    wrong = next(word for word in QUESTION.options if word != QUESTION.answer)
    _, blank, _ = detokenize(QUESTION, "ptb")
    assert refused(f"{last} {blank.replace('XXXXX', wrong)}") is None


@settings(max_examples=30)
@given(st.data())
def test_spaces_lines_and_the_form_of_quotes_change_nothing(data):
    told = sentences(QUESTION, "ptb")
    first = data.draw(st.integers(0, 19))
    words = f"{told[first]} {told[first + 1]}".split()
    spaces = st.sampled_from([" ", "\n", "  ", "\r\n\t", "\u00a0"])
    text = "".join(word + data.draw(spaces) for word in words)
    text = text.replace("--", data.draw(st.sampled_from(["--", "\u2014"])))
    text = text.replace("'", data.draw(st.sampled_from(["'", "\u2019"])))
    assert refused(f"He said. {text}") is not None
    assert refused(f"He said. {text.swapcase()}") is None


def with_first(*sentences):
    context = (*sentences, *QUESTION.context[len(sentences) :])
    return [dataclasses.replace(QUESTION, context=context)]


def test_what_is_part_of_another_sentence_or_very_short_is_none():
    fox = with_first("on went the old fox .", "It rained all day .")
    assert refused("So on went the old fox. It rained all day. Yes.", fox)
    assert refused("Upon went the old fox. It rained all day.", fox) is None
    assert refused("Yes. No. Yes. No.", with_first("Yes .", "No .")) is None
