"""What windows have cost: bit for bit, whole batches or nothing, and only our files."""

import sqlite3

import numpy as np
import pytest

from jaxsparse import losses
from jaxsparse.journal import NAME, Journal, opened
from jaxsparse.losses import Losses
from jaxsparse.types import InputError


def nats(first, targets=3):
    return np.linspace(first, 9, targets).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / losses.NAME


def test_losses_come_back_bit_for_bit_from_the_file(path):
    first = Losses(path)
    first.record([("a", 0, nats(1 / 3)), ("a", 4, nats(2)), ("b", 0, nats(3, 2))])
    first.close()
    again = Losses(path)
    assert again.windows("a") == {0, 4}
    assert again.windows("c") == frozenset()
    found = again.nats("a")
    assert found.keys() == {0, 4}
    np.testing.assert_array_equal(found[0], nats(1 / 3))
    assert found[0].dtype == np.float32
    assert again.recorded == 0
    again.close()


def test_the_first_loss_of_a_window_stays(path):
    kept = Losses(path)
    kept.record([("a", 0, nats(1))])
    kept.record([("a", 0, nats(2)), ("a", 1, nats(3))])
    np.testing.assert_array_equal(kept.nats("a")[0], nats(1))
    assert kept.recorded == 2
    kept.close()


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(path):
    kept = Losses(path)

    def interrupted():
        yield "a", 0, nats(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.record(interrupted())
    assert not kept.windows("a")
    kept.close()


@pytest.mark.parametrize(
    "damage",
    ["nats = x'00000000'", "nats = 'text'", "window = 'first'", "crc = crc + 1"],
)
def test_what_is_not_as_it_was_written_is_named(path, damage):
    kept = Losses(path)
    kept.record([("a", 0, nats(1))])
    kept.close()
    with sqlite3.connect(path) as file:
        file.execute(f"UPDATE windows SET {damage}")
    file.close()
    again = Losses(path)
    with pytest.raises(InputError, match=r"text\.sqlite: damaged.* is not sound"):
        again.nats("a")
    again.close()


def test_another_programs_file_is_refused(path):
    path.write_text("nothing of ours, and long enough to look like something")
    with pytest.raises(InputError, match=r"text\.sqlite: damaged, or no SQLite file"):
        Losses(path).windows("a")


def test_no_file_is_made_until_one_is_needed(tmp_path):
    journal = Journal(tmp_path / NAME)
    journal.close()
    assert not (tmp_path / losses.NAME).exists()


@pytest.mark.parametrize("recorded", [False, True])
def test_a_run_that_computed_losses_alone_keeps_its_files(tmp_path, recorded):
    with opened(tmp_path / "out", {}) as journal:
        assert not journal.losses.windows("a")
        if recorded:
            journal.losses.record([("a", 0, nats(1))])
    assert (tmp_path / "out").exists() == recorded
    if recorded:
        with opened(tmp_path / "out", {}) as journal:
            assert journal.losses.windows("a") == {0}
