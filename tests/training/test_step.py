"""The step by what it does to a tiny tree; the loop by what a kill leaves."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.training.optimizer import Schedule, adamw
from jaxsparse.training.step import first_state, train, update_step
from jaxsparse.types import InputError
from tests.told import Told
from tests.training.regression import SCHEDULE, params


def batch(step):
    rng = np.random.default_rng([7, step])
    return rng.integers(0, 5, 8), rng.normal(size=(8, 2)).astype(np.float32)


def loss_sums(params, batch):
    rows, targets = batch
    hidden = params["wte/embedding"][rows]
    hidden = hidden * params["ln/scale"] + params["ln/bias"]
    output = hidden @ params["h/kernel"] + params["h/bias"]
    return jnp.sum((output - targets) ** 2), jnp.asarray(len(rows))


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_array_equal(got[path], leaf, err_msg=path)


# The step


def test_a_step_gives_the_mean_loss_before_it():
    transform = adamw(SCHEDULE)
    step = update_step(loss_sums, transform)
    total, count = loss_sums(params(), batch(0))
    state, loss = step(first_state(params(), transform), batch(0))
    np.testing.assert_allclose(loss, total / count, rtol=1e-6)
    _, second = step(state, batch(0))  # the first step's learning rate was 0
    np.testing.assert_allclose(second, loss, rtol=1e-6)


def test_batches_of_one_shape_are_traced_once():
    traces = []

    def counted(params, batch):
        traces.append(batch)
        return loss_sums(params, batch)

    transform = adamw(SCHEDULE)
    step = update_step(counted, transform)
    state = first_state(params(), transform)
    for number in range(3):
        state, _ = step(state, batch(number))
    assert len(traces) == 1


def test_a_batch_without_targets_changes_nothing_but_by_decay():
    def nothing(params, batch):
        return 0 * jnp.sum(params["h/kernel"]), jnp.asarray(0)

    transform = adamw(SCHEDULE)
    step = update_step(nothing, transform)
    state = first_state(params(), transform)
    for _ in range(2):
        state, loss = step(state, None)
        assert loss == 0
    np.testing.assert_array_equal(state["params"]["h/bias"], params()["h/bias"])


# The loop


class Run:
    """Trains in a directory, and remembers what it was told and asked."""

    def __init__(self, directory):
        self.directory = directory
        self.told: list[tuple[int, float]] = []
        self.asked: list[int] = []
        self.progress = Told()

    def __call__(self, schedule=SCHEDULE, batch=batch, every=3, loss_sums=loss_sums):
        def asked(step):
            self.asked.append(step)
            return batch(step)

        with Checkpoints(self.directory) as checkpoints:
            return train(
                loss_sums,
                params(),
                schedule,
                asked,
                checkpoints,
                checkpoint_every=every,
                after_step=lambda step, _, loss: self.told.append(
                    (step, None if loss is None else float(loss))
                ),
                progress=self.progress,
            )

    def saved(self):
        return sorted(int(path.name) for path in self.directory.iterdir())


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


def killed_at(step):
    def killing(number):
        if number == step:
            raise KeyboardInterrupt
        return batch(number)

    return killing


def test_the_loss_falls(run):
    def same(step):
        return batch(0)

    run(Schedule(steps=60, warmup=5, learning_rate=0.1), same, every=60)
    losses = [loss for _, loss in run.told]
    assert [step for step, _ in run.told] == list(range(1, 61))
    assert losses[-1] < 0.5 * losses[0]


def test_every_so_many_steps_and_the_last_are_saved(run):
    trained = run(every=4)
    assert run.saved() == [8, 10]
    with Checkpoints(run.directory) as checkpoints:
        like = first_state(params(), adamw(SCHEDULE))
        assert_same(checkpoints.load(10, like)["params"], trained)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nobody disturbed, and what it ended with."""
    run = Run(tmp_path_factory.mktemp("straight"))
    return run, run()


@pytest.mark.parametrize("kills", [[1], [3], [8], [5, 7, 9]])
def test_killed_and_started_again_it_ends_with_the_same_bits(run, straight, kills):
    undisturbed, expected = straight
    for step in kills:
        with pytest.raises(KeyboardInterrupt):
            run(batch=killed_at(step))
    run.told.clear(), run.asked.clear()
    done = kills[-1] // 3 * 3
    assert_same(run(), expected)
    assert run.asked == list(range(done, 10))
    resumed = [(done, None)] if done else []
    assert run.told == resumed + undisturbed.told[done:]


def test_a_finished_run_is_not_trained_again(run):
    expected = run()
    run.told.clear(), run.asked.clear()
    assert_same(run(), expected)
    assert run.asked == []
    assert run.told == [(10, None)]
    assert run.progress.lines[-2:] == [
        "all 10 steps are done; nothing to train",
        "training: 10 of 10 steps",
    ]


def test_it_says_where_it_resumes_and_when_it_compiles(run):
    def longer(step):  # from step 8 on
        rows, targets = batch(step)
        more = 1 + (step >= 8)
        return np.tile(rows, more), np.tile(targets, (more, 1))

    with pytest.raises(KeyboardInterrupt):
        run(batch=killed_at(7))
    done = ["1 done"]
    first = ["training: 0 of 10 steps", "compiling", *7 * done]
    assert run.progress.lines == first
    run(batch=longer)
    assert run.progress.lines[len(first) :] == [
        "resuming at step 6 of 10",
        *("training: 6 of 10 steps", "compiling", *2 * done),
        *("compiling", *2 * done),
    ]


def test_a_checkpoint_beyond_the_schedule_is_refused(run):
    run()
    shorter = Schedule(steps=9, warmup=2, learning_rate=0.1)
    with pytest.raises(InputError, match=r"step 10, but .* to be 9 steps; raise them"):
        run(shorter)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_refused_and_not_saved(run, bad):
    def poisoned(step):
        rows, targets = batch(step)
        return rows, targets * np.float32(bad if step >= 5 else 1)

    with pytest.raises(InputError, match=f"after 6 steps the loss, {bad}, or the we"):
        run(batch=poisoned)
    assert run.saved() == [3]


def test_weights_that_are_not_finite_are_refused_though_the_loss_before_was(run):
    steep = Schedule(steps=6, warmup=1, learning_rate=1e38)
    with pytest.raises(InputError, match=r"after 3 steps the loss, .* not finite"):
        run(steep)
    assert run.saved() == []
