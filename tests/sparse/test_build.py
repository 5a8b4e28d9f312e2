"""The library: built once, found again, never taken from where others may write."""

import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsparse import sparse
from jaxsparse.sparse import build

ROOT = Path(__file__).parents[2]
COPY = 'for last; do :; done; echo run >> {log}; cp {library} "$last"'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxsparse" / "sparse"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Makes a compiler of a shell script, to be found by $CXX."""

    def make(script):
        path = tmp_path / "compiler"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))
        return path

    return make


@pytest.fixture
def calls(compiler, library, tmp_path, cache):
    """A compiler that copies what the real one made: how often it ran."""
    log = tmp_path / "log"
    quoted = {"log": shlex.quote(str(log)), "library": shlex.quote(library._name)}
    compiler(COPY.format(**quoted))
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def test_the_library_is_built_once_and_found_again(cache, calls):
    first = build.find_or_build()
    assert first.jaxsparse_lanes() in (4, 8, 16)
    again = build.find_or_build()
    assert calls() == 1
    (kept,) = cache.iterdir()
    assert Path(first._name) == Path(again._name) == kept
    assert cache.stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", ["garbage", "cut short"])
def test_a_damaged_library_is_built_anew(cache, calls, damage):
    build.find_or_build()
    (kept,) = cache.iterdir()
    content = kept.read_bytes()
    kept.unlink()  # this process has it mapped, and would end by a SIGBUS
    kept.write_bytes(
        b"garbage" if damage == "garbage" else content[: len(content) // 2]
    )
    assert build.find_or_build().jaxsparse_lanes() in (4, 8, 16)
    assert calls() == 2
    assert [path.read_bytes() for path in cache.iterdir()] == [content]


def test_another_compiler_or_other_flags_make_another_library(
    cache, calls, monkeypatch
):
    build.find_or_build()
    monkeypatch.setenv("CXX", f"{os.environ['CXX']} -O1")
    build.find_or_build()
    assert calls() == 2
    assert len([*cache.iterdir()]) == 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", r".*compiler failed with status 3: it says nothing"),
        (
            "echo note >&2; echo kernel.cc:1: error: no >&2; echo end >&2; exit 1",
            r".*compiler failed with status 1: kernel\.cc:1: error: no",
        ),
        ('for last; do :; done; echo no >"$last"', r"what the C\+\+ compiler made .*"),
        ("exit 0", r"what the C\+\+ compiler made does not load .*"),
    ],
)
def test_a_compiler_that_fails_leaves_nothing(cache, compiler, script, said):
    compiler(script)
    with pytest.raises(build.Unavailable, match=said) as raised:
        build.find_or_build()
    assert "\n" not in str(raised.value)
    assert not [*cache.iterdir()]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("/nonexistent/c++", r"no C\+\+ compiler is found .*/nonexistent/c\+\+"),
        ("'", "CXX=': No closing quotation"),
        ("{tmp_path}/program", r".*program does not run \(OSError: .*format error.*"),
    ],
)
def test_a_compiler_that_there_is_not_is_said(
    cache, monkeypatch, tmp_path, named, said
):
    program = tmp_path / "program"
    program.write_bytes(b"\0\1\2")
    program.chmod(0o755)
    monkeypatch.setenv("CXX", named.format(tmp_path=tmp_path))
    with pytest.raises(build.Unavailable, match=said):
        build.find_or_build()


def test_without_a_compiler_on_the_path_it_says_what_was_looked_for(
    cache, monkeypatch, tmp_path
):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.Unavailable, match=r"looked for c\+\+, g\+\+, clang\+\+"):
        build.find_or_build()


def test_a_compiler_that_does_not_end_is_ended(cache, compiler, monkeypatch):
    compiler("exec sleep 60")
    monkeypatch.setattr(build, "LONGEST", 0.2)
    with pytest.raises(build.Unavailable, match=r"took longer than 0\.2 s"):
        build.find_or_build()


def test_what_fails_is_tried_once(calls, compiler, monkeypatch, tmp_path):
    log = tmp_path / "failed"
    compiler(f"echo run >>{shlex.quote(str(log))}; exit 1")
    fresh = functools.cache(build._registered.__wrapped__)
    monkeypatch.setattr(build, "_registered", fresh)
    for _ in range(2):
        with pytest.raises(build.Unavailable, match="failed with status 1"):
            build.library()
    assert log.read_text() == "run\n"


def test_a_cache_that_cannot_be_made_is_said(calls, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(build.Unavailable, match=r"sparse cannot be used \(NotADirect"):
        build.find_or_build()
    assert calls() == 0


def test_nothing_is_built_in_the_folder_where_it_is_started(
    calls, tmp_path, monkeypatch
):
    """By a relative cache, or for a user who is in no list and has no HOME."""
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build.cache_directory() == tmp_path / ".cache" / "jaxsparse" / "sparse"
    monkeypatch.setenv("HOME", "~")  # what expanduser leaves where it finds none
    with pytest.raises(build.Unavailable, match="no home for it; name a directory"):
        build.find_or_build()
    assert calls() == 0


@pytest.mark.parametrize("what", ["directory", "library"])
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_nothing_is_loaded_from_where_others_may_write(cache, calls, what, mode):
    build.find_or_build()
    (kept,) = cache.iterdir()
    path = cache if what == "directory" else kept
    path.chmod(mode)
    said = rf"{path}: others may write there.*XDG_CACHE_HOME"
    with pytest.raises(build.Unavailable, match=said):
        build.find_or_build()
    assert calls() == 1


def test_nothing_is_loaded_that_another_user_owns(cache, calls, monkeypatch):
    build.find_or_build()
    if os.getuid() == 0:
        os.chown(cache, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(build.Unavailable, match="others may write there"):
        build.find_or_build()


def test_two_processes_may_build_at_once(cache, calls, compiler, tmp_path, library):
    script = (tmp_path / "compiler").read_text().partition("\n")[2]
    both = shlex.quote(str(tmp_path / "log"))
    # Neither ends before the other has begun.
    compiler(f"{script}\nwhile [ $(wc -l <{both}) -lt 2 ]; do sleep 0.05; done")
    program = "from jaxsparse.sparse import build; build.library()"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert calls() == 2
    (kept,) = cache.iterdir()
    assert kept.read_bytes() == Path(library._name).read_bytes()
    assert sparse.library() is library
