"""Rules that read nothing, each on questions that it must and must not get right."""

import pytest

from jaxsparse.cbt import Question
from jaxsparse.cbt.shortcuts import CHOICES, COMMONEST, shortcuts

OPTIONS = ("hen", "fox", "ox", "pony", "ass")
CONTEXT = ("The hen , the hen and the fox .", "An ox and the ass .")


def question(answer, *, context=CONTEXT, options=OPTIONS, word_class="CN"):
    return Question(context, "The XXXXX ran .", options, answer, word_class, "id")


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("the option most frequent in the story", "hen"),
        ("the option least frequent in the story", "pony"),
        ("the first option", "hen"),
        ("the last option", "ass"),
        ("the longest option", "pony"),
        ("the shortest option", "ox"),
    ],
)
def test_each_rule_gets_its_own_option_right_and_no_other(rule, answer):
    right = shortcuts([question(option) for option in OPTIONS])
    assert right[rule].tolist() == [option == answer for option in OPTIONS]
    assert right.keys() == {*CHOICES, COMMONEST}


def test_the_first_of_equals_is_chosen():
    equals = question("hen", context=("Nobody came .",), options=("hen", "fox", "ass"))
    for rule, choose in CHOICES.items():
        assert choose(equals) == (2 if rule == "the last option" else 0)


def test_the_commonest_answer_is_that_of_other_questions_of_the_class():
    def right(*answers, **changes):
        return shortcuts([question(answer, **changes) for answer in answers])[COMMONEST]

    assert right("fox", "fox", "pony").tolist() == [True, True, False]
    # Its own answer does not count, or one question alone would be right.
    assert right("fox").tolist() == [False]
    assert right("hen").tolist() == [True]  # the first of equals
    other = question("fox", word_class="NE")
    both = shortcuts([other, question("fox"), question("fox")])[COMMONEST]
    assert both.tolist() == [False, True, True]
