"""What a step learns from is a function of the seed and the step."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxsparse import scoring
from jaxsparse.finetuning.lessons import (
    NO_ANSWER,
    QuestionLessons,
    StoryLessons,
    parts_of,
)
from jaxsparse.readings import Readings
from jaxsparse.training.corpus import Corpus
from jaxsparse.types import InputError, Presentation
from tests import asking
from tests.finetuning.school import TRAIN, asked

BATCH = 4
STEPS = range(24)


def encoded_of(model, questions, context="full"):
    reader = scoring.Reader(
        model.tokenizer, model.config, Presentation(context=context)
    )
    return Readings().read(reader, questions)


def question_lessons(model, questions, part_tokens=1500, context="full", multiple=1):
    return QuestionLessons(
        encoded_of(model, questions, context), questions, model.config, "cloze", BATCH,
        part_tokens, multiple,
    )  # fmt: skip


def lengths():
    """Questions of stories of every length."""
    questions = map(asked, range(40))
    return tuple(
        dataclasses.replace(question, context=question.context[: number // 2])
        for number, question in enumerate(questions)
    )


def story_lessons(model, rows=5, part_tokens=80, multiple=1, length=24):
    text = " ".join(sentence for q in TRAIN for sentence in q.context)
    return StoryLessons(
        [text], model.tokenizer, model.config, rows, length, part_tokens, multiple
    )


@pytest.fixture(scope="module")
def lessons(loaded):
    """Of questions of many lengths, and of stories."""
    model = loaded("gpt2")
    return question_lessons(model, lengths()), story_lessons(model)


def assert_same(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def shapes(parts):
    return [[np.shape(leaf) for leaf in jax.tree.leaves(part)] for part in parts]


def test_a_step_is_the_same_in_whatever_order_steps_are_asked_for(lessons, loaded):
    other = question_lessons(loaded("gpt2"), lengths()), story_lessons(loaded("gpt2"))
    for one, again in zip(lessons, other, strict=True):
        forwards = [one.parts(3, step) for step in range(6)]
        backwards = [again.parts(3, step) for step in (5, 4, 3, 2, 1, 0)]
        assert_same(forwards, backwards[::-1])
        assert shapes(forwards[0]) == shapes(one.parts(4, 0))
        of_another = [one.parts(4, step) for step in range(6)]
        leaves = map(jax.tree.leaves, (forwards, of_another))
        assert any(not np.array_equal(a, b) for a, b in zip(*leaves, strict=False))


def test_every_question_comes_once_an_epoch_of_those_of_its_length(lessons):
    questions, _ = lessons
    groups = [set(group.members.tolist()) for group in questions._groups]
    assert sorted(number for group in groups for number in group) == list(range(40))
    assert len(groups) > 2
    for seed in 0, 1:
        seen = {number: [] for number in range(len(groups))}
        for step in range(120):
            _, numbers = questions.members(seed, step)
            (group,) = [n for n, group in enumerate(groups) if set(numbers) <= group]
            seen[group] += numbers
        for number, group in enumerate(groups):
            epochs = len(seen[number]) // len(group)
            assert epochs > 1  # all groups are drawn
            for epoch in range(epochs):
                begin = epoch * len(group)
                assert set(seen[number][begin : begin + len(group)]) == group


def test_groups_are_drawn_as_often_as_they_have_questions(lessons):
    questions, _ = lessons
    drawn, _ = zip(*map(questions._group_of, range(400)), strict=True)
    share = np.bincount(drawn) / 400
    np.testing.assert_allclose(share, questions._shares, atol=0.1)


def test_there_are_a_handful_of_shapes_in_the_same_sequence_for_all_seeds(lessons):
    questions, _ = lessons
    of_seeds = [[questions.members(seed, n)[0] for n in STEPS] for seed in range(3)]
    assert of_seeds[0] == of_seeds[1] == of_seeds[2]
    assert len(set(of_seeds[0])) <= len(questions.row_shapes) <= 6
    for step in STEPS:
        shape = questions.members(0, step)[0]
        for part in questions.parts(0, step):
            assert part.batch.inputs.tokens.shape == (
                shape.rows, dict(shape.lengths)["tokens"]
            )  # fmt: skip


def test_the_weights_of_a_step_sum_to_one(lessons):
    questions, stories = lessons
    for step in STEPS:
        parts = questions.parts(0, step)
        weights = [part.weight * (part.answers != NO_ANSWER).sum() for part in parts]
        assert sum(weights) == pytest.approx(1)
        parts = stories.parts(0, step)
        weights = [part.weight * part.examples.valid.sum() for part in parts]
        assert sum(weights) == pytest.approx(1)
    assert len(parts) > 1


def test_answers_and_questions_belong_together(lessons, loaded):
    """By the scores: those of a part are those of its questions by themselves."""
    questions, _ = lessons
    model, asked_for = loaded("gpt2"), lengths()
    _, numbers = questions.members(0, 0)
    parts = questions.parts(0, 0)
    answers = np.concatenate([part.answers for part in parts])
    expected = [asked_for[n].options.index(asked_for[n].answer) for n in numbers]
    assert answers[answers != NO_ANSWER].tolist() == expected
    scores = np.concatenate([asking.score_batch(model, part.batch) for part in parts])
    encoded = encoded_of(model, [asked_for[number] for number in numbers])
    alone = asking.option_scores(model, encoded, "cloze")
    np.testing.assert_allclose(
        scores[answers != NO_ANSWER][:, : alone.shape[1]], alone, rtol=1e-5
    )


def test_tokens_are_counted_without_what_fills_up(loaded):
    for variant in "gpt2", "electra-generator", "t5":
        model = loaded(variant)
        questions = question_lessons(model, TRAIN, context="query")
        for step in range(3):
            real = 0
            for part in questions.parts(0, step):
                inputs = part.batch.inputs
                real += np.asarray(inputs.attended).sum()
                if model.family == "t5":
                    real += inputs.attention_mask.sum()
            assert questions.tokens(0, step) == real


def test_a_mesh_gets_parts_that_it_divides(loaded):
    model = loaded("electra-generator")
    questions = question_lessons(model, TRAIN, 300, "query", 3)
    stories = story_lessons(model, multiple=3)
    for lesson in questions, stories:
        assert all(rows % 3 == 0 for rows, _ in lesson.row_shapes)
    sizes = [part.examples.targets.shape[0] for part in stories.parts(0, 0)]
    assert sizes == [3, 3]
    assert story_lessons(model).row_shapes[0][0] == 3


def test_rows_behind_the_last_window_are_not_learned_from(loaded):
    """Each window of the step once, with all its targets."""
    model = loaded("gpt2")
    stories = story_lessons(model, rows=5, part_tokens=72)  # parts of three
    parts = stories.parts(0, 2)
    tokens = np.concatenate([part.examples.inputs.tokens for part in parts])
    valid = np.concatenate([part.examples.valid for part in parts])
    assert len(tokens) == 6
    assert valid[:5].all()
    assert not valid[5].any()
    assert len({row.tobytes() for row in tokens[:5]}) == 5
    np.testing.assert_array_equal(tokens[5], tokens[0])
    text = " ".join(sentence for q in TRAIN for sentence in q.context)
    backend = model.tokenizer.backend_tokenizer
    corpus = Corpus.of([text], backend, backend.token_to_id("<|endoftext|>"))
    np.testing.assert_array_equal(tokens[:5], corpus.windows(24, 5, 2, 0))


def test_of_several_seeds_parts_are_stacked_and_filled_up(loaded):
    """Where a seed's step needs a part less, one stands for it that teaches nothing:
    ELECTRA reads more rows where options have more pieces."""
    model = loaded("electra-generator")
    questions = question_lessons(model, TRAIN, 600, "query")
    stories = story_lessons(model)
    seeds = [0, 1, 2]
    uneven = [
        step for step in range(40)
        if len({len(questions.parts(seed, step)) for seed in seeds}) > 1
    ]  # fmt: skip
    for step in (uneven[0], 0):
        own = [[*questions.parts(s, step), *stories.parts(s, step)] for s in seeds]
        found = list(parts_of([questions, stories], seeds, step))
        most = max(len(questions.parts(seed, step)) for seed in seeds)
        assert len(found) == most + len(stories.parts(0, step))
        for number, seed in enumerate(seeds):
            of_seed = [jax.tree.map(lambda leaf: leaf[number], part) for part in found]  # noqa: B023
            there = len(questions.parts(seed, step))
            assert_same(of_seed[:there] + of_seed[most:], own[number])
            for filler in of_seed[there:most]:
                assert (filler.answers == NO_ANSWER).all()
    alone = list(parts_of([questions, stories], [1], 0))
    assert_same(alone, [*questions.parts(1, 0), *stories.parts(1, 0)])


@pytest.mark.parametrize("length", [3, 513])
def test_windows_that_a_model_does_not_take_are_refused(loaded, length):
    said = rf"^`story_tokens={length}`: the model takes 4 to 512$"
    with pytest.raises(InputError, match=said):
        story_lessons(loaded("gpt2"), length=length)


@pytest.mark.parametrize("texts", [[], ["Ned ran ."]])
def test_stories_that_are_too_short_are_refused(loaded, texts):
    model = loaded("gpt2")
    said = (
        r"^the training questions' stories have \d+ tokens, less than two windows of "
        r"24; give more questions, or `objective=choice`$"
    )
    with pytest.raises(InputError, match=said):
        StoryLessons(texts, model.tokenizer, model.config, 5, 24, 80)
