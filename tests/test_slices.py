"""`--slice`: the parts are a partition, the same on every run."""

import pytest

from tests.slices import part

PARTS = 7
FILE = """
import pytest
@pytest.mark.slow
@pytest.mark.parametrize("number", range(40))
def test_slow(number): pass
def test_quick(): pass
"""


@pytest.fixture
def collected(pytester):
    """What pytest chooses of FILE with the arguments; each test's name."""
    pytester.makepyfile(FILE)

    def collect(*argv):
        run = pytester.inline_run("-p", "tests.slices", "--collect-only", "-q", *argv)
        (call,) = run.getcalls("pytest_collection_finish")
        return [item.name for item in call.session.items]

    return collect


def test_seven_slices_hold_every_slow_test_once(collected):
    slow = ("-m", "slow", "-o", "markers=slow")
    slices = [collected(*slow, f"--slice={n + 1}/{PARTS}") for n in range(PARTS)]
    every = collected(*slow)
    assert len(every) == 40
    assert sorted(name for chosen in slices for name in chosen) == sorted(every)
    assert all(slices)
    assert collected(*slow, "--slice=3/7") == slices[2]


def test_a_tests_part_is_the_same_for_ever():
    """A change would leave tests out of the week in which it is made."""
    assert [part(f"tests/test_a.py::test_{n}", PARTS) for n in range(4)] == [3, 2, 5, 1]


@pytest.mark.parametrize("text", ["0/7", "8/7", "3", "a/b", "-1/7"])
def test_a_slice_that_is_none_is_refused(pytester, text):
    ended = pytester.inline_run("-p", "tests.slices", f"--slice={text}")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
