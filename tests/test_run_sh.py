"""run.sh: which program each job is handed to, and what is installed when.

It runs in a copy of the repository's root with a `.venv/bin/python` that only writes
down how it is called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORDER = """#!/bin/sh
printf '[%s]' "$@" >>"$CALLS"
echo " in $PWD, $PYTHONPATH" >>"$CALLS"
case "$*" in "-m pip install "*) exit "${PIP_STATUS:-0}" ;; esac
"""


class Copy:
    """A root with run.sh in it, and what its python was called with."""

    def __init__(self, directory):
        self.root = directory / "a copy"
        self.root.mkdir()
        for name in ("run.sh", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root)
        self.calls_file = directory / "calls"
        python = self.root / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(RECORDER)
        python.chmod(0o755)

    def run(self, *argv, **environment):
        return subprocess.run(
            [str(self.root / "run.sh"), *argv],
            cwd=self.root.parent,
            env={
                "PATH": os.environ["PATH"],
                "CALLS": str(self.calls_file),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self):
        """The calls since this was last asked, the look for pip left out."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.unlink()
        return [line for line in lines if not line.startswith("[-m][pip][--version]")]

    def handed_over(self, *argv, **environment):
        """The last call, which must be all there is to a run once installed."""
        assert self.run("sweep").returncode == 0
        self.calls()
        ended = self.run(*argv, **environment)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        (call,) = self.calls()
        return call


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def test_it_is_bash_and_executable():
    assert os.access(ROOT / "run.sh", os.X_OK)
    for script in "run.sh", ".ci/run":
        checked = subprocess.run(["bash", "-n", str(ROOT / script)], check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    ("argv", "called"),
    [
        ([], "[-m][experiments.sweep]"),
        (["--model=a b", "--out=c"], "[-m][experiments.sweep][--model=a b][--out=c]"),
        (
            ["--first_and_sec", "True", "--large", "True", "--model_type", "e-o"],
            "[-m][experiments.sweep][--first_and_sec][True][--large][True]"
            "[--model_type][e-o]",
        ),
        (["sweep", "--seed=1"], "[-m][experiments.sweep][--seed=1]"),
        (["prune", "--export=x y"], "[-m][experiments.prune][--export=x y]"),
        (["random_checkpoint"], "[-m][experiments.random_checkpoint]"),
        (["pretrain", "--model=m"], "[-m][experiments.pretrain][--model=m]"),
        (["--help"], "[-m][experiments.sweep][--help]"),
    ],
)
def test_a_job_gets_its_arguments_where_the_user_is(copy, argv, called):
    where = f" in {copy.root.parent}, {copy.root}"
    assert copy.handed_over(*argv) == called + where


def test_a_pythonpath_of_the_users_is_kept(copy):
    call = copy.handed_over("sweep", PYTHONPATH="/mine")
    assert call.endswith(f", {copy.root}:/mine")


@pytest.mark.parametrize("job", ["sweeep", "finetune", "Test", "./data"])
def test_an_unknown_job_is_one_line_and_status_2(copy, job):
    ended = copy.run(job, "--model=x")
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert f" {job};" in line or f" {job} is not part of this version;" in line
    assert "sweep, report, prune" in line
    assert copy.calls() == []


def test_the_package_is_installed_once_for_each_state_of_pyproject(copy):
    install = f"[--editable][{copy.root}] in "
    assert "Installing" in copy.run().stderr
    first, second = copy.calls()
    assert first.startswith("[-m][pip][install]")
    assert install in first
    assert second.startswith("[-m][experiments.sweep]")
    assert copy.run().stderr == ""
    assert len(copy.calls()) == 1
    with (copy.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert "Installing" in copy.run().stderr
    assert install in copy.calls()[0]


def test_tests_are_run_from_the_root_with_what_they_need(copy):
    ended = copy.run("test", "-k", "a and b")
    assert ended.returncode == 0
    install, pytest_ = copy.calls()
    assert f"[--editable][{copy.root}[test]] in " in install
    assert pytest_.startswith(f"[-m][pytest][-k][a and b] in {copy.root},")
    copy.run()  # what the tests need holds the package
    assert [call[:23] for call in copy.calls()] == ["[-m][experiments.sweep]"]


def test_all_tests_go_on_two_cores(copy):
    assert copy.run("test").returncode == 0
    _, pytest_ = copy.calls()
    assert pytest_.startswith("[-m][pytest][-n][2][--dist][loadfile] in ")


def test_building_questions_brings_the_tagger_once(copy):
    assert copy.run("build_cbt", "--books=b").returncode == 0
    install, job = copy.calls()
    assert f"[--editable][{copy.root}[books]] in " in install
    assert job.startswith("[-m][experiments.build_cbt][--books=b]")
    for argv in (["build_cbt"], ["prune"]):  # what it needs holds the package
        assert copy.run(*argv).returncode == 0
        assert len(copy.calls()) == 1


def test_an_install_that_fails_is_tried_again(copy):
    ended = copy.run("prune", PIP_STATUS="1")
    assert ended.returncode == 2
    assert "pip install failed" in ended.stderr.splitlines()[-1]
    assert len(copy.calls()) == 1  # the job was not started
    assert copy.run("prune").returncode == 0
    assert len(copy.calls()) == 2


def test_no_python_is_one_line_and_status_2(copy, tmp_path):
    """Neither in .venv nor anywhere else."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "cksum", "dirname", "flock", "env"):
        (tools / name).symlink_to(shutil.which(name))
    shutil.rmtree(copy.root / ".venv")
    ended = copy.run(PATH=str(tools))
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if "Installing" not in line]
    assert line.startswith("error: Python 3.11 or newer is needed; install it")
