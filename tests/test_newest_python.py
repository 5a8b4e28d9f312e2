"""The suite's core on Python 3.13 and with the newest JAX, which needs Python 3.12: its
part that needs no torch, of which there may be no build."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).parents[1]
TOOLS = ("beartype", "hypothesis", "pytest", "pytest-xdist")
CORE = (
    *("tests/test_trees.py", "tests/test_evaluation.py", "tests/test_sweep.py"),
    *("tests/test_revisions.py", "tests/test_journal.py", "tests/pruning"),
    *("tests/models", "tests/weights", "tests/scoring"),
)


def python_3_13():
    """PYTHON313, or one that is found; a name on the path may be a mere shim."""
    named = [os.environ.get("PYTHON313"), shutil.which("python3.13")]
    pyenv = Path.home().glob(".pyenv/versions/3.13.*/bin/python")
    for python in filter(None, [*named, *map(str, sorted(pyenv))]):
        asked = [python, "-c", "import sys; print(sys.version_info[:2])"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        if said.stdout == "(3, 13)\n":
            return python
    return pytest.skip("no Python 3.13 is here; name it: PYTHON313=…")


def succeeds(*argv, **environment):
    done = subprocess.run(
        list(map(str, argv)),
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="all tests run on it already")
def test_the_core_on_python_3_13_with_the_newest_jax(saved, tmp_path):
    python = python_3_13()
    source, new = tmp_path / "source", tmp_path / "venv/bin/python"
    shutil.copytree(ROOT / "jaxsparse", source / "jaxsparse")  # pip writes beside it
    for name in "pyproject.toml", "README.md":
        shutil.copy(ROOT / name, source)
    succeeds(python, "-m", "venv", tmp_path / "venv")
    succeeds(new, "-m", "pip", "install", "-q", source, *TOOLS)
    checkpoints = tmp_path / "saved"
    checkpoints.mkdir()
    for variant in tiny.VARIANTS:
        (checkpoints / variant).symlink_to(saved(variant))
    said = succeeds(
        *(new, "-m", "pytest", "-q", "-n", "2", *CORE),
        *("-o", f"cache_dir={tmp_path / 'cache'}"),
        JAXSPARSE_SAVED=str(checkpoints),
        PYTHONDONTWRITEBYTECODE="1",
    )
    *_, summary = said.splitlines()
    passed = int(summary.split(" passed")[0].split()[-1])
    assert passed > 300, summary
    assert "torch is not installed" in said
