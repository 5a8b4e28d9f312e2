"""What cannot be trained back is refused in a line, before any training."""

import dataclasses

import pytest

from jaxsparse.finetuning import Settings, check, finetune, refuse_overlap
from jaxsparse.pruning import Recipe
from jaxsparse.training.training import Training
from jaxsparse.types import InputError
from tests.finetuning.school import TRAIN, VALIDATION, dense, pruned, tuned

GRADUAL = Training(schedule="gradual")
REFUSED = {
    "a discriminator has no text": (
        "electra-discriminator", Recipe("magnitude"), Training("lm"),
        r"^`objective=lm`: a discriminator .*; choose choice$",
    ),
    "both": (
        "electra-discriminator", Recipe("magnitude"), Training("both"),
        r"^`objective=both`: a discriminator .*; choose choice$",
    ),
    "stories have no options": (
        "gpt2", Recipe("magnitude"), Training("lm", distill="options"),
        r"^`distill=options` is told by questions, .*; choose choice or both, or h",
    ),
    "layers have no counterpart": (
        "gpt2", Recipe("magnitude", pattern="layers"), Training(distill="hidden"),
        r"^`distill=hidden` compares layer by layer, .*; choose options$",
    ),
    "an adapter of one mask": (
        "gpt2", Recipe("magnitude"), Training("choice", "masklora", schedule="gradual"),
        r"^`train=masklora` with `schedule=gradual`: .*; choose oneshot$",
    ),
    "units": (
        "gpt2", Recipe("magnitude", pattern="neurons"), GRADUAL,
        r"^`pattern=neurons` with `schedule=gradual`: .*; choose oneshot or dense$",
    ),
    "N:M": (
        "gpt2", Recipe("magnitude", pattern="2:4"), GRADUAL,
        r"^`pattern=2:4` with `schedule=gradual`: .*; choose oneshot or dense$",
    ),
    "an update": (
        "gpt2", Recipe("wanda+bias"), GRADUAL,
        r"^`method=wanda\+bias` with `schedule=gradual`: .*; choose a criterion alone$",
    ),
    "a solution": (
        "gpt2", Recipe("sparsegpt"), GRADUAL,
        r"^`method=sparsegpt` with `schedule=gradual`: .*; choose a criterion alone$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused(case, loaded):
    variant, recipe, training, said = REFUSED[case]
    model = loaded(variant)
    shapes = {path: leaf.shape for path, leaf in model.params.items()}
    with pytest.raises(InputError, match=said):
        check(model.blueprint, shapes, recipe, training, Settings(), 60)


def test_the_same_is_refused_where_it_is_asked_for(loaded):
    model = loaded("gpt2")
    (start,) = pruned(model, 0.5)
    for given, said in (
        ({"training": Training(train="masklora"),
          "settings": Settings(rank=33)}, r"^`rank=33`: h/\S+ is 32 wide.*1 to 32$"),
        ({"training": GRADUAL, "settings": Settings(mask_every=4)},
         r"^`mask_every=4`: of 4 steps, .* at most 3, or more steps$"),
        ({"steps": [1, 2]}, r"^`steps`: 2 values for 1 variants; give one, or one"),
        ({"learning_rate": [1.0, 2.0]}, r"^`learning_rate`: 2 values for 1 variants"),
        ({"steps": 0}, r"^`steps=0`: 1 to 2,147,483,647$"),
        ({"learning_rate": -1.0}, r"^`learning_rate=-1\.0`: a number above 0 that"),
        ({"learning_rate": float("nan")}, r"^`learning_rate=nan`: a number above 0"),
        ({"learning_rate": 1e39}, r"^`learning_rate=1e\+39`: .* float32 holds$"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            tuned(model, start, **given)


def test_masks_have_to_be_decided_at_least_once_and_before_the_end(loaded):
    model = loaded("gpt2")
    shapes = {path: leaf.shape for path, leaf in model.params.items()}

    def checked(steps, every):
        settings = Settings(mask_every=every)
        recipe = Recipe("magnitude")
        check(model.blueprint, shapes, recipe, GRADUAL, settings, steps)

    for steps, every in (60, 0), (4, 3), (60, 45), (3, 1), (2, 0):
        checked(steps, every)
    for steps, every, advice in (
        (1, 0, "more steps"),
        (60, 46, "at most 45, or more steps"),
        (2, 2, "at most 1, or more steps"),
    ):
        with pytest.raises(InputError, match=rf"^`mask_every=.*; choose {advice}$"):
            checked(steps, every)


@pytest.mark.parametrize("name", ["questions", "validation"])
def test_no_questions_are_refused_by_the_arguments_name(name, loaded):
    given = {"questions": TRAIN, "validation": VALIDATION, name: ()}
    with pytest.raises(
        InputError, match=f"^`{name}`: there are none; give at least on"
    ):
        finetune(loaded("gpt2"), dense(loaded("gpt2")), **given)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        *((name, 0, 1) for name in ("batch_questions", "rank", "patience")),
        *((name, -1, 0) for name in ("mask_every", "evaluate_every", "at_once")),
        ("weight_decay", -0.1, 0), ("weight_decay", float("nan"), 0),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(name, value, least):
    with pytest.raises(InputError, match=f"^`{name}={value}`: at least {least}$"):
        Settings(**{name: value})


def test_words_and_fractions_too():
    with pytest.raises(
        InputError, match=r"^`stop_on=f1`: choose one of accuracy, loss$"
    ):
        Settings(stop_on="f1")
    with pytest.raises(InputError, match=r"^`warmup=1\.5`: a fraction of the steps$"):
        Settings(warmup=1.5)
    with pytest.raises(InputError, match=r"^`clip=0\.0`: a number above 0$"):
        Settings(clip=0.0)


def test_what_is_0_is_chosen_by_the_number_of_steps():
    assert [Settings().growing_every(steps) for steps in (1, 20, 100)] == [1, 1, 5]
    half = Settings(evaluate_every=0)
    assert [half.evaluating_every(steps) for steps in (1, 5, 60)] == [1, 3, 30]
    assert Settings(mask_every=7).growing_every(100) == 7
    assert Settings(evaluate_every=7).evaluating_every(100) == 7


# A train split that overlaps the test questions


def test_the_same_story_in_both_splits_is_refused_unless_allowed():
    """Whatever is asked of it."""
    other = dataclasses.replace(TRAIN[2], query="XXXXX ran .", id="CN-test-9")
    said = (
        r"^here:1: its story is that of test question CN-test-9, and so are 1 "
        r"training stories; .*: `allow_overlap`$"
    )
    with pytest.raises(InputError, match=said):
        refuse_overlap(TRAIN, [*VALIDATION, other])
    assert refuse_overlap(TRAIN, [*VALIDATION, other], allow=True) == 1
    assert refuse_overlap(TRAIN, VALIDATION) == 0


def test_questions_without_a_story_overlap_where_they_are_the_same():
    bare = [dataclasses.replace(question, context=()) for question in TRAIN]
    assert refuse_overlap(bare[:4], bare[4:]) == 0
    with pytest.raises(InputError, match="its story is that of test question"):
        refuse_overlap(bare[:4], bare[3:])
