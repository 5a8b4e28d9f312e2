"""Files and directories that are there as a whole or not at all."""

import os

import pytest

from jaxsparse import whole
from jaxsparse.types import InputError
from jaxsparse.whole import LOCK, atomic_directory, atomic_file, locked


def test_a_file_appears_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, failure):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(failure), atomic_file(path) as partial:  # noqa: PT012
        partial.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_before_anything_is_written_is_the_one_that_is_raised(tmp_path):
    with pytest.raises(OSError, match="first"), atomic_file(tmp_path / "file"):
        raise OSError("first")
    assert not list(tmp_path.iterdir())


def test_a_directory_appears_once_all_is_written(tmp_path):
    directory = tmp_path / "deep" / "made"
    with atomic_directory(directory) as partial:
        (partial / "file").write_text("whole")
        assert not directory.exists()
    assert [path.name for path in directory.parent.iterdir()] == ["made"]
    assert (directory / "file").read_text() == "whole"


def stop_halfway(directory):
    with atomic_directory(directory) as partial:
        (partial / "file").write_text("ha")
        raise KeyboardInterrupt


def test_nothing_stays_of_what_was_not_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stop_halfway(tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_a_directory_is_held_by_one_and_let_go(tmp_path):
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
        with pytest.raises(InputError, match="another process"), locked(tmp_path):
            pytest.fail("was held twice")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass


def test_a_lock_that_was_left_behind_holds_nobody(tmp_path):
    (tmp_path / LOCK).write_text("4194304999\n")  # of a process that was killed
    (tmp_path / ".report.md.4194304999.partial").touch()
    (tmp_path / ".mine.partial").touch()
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
    assert [path.name for path in tmp_path.iterdir()] == [".mine.partial"]


def test_a_lock_taken_away_between_opening_and_locking_is_not_ours(
    tmp_path, monkeypatch
):
    """Its holder may let go, and a third process make a new one."""
    flock = whole.fcntl.flock

    def late(file, how):
        monkeypatch.setattr(whole.fcntl, "flock", flock)
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).touch()
        flock(file, how)

    monkeypatch.setattr(whole.fcntl, "flock", late)
    with locked(tmp_path), pytest.raises(InputError), locked(tmp_path):
        pytest.fail("was held twice")


def test_a_lock_does_not_follow_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "out"):
        pytest.fail("was held")
    assert precious.read_text() == "mine"


def test_what_a_killed_process_left_of_a_directory_goes_with_the_next(tmp_path):
    left = tmp_path / ".made-4711.partial"
    left.mkdir()
    (left / "half").touch()
    with atomic_directory(tmp_path / "made") as busy:
        (busy / "file").touch()
        with atomic_directory(tmp_path / "made") as other:  # it keeps what is in use
            assert busy.exists()
            assert sorted(tmp_path.iterdir()) == sorted([busy, other])
        (tmp_path / "made").rmdir()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made/file").exists()


@pytest.mark.parametrize("by_now", ["being taken away", "gone"])
def test_a_directory_taken_away_before_it_is_locked_is_made_again(
    tmp_path, monkeypatch, by_now
):
    """Another process may find it unlocked, and take it for one that was left."""
    flock = whole.fcntl.flock

    def late(file, how):
        monkeypatch.setattr(whole.fcntl, "flock", flock)
        for path in tmp_path.iterdir():
            path.rmdir()
        if by_now == "being taken away":
            raise BlockingIOError
        flock(file, how)

    monkeypatch.setattr(whole.fcntl, "flock", late)
    with atomic_directory(tmp_path / "made") as partial:
        (partial / "file").touch()
        with atomic_directory(tmp_path / "made"):  # it is locked, and so stays
            assert partial.exists()
        (tmp_path / "made").rmdir()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_abandoned_it_leaves_nothing_that_is_only_there_for_a_while(tmp_path):
    out = tmp_path / "deep/out"
    with whole.made(out), locked(out), whole.scratch_directory("x", out) as scratch:
        (scratch / "file").touch()
        whole.abandon()
        assert not list(tmp_path.iterdir())
    whole.abandon()  # with nothing to take away


def test_parents_made_for_a_directory_go_with_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stop_halfway(tmp_path / "deep/made")
    assert not list(tmp_path.iterdir())
