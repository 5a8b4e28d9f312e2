"""Results that were never scored, for the tests of reports."""

import dataclasses

import numpy as np

from jaxsparse.accuracy import accuracies
from jaxsparse.answers import Answers
from jaxsparse.cbt import WORD_CLASSES, Question
from jaxsparse.points import Curve, Point, Setup
from jaxsparse.pruning import MatrixSparsity, Recipe
from jaxsparse.types import Presentation

OPTIONS = ("the", "of", "and", "to", "a", "in", "b|c", 'd"e', "f,g", "Zoë")
RUN = {
    "command": "./run.sh --model=one",
    "notes": ["3 malformed questions left out"],
    "models": {"one": {"digest": "0123"}},
}


def question(number, word_class):
    name = f"{word_class}-test-{number}"
    story = (*("Hush !",) * 18, f"It is {number} in {word_class} .", "THE end of the .")
    return Question(
        story, "A XXXXX .", OPTIONS, "Zoë", word_class, id=name, story=f"Hush {number}"
    )


QUESTIONS = tuple(question(1 + n // 4, WORD_CLASSES[n % 4]) for n in range(8))
MATRICES = tuple(
    MatrixSparsity(path, layer, 100, 40 + 10 * layer)
    for path in ("h/attn/c_attn", "h/mlp/c_fc")
    for layer in range(2)
)


def answers(correct, questions=QUESTIONS):
    """The first so many questions right."""
    number = len(questions)
    table = -np.arange(10 * number, dtype=np.float32).reshape(number, 10) / 3
    table[:correct, 9] = 1
    return Answers(questions, table, np.arange(1, number + 1) / 4)


def curve(
    correct, model="one", method="magnitude", protocol="cloze", *,
    questions=QUESTIONS, digest="0123", training=None, scope="matrix", context="full",
    seed=7, pattern="unstructured", dtype="bfloat16",
    execution="dense", dense=None, seconds=None, context_tokens=0,
):  # fmt: skip
    """The points of one curve: sparsity -> how many of the first answers are right.

    What is not fine-tuned begins at 0, dense; of what is, `dense` says how many the
    dense model has right, and `seconds` what training took.
    """
    put = Presentation(protocol, context, context_tokens=context_tokens)
    setup = Setup(model, "gpt2", dtype, put)
    truncated = np.arange(len(questions)) % 2 == 1
    dense = answers(correct[min(correct)] if dense is None else dense, questions)
    recipe = Recipe(method, scope, pattern=pattern, seed=seed)
    for sparsity, right in correct.items():
        is_dense = sparsity == 0 and training is None
        answered = dense if is_dense else answers(right, questions)
        yield Point(
            curve=Curve(setup, recipe, training, execution),
            digest=digest,
            sparsity=sparsity,
            achieved_sparsity=max(0.0, sparsity - 0.01) if sparsity else 0.0,
            total_sparsity=0.62 * sparsity,
            answers=answered,
            option_tokens=(tuple(range(1, 11)),) * len(questions),
            truncated=truncated,
            accuracies=tuple(accuracies(answered, dense, truncated)),
            matrices=MATRICES if sparsity else (),
            training_seconds=seconds,
        )


def at_speed(times, points):
    """The same points, scored so many times as fast; or each by a number of its own."""
    of_each = times if isinstance(times, dict) else {}
    for point in points:
        speed = of_each.get(point.sparsity, 1) if of_each else times
        rows = tuple(
            dataclasses.replace(
                row,
                seconds=row.seconds / speed,
                questions_per_second=row.questions_per_second * speed,
            )
            for row in point.accuracies
        )
        yield dataclasses.replace(point, accuracies=rows)


def results_of(model="one", methods=("magnitude",), protocols=("cloze",)):
    """Points at 0 and 0.5 with 3 and 6 answers of 8 right."""
    for protocol in protocols:
        for method in methods:
            yield from curve({0.0: 3, 0.5: 6}, model, method, protocol)


def many():
    """Two models and two methods under two protocols."""
    for model in ("gpt2-medium", "electra-large-discriminator"):
        methods, protocols = ("magnitude", "random"), ("cloze", "append")
        yield from results_of(model, methods, protocols)


def questions_of(each, splits=("test",)):
    """So many questions of each class and split, no two the same."""
    return tuple(
        dataclasses.replace(question(number, word_class), split=split)
        for split in splits
        for number in range(1, each + 1)
        for word_class in WORD_CLASSES
    )
