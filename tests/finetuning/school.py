"""Few short questions and small numbers: what the tests of training back share."""

import dataclasses

import numpy as np

from jaxsparse import variants
from jaxsparse.finetuning import Job, Settings, finetune
from jaxsparse.finetuning.run import Run, Trainer
from jaxsparse.finetuning.trainers import Trainers
from jaxsparse.one_shot import OneShot
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.pruning import Recipe
from jaxsparse.readings import Readings
from jaxsparse.training.optimizer import Schedule
from jaxsparse.training.training import Training
from jaxsparse.types import Presentation
from tests import asking

QUERY = Presentation(context="query")
MAGNITUDE = Recipe("magnitude")
NUMBERS = Settings(
    QUERY, batch_questions=4, story_windows=3, story_tokens=24, rank=4,
    evaluate_every=2, weight_decay=0.5,
)  # fmt: skip


def asked(seed):
    """A question whose answer may be any of its options; every fourth has only two."""
    question = asking.generated(seed)
    options = question.options[: 2 if seed % 4 == 3 else 10]
    return dataclasses.replace(
        question, options=options, answer=options[3 * seed % len(options)]
    )


TRAIN = tuple(map(asked, range(8)))
VALIDATION = tuple(map(asked, range(20, 26)))


def pruned(model, *sparsities, recipe=MAGNITUDE):
    return OneShot(model).variants(recipe, sparsities)


def tuned(model, start, training=None, settings=NUMBERS, **options):
    options = {"steps": 4, "learning_rate": 0.01, **options}
    return finetune(model, start, TRAIN, VALIDATION, training, settings, **options)


def trainer_of(
    model, start, training: Training | None = None, settings=NUMBERS
) -> Trainer:
    """The trainer that `finetune` would make for a variant."""
    schedule = Schedule(1, 0, 0.01)
    job = Job(start, training or Training(), schedule, start)
    return Trainers(model, TRAIN, VALIDATION, settings, Readings(), NOBODY).of(job)


def run_of(start, directory=None, steps=5, seed=0, rate=0.01, name="the run", **more):
    return Run(
        name, seed, start.sparsity, Schedule(steps, min(1, steps - 1), rate), directory,
        lambda: leaves_of(start), **more,
    )  # fmt: skip


def leaves_of(variant):
    """All that the variant is computed from."""
    return {**variant.model.params, **variant.leaves()}


def zeros_of(leaves, paths):
    """Where each of the leaves is zero."""
    return {path: np.asarray(leaves[path]) == 0 for path in paths}


def assert_same_leaves(got, expected):
    """Bit for bit."""
    assert got.keys() == expected.keys()
    for path, leaf in expected.items():
        assert np.asarray(got[path]).tobytes() == np.asarray(leaf).tobytes(), path


class Killed(Exception):
    pass


class Kills(Progress):
    """Ends the process, as it were, when so many steps of its first training, or of a
    later one, are done: after the update, and before anything is kept of it."""

    def __init__(self, step, training=1):
        self.step, self.left, self.at, self.notes = step, training, -1, []

    def stage(self, name, total=0, known=0, unit="questions", patient=False):
        self.left -= unit == "steps"
        self.at = known if unit == "steps" and not self.left else -1

    def done(self, number):
        if self.at >= 0:
            self.at += number
        if self.at == self.step > 0:
            raise Killed

    def note(self, line):
        self.notes.append(line)


def watch(monkeypatch, look):
    """Calls `look(trainer, state)` after every update."""
    compiled = Trainer.compiled

    def watched(trainer, runs):
        gradient, update = compiled(trainer, runs)

        def and_look(*arguments):
            state, sums = update(*arguments)
            look(trainer, state)
            return state, sums

        return gradient, and_look

    monkeypatch.setattr(Trainer, "compiled", watched)


def dense(model):
    return variants.dense(model, MAGNITUDE)
