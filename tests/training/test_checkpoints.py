"""Checkpoints: what was saved comes back bit for bit, or is refused by its name."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsparse.training.checkpoints import KEPT, Checkpoints
from jaxsparse.types import InputError
from tests.experiments import binary


def state(seed=0, hidden=5):
    """Parameters and an optimizer's state, no value of which is a default."""
    rng = np.random.default_rng(seed)

    def drawn(leaf):
        values = rng.normal(size=leaf.shape) * 1000
        return jnp.asarray(values.astype(leaf.dtype))

    params = {
        "dense": {"kernel": jnp.zeros((3, hidden)), "bias": jnp.zeros(hidden)},
        "narrow": jnp.zeros(7, jnp.bfloat16),
    }
    optimizer = optax.adamw(optax.linear_schedule(1.0, 0.0, 9)).init(params)
    return jax.tree.map(drawn, {"params": params, "optimizer": optimizer})


def assert_same(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert isinstance(one, jax.Array)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.fixture
def directory(tmp_path):
    """A run's directory with the checkpoints 10 and 20."""
    with Checkpoints(tmp_path / "run") as checkpoints:
        checkpoints.save(10, state(10))
        checkpoints.save(20, state(20))
    return tmp_path / "run"


def test_a_state_comes_back_bit_for_bit(directory):
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step == 20
        for step in 10, 20:
            assert_same(checkpoints.load(step, state()), state(step))


def test_without_a_checkpoint_there_is_no_latest_step(tmp_path):
    with Checkpoints(tmp_path / "deep" / "run") as checkpoints:
        assert checkpoints.latest_step is None


def test_the_last_ones_are_kept(directory):
    assert KEPT == 2
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(30, state(30))
        assert checkpoints.latest_step == 30
    assert sorted(path.name for path in directory.iterdir()) == ["20", "30"]
    with Checkpoints(directory) as checkpoints:
        assert_same(checkpoints.load(30, state()), state(30))


def test_a_checkpoint_that_was_being_written_is_none_and_is_swept_away(directory):
    for step in 25, 30:
        shutil.copytree(directory / "20", directory / f"{step}.orbax-checkpoint-tmp")
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step == 20
        checkpoints.save(30, state(30))
        assert_same(checkpoints.load(30, state()), state(30))
    assert sorted(path.name for path in directory.iterdir()) == ["20", "30"]


def test_a_relative_directory_will_do(directory, monkeypatch):
    monkeypatch.chdir(directory.parent)
    with Checkpoints(directory.relative_to(directory.parent)) as checkpoints:
        assert_same(checkpoints.load(20, state()), state(20))


def assert_refused(directory, step, like, said=""):
    pattern = f"{directory}: checkpoint {step} cannot be read .*{said}.*; remove it"
    with (
        Checkpoints(directory) as checkpoints,
        pytest.raises(InputError, match=pattern),
    ):
        checkpoints.load(step, like)


def test_another_shape_is_refused(directory):
    assert_refused(directory, 20, state(hidden=6), "a model of other shapes")


def test_another_structure_is_refused(directory):
    other = state()
    other["params"]["more"] = jnp.zeros(3)
    assert_refused(directory, 20, other)
    fewer = state()
    del fewer["params"]["narrow"]
    assert_refused(directory, 20, fewer)


def test_another_optimizer_is_refused(directory):
    params = state()["params"]
    other = {"params": params, "optimizer": optax.sgd(0.1).init(params)}
    assert_refused(directory, 20, other)


def test_a_step_that_is_not_there_is_refused(directory):
    assert_refused(directory, 15, state())


def test_damage_is_refused_and_the_older_one_still_there(directory):
    """Of what says which arrays there are. Where arrays themselves are damaged, reads
    under way still complain when the load has failed already."""
    path = directory / "20/state/_METADATA"
    path.write_bytes(path.read_bytes()[:100])
    assert_refused(directory, 20, state())
    shutil.rmtree(directory / "20")
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.latest_step == 10
        assert_same(checkpoints.load(10, state()), state(10))


def test_a_file_in_its_place_is_told_at_once(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(InputError, match=f"{tmp_path / 'run'} is a file; remove it"):
        Checkpoints(tmp_path / "run")


def test_junk_is_told_to_be_damaged(directory):
    for file in (directory / "20").rglob("*"):
        if file.is_file():
            file.write_bytes(b"junk")
    with (
        Checkpoints(directory) as checkpoints,
        pytest.raises(InputError, match=r"checkpoint 20 cannot be read .*damaged"),
    ):
        checkpoints.load(20, state())


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import jax.numpy as jnp
from jaxsparse.training.checkpoints import Checkpoints
from jaxsparse.types import InputError
try:
    with Checkpoints(Path(sys.argv[1])) as checkpoints:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        checkpoints.save(30, {"kernel": jnp.arange(3000.0)})
except InputError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_is_told_once_and_the_older_one_still_there(directory):
    """In a process of its own: what orbax began beside the write that failed ends
    whenever it likes."""
    ended = binary.start("-c", FULL_DISK, directory, cwd=directory)
    assert ended.status == 1
    (line,) = ended.stderr.splitlines()
    assert "checkpoint 30 could not be written" in line
    assert line.endswith("that of step 20 is whole: make room, and repeat the command")
    with Checkpoints(directory) as checkpoints:
        assert_same(checkpoints.load(20, state()), state(20))
