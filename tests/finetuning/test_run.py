"""Training by its steps: zeros after each, killed after any, stopped in time."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.answers import Answers
from jaxsparse.exam import Exam
from jaxsparse.finetuning import run as module
from jaxsparse.finetuning.kept import Kept
from jaxsparse.finetuning.metrics import NAME
from jaxsparse.finetuning.outcome import MaskDecision
from jaxsparse.finetuning.run import Trainer
from jaxsparse.finetuning.trained import merged, split
from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.training.training import Training
from jaxsparse.types import InputError
from tests.finetuning.school import (
    NUMBERS,
    VALIDATION,
    Killed,
    Kills,
    assert_same_leaves,
    dense,
    leaves_of,
    pruned,
    run_of,
    trainer_of,
    watch,
    zeros_of,
)

STEPS = 5
TRAIN = ("all", "masklora", "norms,biases")


@pytest.fixture(scope="module")
def half(loaded):
    (variant,) = pruned(loaded("gpt2"), 0.5)
    return variant


@pytest.fixture(scope="module")
def trainers(half):
    """train -> its trainer, compiled once for all tests."""
    made = {}

    def make(train="all") -> Trainer:
        if train not in made:
            made[train] = trainer_of(half.model, half, Training(train=train))
        return made[train]

    return make


def of_the_best(kept, paths):
    return {path: kept.leaf(path) for path in paths}


# Zeros


@pytest.mark.parametrize("train", TRAIN)
def test_zeros_are_zero_after_every_step(trainers, half, monkeypatch, train):
    """With momentum, and with decay that alone would move a weight by a twentieth; and
    every other weight of what is trained has moved."""
    start, paths = leaves_of(half), half.model.prunable("blocks")
    before = zeros_of(start, paths)
    parts = split(start, paths, train, NUMBERS.rank, 0)
    seen = []

    def look(_, state):
        leaves = merged(train, state["trained"], parts.fixed, state["masks"])
        for path, zeros in before.items():
            leaf = np.asarray(leaves[path])
            np.testing.assert_array_equal(leaf == 0, zeros, err_msg=path)
            assert not np.signbit(leaf[zeros]).any()
        seen.append({path: np.array(leaf) for path, leaf in leaves.items()})

    watch(monkeypatch, look)
    (kept,) = trainers(train).run([run_of(half, steps=STEPS, rate=0.1)], None)
    assert len(seen) == STEPS
    assert sum(zeros.sum() for zeros in before.values()) * 2 == sum(
        zeros.size for zeros in before.values()
    )
    moved = {p for p, leaf in start.items() if not np.array_equal(seen[-1][p], leaf)}
    if train == "all":
        assert moved == start.keys()
    elif train == "masklora":
        assert moved == set(paths)
    else:
        assert moved == {p for p in start if p.endswith(("bias", "scale"))}
    best = of_the_best(kept, start)
    assert_same_leaves(best, seen[kept.measured["step"] - 1])


def test_what_is_kept_does_not_change_while_training_goes_on(trainers, half):
    """In memory: the device uses the memory of a state again."""
    settings = dataclasses.replace(NUMBERS, evaluate_every=1, patience=99)
    trainer = dataclasses.replace(trainers(), settings=settings)
    written = []

    class Copies(Kept):
        def write(self, leaves, measured):
            written.append({path: np.array(leaf) for path, leaf in leaves.items()})
            super().write(leaves, measured)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Kept", Copies)
        (kept,) = trainer.run([run_of(half, steps=8, rate=0.1)], None)
    assert kept.measured["step"] < 8  # steps followed
    assert_same_leaves(of_the_best(kept, written[-1]), written[-1])


# Killed


def states_of(directory):
    """The last checkpoint of a training that has come to its end."""
    with Checkpoints(directory / "checkpoints") as checkpoints:
        step = checkpoints.latest_step
        there = checkpoints._checkpointer.metadata(step).metadata
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), there)
        return step, checkpoints.load(step, like)


def timeless(directory):
    rows = [json.loads(line) for line in (directory / NAME).read_text().splitlines()]
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")}
        for row in rows
    ]


def gradual_run(half, directory):
    """One whose masks are decided three times in five steps."""
    start = dense(half.model)
    decide = MaskDecision(start.model, half, None)
    run = run_of(start, directory, STEPS, masks_again=decide)
    return dataclasses.replace(run, sparsity=0.5)


@pytest.mark.parametrize(
    "kind",
    [
        "all", "gradual", pytest.param("masklora", marks=pytest.mark.slow),
        pytest.param("norms,biases", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_killed_after_any_step_it_ends_with_the_same_bits(
    trainers, half, tmp_path, kind
):
    """Leaves, moments, masks and metrics but for times; checkpoints are of steps 2, 4
    and 5, so that a step is done again after most kills."""
    trainer = trainers("all" if kind == "gradual" else kind)
    settings = dataclasses.replace(NUMBERS, mask_every=1)
    trainer = dataclasses.replace(trainer, settings=settings)

    def run(directory):
        if kind == "gradual":
            return gradual_run(half, directory)
        return run_of(half, directory, STEPS)

    (expected,) = trainer.run([run(tmp_path / "once")], tmp_path / "once")
    notes = []
    for step in range(1, STEPS + 1):
        kills = Kills(step)
        with pytest.raises(Killed):
            dataclasses.replace(trainer, progress=kills).run(
                [run(tmp_path / "again")], tmp_path / "again"
            )
        notes += kills.notes
    goes_on = Kills(0)
    (kept,) = dataclasses.replace(trainer, progress=goes_on).run(
        [run(tmp_path / "again")], tmp_path / "again"
    )
    assert notes + goes_on.notes == [
        f"the run: resuming at step {step} of {STEPS}" for step in (2, 2, 4)
    ]
    (step, state), (other, found) = (
        states_of(tmp_path / name) for name in ("once", "again")
    )
    assert step == other == STEPS
    assert jax.tree.structure(state) == jax.tree.structure(found)
    for one, again in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(again).tobytes()
    assert timeless(tmp_path / "again") == timeless(tmp_path / "once")
    for name in "step", "accuracy", "loss", "digest":
        assert kept.measured[name] == expected.measured[name]


def test_a_checkpoint_holds_all_that_a_training_is(trainers, half, tmp_path):
    trainers().run([run_of(half, tmp_path, STEPS, seed=7)], tmp_path)
    step, state = states_of(tmp_path)
    assert step == STEPS
    assert state.keys() == {"trained", "optimizer", "masks", "best"}
    assert state["trained"].keys() == half.model.params.keys()
    assert {leaf.dtype for leaf in state["trained"].values()} == {np.dtype("float32")}
    assert state["masks"].keys() == set(half.model.prunable("blocks"))
    assert state["best"]["seed"] == 7
    assert 0 < state["best"]["step"] <= STEPS
    moments = [
        leaf for leaf in jax.tree.leaves(state["optimizer"]) if np.ndim(leaf) > 0
    ]
    assert len(moments) == 2 * len(half.model.params)


# What goes wrong


def break_at(monkeypatch, step, what):
    """From that step on, weights after it are not finite."""
    compiled, done = Trainer.compiled, [0]

    def broken(trainer, runs):
        gradient, update = compiled(trainer, runs)

        def breaks(*arguments):
            state, sums = update(*arguments)
            done[0] += 1
            if done[0] == step:
                path = "ln_f/scale"
                bad = state["trained"][path].at[0].set(what)
                state = {**state, "trained": {**state["trained"], path: bad}}
            return state, sums

        return gradient, breaks

    monkeypatch.setattr(Trainer, "compiled", broken)


@pytest.mark.parametrize(
    ("broken", "said", "whole"),
    [
        (3, "at step 4; the checkpoint of step 2 is kept", 2),  # its loss says so
        (4, "at step 4; the checkpoint of step 2 is kept", 2),  # its exam does
        (1, "at step 2; nothing is kept", None),
    ],
)
def test_a_loss_that_is_not_finite_stops_and_leaves_what_was_good(
    trainers, half, tmp_path, monkeypatch, broken, said, whole
):
    (undisturbed,) = trainers().run([run_of(half, None, STEPS)], None)
    break_at(monkeypatch, broken, jnp.nan)
    with pytest.raises(
        InputError, match=f"^the run: the loss is nan {said}; lower `lea"
    ):
        trainers().run([run_of(half, tmp_path, STEPS)], tmp_path)
    assert len(timeless(tmp_path)) == (3 if broken == 3 else broken)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step == whole
    assert bool(Kept(tmp_path).measured) == bool(whole)
    monkeypatch.undo()
    (kept,) = trainers().run([run_of(half, tmp_path, STEPS)], tmp_path)
    assert kept.measured["digest"] == undisturbed.measured["digest"]


def test_weights_that_are_not_finite_are_never_a_checkpoint(
    trainers, half, tmp_path, monkeypatch
):
    """Where one is due without an exam, which would have said so."""
    settings = dataclasses.replace(NUMBERS, evaluate_every=5, checkpoint_every=1)
    trainer = dataclasses.replace(trainers(), settings=settings)
    break_at(monkeypatch, 2, jnp.inf)
    with pytest.raises(
        InputError, match=r"at step 2; the checkpoint of step 1 is kept"
    ):
        trainer.run([run_of(half, tmp_path, STEPS)], tmp_path)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step == 1


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(
    trainers, half, tmp_path, monkeypatch
):
    (undisturbed,) = trainers().run([run_of(half, None, STEPS)], None)
    save = Checkpoints.save

    def full(checkpoints, step, state):
        if step == 4:

            def raises(*_, **__):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(checkpoints._checkpointer, "save", raises)
        save(checkpoints, step, state)

    monkeypatch.setattr(Checkpoints, "save", full)
    said = (
        rf"^{tmp_path}/checkpoints: checkpoint 4 could not be written \(OSError: .*No "
        r"space left on device\); that of step 2 is whole: make room, and repeat the co"
    )
    with pytest.raises(InputError, match=said):
        trainers().run([run_of(half, tmp_path, STEPS)], tmp_path)
    monkeypatch.undo()
    progress = Kills(0)
    trainer = dataclasses.replace(trainers(), progress=progress)
    (kept,) = trainer.run([run_of(half, tmp_path, STEPS)], tmp_path)
    assert progress.notes == [f"the run: resuming at step 2 of {STEPS}"]
    assert kept.measured["digest"] == undisturbed.measured["digest"]


# Stopping


class Told(Exam):
    """Exams that say so many are right of six, and how sure the model is of it."""

    def __init__(self, right, sure=()):
        sure = list(sure) or [3.0] * len(right)
        vars(self).update(right=right, sure=sure, asked=0)

    def answers(self, leaves):
        assert {leaf.dtype for leaf in leaves.values()} == {jnp.dtype("float32")}
        scores = np.full((len(VALIDATION), 10), -np.inf, np.float32)
        for number, question in enumerate(VALIDATION):
            right = question.options.index(question.answer)
            scores[number, : len(question.options)] = 0
            wrong = (right + 1) % len(question.options)
            chosen = right if number < self.right[self.asked] else wrong
            scores[number, chosen] = self.sure[self.asked]
        vars(self)["asked"] += 1
        return Answers(VALIDATION, scores)


def examined(trainers, half, exam, directory=None, **numbers):
    settings = dataclasses.replace(NUMBERS, evaluate_every=1, **numbers)
    trainer = dataclasses.replace(trainers(), settings=settings, exam=exam)
    (kept,) = trainer.run([run_of(half, directory, steps=9)], directory)
    return kept.measured


@pytest.mark.parametrize(
    ("right", "patience", "best", "asked"),
    [
        ([1, 2, 3, 2, 1, 3, 9, 9, 9], 3, 3, 6),
        ([1, 0, 2, 1, 1, 5, 1, 1, 6], 2, 3, 5),
        ([1, 2, 3, 4, 5, 6, 6, 6, 6], 3, 6, 9),  # equal ones are no gain
        ([6, 5, 5, 5, 5, 5, 5, 5, 5], 1, 1, 2),
    ],
)
def test_it_stops_when_so_many_exams_bring_no_gain(
    trainers, half, tmp_path, right, patience, best, asked
):
    exam = Told(right)
    found = examined(trainers, half, exam, tmp_path, patience=patience)
    assert (found["step"], exam.asked) == (best, asked)
    assert found["accuracy"] == max(right[:asked]) / 6
    rows = timeless(tmp_path)
    assert len(rows) == asked
    assert [row["validation_accuracy"] for row in rows] == [
        n / 6 for n in right[:asked]
    ]
    step, _ = states_of(tmp_path)
    assert step == asked  # so that nothing is trained again where it was killed now
    again = Told([])
    assert examined(trainers, half, again, tmp_path, patience=patience)["step"] == best


def test_of_equal_accuracies_the_smaller_loss_is_better(trainers, half):
    exam = Told([3] * 9, [8, 6, 4, 3, 6, 6, 6, 6, 6])
    found = examined(trainers, half, exam, patience=2)
    assert (found["step"], exam.asked) == (4, 6)


def test_the_loss_may_decide(trainers, half):
    """It falls while fewer are right."""
    exam = Told([3, 3, 2, 2, 2, 2, 2, 2, 2], [9, 5, 1, 4, 5, 6, 7, 8, 9])
    found = examined(trainers, half, exam, patience=2, stop_on="loss")
    assert (found["step"], exam.asked) == (3, 5)
    assert found["accuracy"] == 2 / 6
