"""Further draws: each as a sweep with that seed has it, and kept in the journal."""

import pytest

from jaxsparse.journal import opened
from jaxsparse.pruning import Recipe
from jaxsparse.sweep import sweep
from jaxsparse.types import Presentation
from tests.one_shot.test_pruner import calibration_of
from tests.test_text_loss import LENGTH, LONG, SHORT, question
from tests.told import Told

METHODS = ("magnitude", "random", "wanda")
PUT = [Presentation("cloze", "query")]


def points_of(model, seed=0, redrawn=(), methods=METHODS, **how):
    return list(
        sweep(
            model, [question()], [Recipe(method, seed=seed) for method in methods],
            (0.5, 0.9), PUT, calibration=calibration_of(model, seed=seed),
            texts=[LONG, SHORT], text_tokens=LENGTH,
            redraws={other: calibration_of(model, seed=other) for other in redrawn},
            **how,
        )
    )  # fmt: skip


def nats(points):
    return [[loss.nats for loss in point.texts] for point in points]


def redrawn(points):
    return [[loss.redrawn for loss in point.texts] for point in points]


def test_a_further_draw_is_what_a_sweep_with_its_seed_finds(loaded):
    model = loaded("gpt2")
    points, others = points_of(model, redrawn=(7,)), points_of(model, seed=7)
    drawn = 0
    for point, other in zip(points, others, strict=True):
        expected = [((7, loss.nats),) for loss in other.texts]
        if not point.sparsity or point.recipe.method == "magnitude":
            expected = [(), ()]
        drawn += bool(expected[0])
        assert [loss.redrawn for loss in point.texts] == expected
    assert drawn == 4
    assert nats(points) == nats(points_of(model))  # the first draw is what it was
    random = points[5].texts[0]
    assert random.draws == (random.nats, random.redrawn[0][1])
    assert random.nats != random.draws[1]
    assert random.mean == pytest.approx(sum(random.draws) / 2)


def test_a_run_that_was_stopped_goes_on_with_the_same_draws(loaded, tmp_path):
    class Stopped(Exception):
        pass

    class Stopping(Told):
        def point(self, name):
            super().point(name)
            if [kind for kind, *_ in self.stages].count("text") == 2:  # a redraw
                raise Stopped

    model, methods = loaded("gpt2"), ("random", "wanda+pcg")
    expected = points_of(model, redrawn=(1, 2), methods=methods)
    with opened(tmp_path, {}) as journal, pytest.raises(Stopped):
        points_of(
            model, redrawn=(1, 2), methods=methods, journal=journal,
            progress=Stopping(),
        )  # fmt: skip
    with opened(tmp_path, {}) as journal:
        resumed = points_of(model, redrawn=(1, 2), methods=methods, journal=journal)
    with opened(tmp_path, {}) as journal:
        again = points_of(model, redrawn=(1, 2), methods=methods, journal=journal)
        assert not journal.losses.recorded
    for points in (resumed, again):
        assert (nats(points), redrawn(points)) == (nats(expected), redrawn(expected))
