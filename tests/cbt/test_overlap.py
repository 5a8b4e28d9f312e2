"""Texts that hold questions, and what changes nothing."""

import dataclasses
import json
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
        form = r"mine\.txt: sentences of question (\S+) stand in it, .*`allow_overlap`"
        return re.fullmatch(form, str(error))[1]
    return None


def test_the_bundled_training_stories_hold_no_test_question():
    refuse_overlap({"bundled": bundled_texts()}, QUESTIONS)
    stories = bundled_texts("test")
    with pytest.raises(InputError, match=r"^bundled: sentences of question"):
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


def as_cbt(question):
    numbered = [f"{n} {text}\n" for n, text in enumerate(question.context, 1)]
    options = "|".join(question.options)
    last = f"21 {question.query}\t{question.answer}\t\t{options}\n\n"
    return "".join([*numbered, last])


def as_json(question):
    return json.dumps(dataclasses.asdict(question))


@pytest.mark.parametrize("written", [as_cbt, as_json])
def test_a_file_of_questions_is_text_that_holds_them(written):
    others = dataclasses.replace(QUESTIONS[0], id="other")
    text = f"The fox ran .\n\n{written(QUESTION)}"
    assert refused(text, [others, QUESTION]) == QUESTION.id
    assert refused(written(QUESTIONS[0])) is None


def test_sentences_that_begin_with_the_same_letters_are_told_apart():
    long = with_first("The old fox ran .", "He ran home again and slept .")
    short = [dataclasses.replace(QUESTION, id="short", context=("The old fox ran .",))]
    short[0] = dataclasses.replace(short[0], query="He XXXXX home .", answer="ran")
    assert refused("The old fox ran. He ran home.", [*long, *short]) == "short"
    assert refused("The old fox ran. He ran homeward.", [*long, *short]) is None


def task(context, query="He took the XXXXX .", answer="hat"):
    changes = {"context": context, "query": query, "answer": answer, "task": "hats"}
    return [dataclasses.replace(QUESTION, options=(answer, "no"), **changes)]


def test_a_tasks_string_of_several_sentences_is_searched_for_each_two():
    story = "\u201cNed had two hats!\u201d Mr. Fox said. Then it rained all day."
    there = 'It was May. Mr. Fox said. Then it rained all day. "No!"'
    assert refused(there, task((story,))) == QUESTION.id
    assert refused("Mr. Fox said so. Then it rained all day.", task((story,))) is None
    assert refused("Ned had two hats! It rained.", task((story,))) is None
    last = task((), "It rained . Ned took the XXXXX home .")
    assert refused("It rained. Ned took the hat home.", last) == QUESTION.id


def test_a_context_without_two_sentences_is_searched_for_as_a_whole_text():
    hats = task(("Ned had 2 hats .",))
    assert refused("Ned had 2 hats.", hats) == QUESTION.id
    assert refused("Ned had 2 hats. Ann had none.", hats) is None
    assert refused("Yes. No.", task(("Yes .", "No ."))) == QUESTION.id
    assert refused("Ned had 2 hats.", task(())) is None
