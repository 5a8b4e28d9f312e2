"""Accuracy while training is the accuracy that a sweep would report."""

import dataclasses

import jax
import pytest

from jaxsparse import exam
from jaxsparse.exam import Exam
from jaxsparse.types import InputError
from tests import asking

PUT = {"context": "full", "detokenize": "ptb"}


def exam_of(model, questions):
    return Exam.of(
        questions, model.tokenizer, model.blueprint.family, model.config, model.apply
    )


def test_accuracy_is_the_fraction_whose_answer_scores_best(loaded, monkeypatch):
    monkeypatch.setattr(exam, "BATCH_TOKENS", 1500)  # several batches, one not full
    model = loaded("gpt2")
    questions = [asking.generated(seed) for seed in range(7)]
    encoded = [asking.Asked(q, **PUT).encode(model, "cloze") for q in questions]
    best = asking.option_scores(model, encoded, "cloze").argmax(-1)
    marked = [
        dataclasses.replace(
            question, answer=question.options[(right + number % 2) % 10]
        )
        for number, (question, right) in enumerate(zip(questions, best, strict=True))
    ]
    asked = exam_of(model, marked)
    assert len(asked.plan.batches) > 1
    assert asked.accuracy(model.params) == 4 / 7
    # It is asked of the parameters given.
    other = jax.tree.map(lambda leaf: -leaf, model.params)
    assert asked.accuracy(other) < 4 / 7


def test_questions_may_differ_in_how_many_options_they_have(loaded, monkeypatch):
    """Every answer is the last option, which another question's padding stands for."""
    monkeypatch.setattr(exam, "BATCH_TOKENS", 64)  # a batch for each number
    model = loaded("gpt2")
    options = ["ab", "cd", "ef", "gh"]
    questions = [
        asking.question(f"XXXXX ran {'far ' * 9 * number}.", options[:number])
        for number in (2, 4)
    ]
    encoded = [asking.Asked(q, **PUT).encode(model, "cloze") for q in questions]
    right = [
        dataclasses.replace(question, answer=question.options[scores.argmax()])
        for question, one in zip(questions, encoded, strict=True)
        for scores in asking.option_scores(model, [one], "cloze")
    ]
    asked = exam_of(model, right)
    assert len({planned.shape.options for planned in asked.plan.batches}) == 2
    assert asked.accuracy(model.params) == 1


def test_a_question_that_the_model_cannot_read_is_refused_by_its_line(loaded):
    long = asking.question("XXXXX " + "ran " * 2000, [f"o{n}" for n in range(10)])
    with pytest.raises(InputError, match=r"^here:1: the query alone is .* leave the q"):
        exam_of(loaded("gpt2"), [asking.generated(0), long])
