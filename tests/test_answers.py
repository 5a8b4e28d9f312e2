"""What is right and what is a tie: from scores, for questions of any size."""

import numpy as np

from jaxsparse.answers import Answers, padded
from jaxsparse.cbt import Question

OPTIONS = tuple("abcdefghij")


def question(number, word_class="CN", answer="a", options=OPTIONS):
    name = f"{word_class}-test-{number}"
    story = ("Hush !",) * 20
    return Question(story, "A XXXXX .", options, answer, word_class, id=name)


def answers(questions, choices, seconds=None):
    """Answers whose best option is the chosen one."""
    table = np.full((len(choices), 10), -5, np.float32)
    table[np.arange(len(choices)), choices] = -1
    seconds = np.array(seconds or [0.5] * len(choices), np.float64)
    return Answers(tuple(questions), table, seconds)


def test_of_equal_scores_the_first_is_taken_and_ties_are_counted():
    table = np.full((3, 10), -5, np.float32)
    table[0, [3, 7]] = -1  # a tie for the best
    table[1, 7] = -1  # ties below the best are none
    made = Answers(tuple(question(n) for n in range(3)), table)  # and a tie of all ten
    assert made.predicted.tolist() == [3, 7, 0]
    assert made.tied.tolist() == [True, False, True]
    assert made.correct.tolist() == [False, False, True]


def test_an_option_is_correct_by_its_text():
    doubled = ("a", "b", "a", *"defghij")
    questions = [question(1, options=doubled), question(2), question(3, answer="c")]
    assert answers(questions, [2, 2, 2]).correct.tolist() == [True, False, True]


def test_options_that_a_question_lacks_are_never_chosen_nor_tied_nor_given():
    """Sums of log-probabilities are below 0, and what is padded must be lower still."""
    sizes = (2, 3, 64)
    questions = tuple(
        question(size, options=tuple(f"w{n}" for n in range(size)), answer="w1")
        for size in sizes
    )
    rows = [np.full(size, -1000, np.float32) for size in sizes]
    rows[0][1] = -999
    made = Answers(questions, padded(rows))
    assert made.scores.shape == (3, 64)
    assert made.predicted.tolist() == [1, 0, 0]
    assert made.correct.tolist() == [True, False, False]
    assert made.tied.tolist() == [False, True, True]
    np.testing.assert_array_equal(made.of_options, np.concatenate(rows))
