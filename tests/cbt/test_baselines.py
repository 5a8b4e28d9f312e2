"""The frequency prior and chance, by hand and against a loop over tokens."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsparse.cbt import (
    WORD_CLASSES,
    Question,
    chance,
    frequency_prior,
    most_frequent_option,
    read,
)

SAMPLE = Path(__file__).parents[2].parent / "shared/data/cbt_sample"


def question(*context, options, answer=None):
    answer = answer or options[0]
    return Question(context, "The XXXXX ran .", options, answer, "CN", "id")


@pytest.mark.parametrize(
    ("context", "options", "chosen"),
    [
        (["The hen saw the fox .", "A hen !"], ("fox", "hen"), 1),
        (["The fox saw the hen ."], ("pony", "hen", "fox"), 1),  # first of equals
        (["Nobody was there ."], ("pony", "hen"), 0),  # none is there: equals, too
        (["HEN Hen hen fox fox"], ("fox", "hen"), 1),  # case
        (["hen hen fox fox fox"], ("Fox", "hen"), 0),
        (["hens henhouse fox"], ("hen", "fox"), 1),  # whole tokens only
        (["Fox, fox. hen"], ("fox", "hen"), 1),
        (["hen\tfox  fox"], ("hen", "fox"), 1),  # any white space
        (["Mr. Fox met Mr. Hen and Mr. Hen ."], ("Mr. Fox", "Mr. Hen"), 1),
        (["Mr. Hen Mr. Hen Fox Fox Fox"], ("Mr. Hen", "Fox"), 1),  # lengths mix
        (["said Mr.", "Fox ran , hen"], ("Mr. Fox", "hen"), 1),  # within a sentence
        (["ha ha ha hen hen"], ("hen", "ha ha"), 0),  # runs may overlap: two of each
    ],
)
def test_the_most_frequent_option(context, options, chosen):
    assert most_frequent_option(question(*context, options=options)) == chosen


def test_the_query_and_the_answer_do_not_count():
    asked = question("A hen .", options=("ran", "hen"), answer="ran")
    assert most_frequent_option(asked) == 1


TEXT = st.lists(st.sampled_from(["a", "A", "b", "c", "a-b"]), min_size=1, max_size=8)
OPTION = st.lists(st.sampled_from("aBc"), min_size=1, max_size=3).map(" ".join)


@given(
    st.lists(TEXT.map(" ".join), min_size=1, max_size=4),
    st.lists(OPTION, min_size=2, max_size=5),
)
def test_counts_are_those_of_a_loop_over_tokens(context, options):
    counts = []
    for option in options:
        run = option.lower().split()
        counts.append(0)
        for sentence in context:
            tokens = sentence.lower().split()
            for start in range(len(tokens)):
                counts[-1] += tokens[start : start + len(run)] == run
    chosen = most_frequent_option(question(*context, options=tuple(options)))
    assert chosen == counts.index(max(counts))


def test_the_prior_is_right_where_the_text_is_the_answer():
    options = ("fox", "hen", "pony")
    asked = [
        question("hen hen fox", options=options, answer="hen"),
        question("hen hen fox", options=options, answer="fox"),
        question("hen hen", options=("fox", "hen", "hen"), answer="hen"),
        question("hen hen", options=("hens", "hen"), answer="hens"),
    ]
    right = frequency_prior(asked)
    assert right.tolist() == [True, False, True, False]
    assert right.dtype == bool
    assert frequency_prior([]).tolist() == []


def test_chance_is_a_tenth_of_ten_options_and_more_where_the_answer_stands_twice():
    ten = tuple("abcdefghij")
    assert chance([question("a", options=ten)] * 7) == 0.1
    twice = question("a", options=("a", "b", "a", "c"), answer="a")
    assert chance([twice]) == 0.5
    assert chance([question("a", options=ten), twice]) == pytest.approx(0.3)


def test_chance_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one question"):
        chance([])


def test_the_bundled_questions_have_both():
    """Were tokens not those of the text, no option would be found and the first, which
    the alphabet chose, would be right a tenth of the time."""
    questions = read("bundled", "test", ("NE", "V")).questions
    assert chance(questions) == pytest.approx(0.1)
    assert frequency_prior(questions).mean() > 0.13


# The real thing, where it is


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample is not part of the project")
def test_the_prior_on_the_sample():
    right = {
        (split, word_class): int(frequency_prior(found.questions).sum())
        for split in ("test", "train")
        for word_class in WORD_CLASSES
        if len((found := read(str(SAMPLE), split, (word_class,))).questions) == 2
    }
    of_test = {"CN": 0, "NE": 1, "V": 1, "P": 1}
    of_train = {"CN": 2, "NE": 1, "V": 1, "P": 2}
    assert right == {("test", name): n for name, n in of_test.items()} | {
        ("train", name): n for name, n in of_train.items()
    }
    assert chance(read(str(SAMPLE), "test", None).questions) == pytest.approx(0.1)
