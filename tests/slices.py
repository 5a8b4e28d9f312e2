"""`--slice=N/PARTS`: of the tests asked for, the N-th of PARTS parts.

A test's part follows from its name alone, so that the parts are the same on every
machine and day, and each test is in exactly one.
"""

import zlib
from collections.abc import Container, Iterable
from typing import Any

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--slice",
        type=_slice,
        metavar="N/PARTS",
        help="of the tests asked for, only the N-th of so many parts",
    )


def pytest_report_header(config):
    if wanted := config.getoption("slice"):
        return "slice {} of {}".format(*wanted)
    return None


@pytest.hookimpl(trylast=True)  # -m and -k have chosen before
def pytest_collection_modifyitems(config, items):
    if not (wanted := config.getoption("slice")):
        return
    number, parts = wanted
    chosen = [part(item.nodeid, parts) == number for item in items]
    left_out = [item for item, here in zip(items, chosen, strict=True) if not here]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item, here in zip(items, chosen, strict=True) if here]


def slow(cases: Iterable[Any], chosen: Container[Any]) -> list[Any]:
    """The cases of a parametrized test, the chosen of them marked slow."""
    made = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marks = [pytest.mark.slow] * (case in chosen)
        made.append(pytest.param(*values, marks=marks))
    return made


def part(name: str, parts: int) -> int:
    """From 1 to `parts`."""
    return 1 + zlib.crc32(name.encode()) % parts


def _slice(text: str) -> tuple[int, int]:
    number, parts = map(int, text.split("/"))
    if not 1 <= number <= parts:
        raise ValueError(f"{number} is not from 1 to {parts}")
    return number, parts
