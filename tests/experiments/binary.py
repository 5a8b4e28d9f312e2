"""Runs the binaries of experiments/, here or in a process of their own; their input."""

import contextlib
import io
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from experiments import command, flags, progress, usage
from jaxsparse.cbt import WORD_CLASSES
from tests import tiny

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str


def run(binary: ModuleType, *argv: object) -> Ended:
    """One command line in this process, as if it were the first."""
    name = binary.__name__.removeprefix("experiments.")
    stdout, stderr, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, argv)])
        # Set, it stays as it is: other tests shall not share our user's cache.
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        # What is said must not hang on how busy this machine is.
        patch.setattr(progress, "SECONDS_BETWEEN_LOOKS", None)
        patch.setattr(progress, "SECONDS_UNTIL_LINE", math.inf)
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                command.run(name)
            except SystemExit as end:
                status = end.code
    return Ended(status, stdout.getvalue(), stderr.getvalue())


def start(*argv: object, cwd: Path, cache: Path | None = None) -> Ended:
    """`python` with the arguments in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "JAX_COMPILATION_CACHE_DIR": str(cache or ""),
    }
    done = subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def settings(*argv: object) -> flags.Settings:
    """What the flags of a command line mean."""
    usage.parse("sweep", [*map(str, argv)])
    return flags.settings_from_flags()


def item(seed: int, **changes: Any) -> list[str]:
    """The 21 lines of an item; `changes` of query, answer or options."""
    story, query, options, answer = tiny.question_text(seed)
    fields = {"query": query, "options": options, "answer": answer, **changes}
    options = "|".join(fields["options"])
    last = f"21 {fields['query']}\t{fields['answer']}\t\t{options}"
    return [*(f"{n} {sentence}" for n, sentence in enumerate(story, 1)), last]


def write_items(path: Path, items: Sequence[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = ["".join(f"{line}\n" for line in lines) for lines in items]
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def write_directory(directory: Path, each: int, split: str = "test_2500ex") -> Path:
    """Files of all four classes with so many questions each, the blank at the end."""
    for number, word_class in enumerate(WORD_CLASSES):
        seeds = range(2 + 30 * number, 2 + 30 * number + 3 * each, 3)
        path = directory / f"cbtest_{word_class}_{split}.txt"
        write_items(path, [item(seed) for seed in seeds])
    return directory
