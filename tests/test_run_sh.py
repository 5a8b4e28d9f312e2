"""run.sh: which program each job is handed to, and what is installed when.

It runs in a copy of the repository's root with a `.venv/bin/python` that only writes
down how it is called.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.jobs import JOBS

ROOT = Path(__file__).parents[1]
RECORDER = """#!/bin/sh
printf '[%s]' "$@" >>"$CALLS"
echo " in $PWD, $PYTHONPATH" >>"$CALLS"
case "$*" in "-P -m pip install "*)
  [ -z "${PIP_SAYS-}" ] || echo "$PIP_SAYS"
  [ -z "${PIP_WAITS-}" ] || { echo begun; exec sleep "$PIP_WAITS"; } >"$PIP_BEGUN"
  exit "${PIP_STATUS:-0}" ;;
esac
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
        with self.start(*argv, **environment) as process:
            stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    def start(self, *argv, **environment):
        environment = {
            "PATH": os.environ["PATH"],
            "CALLS": str(self.calls_file),
            **environment,
        }
        # Where the tests run in the background, it is ignored, also by children; a
        # handler is not handed on. (A fork would be a warning of JAX.)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [str(self.root / "run.sh"), *argv],
            cwd=self.root.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        return process

    def calls(self):
        """The calls since this was last asked, the look for pip left out."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.unlink()
        return [
            line for line in lines if not line.startswith("[-P][-m][pip][--version]")
        ]

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
        ([], "[-P][-m][experiments][sweep]"),
        (
            ["--model=a b", "--out=c"],
            "[-P][-m][experiments][sweep][--model=a b][--out=c]",
        ),
        (
            ["--first_and_sec", "True", "--large", "True", "--model_type", "e-o"],
            "[-P][-m][experiments][sweep][--first_and_sec][True][--large][True]"
            "[--model_type][e-o]",
        ),
        (["sweep", "--seed=1"], "[-P][-m][experiments][sweep][--seed=1]"),
        (["prune", "--export=x y"], "[-P][-m][experiments][prune][--export=x y]"),
        (["random_checkpoint"], "[-P][-m][experiments][random_checkpoint]"),
        (["finetune"], "[-P][-m][experiments][finetune]"),
        (["pretrain", "--model=m"], "[-P][-m][experiments][pretrain][--model=m]"),
        (["--help"], "[-P][-m][experiments][sweep][--help]"),
    ],
)
def test_a_job_gets_its_arguments_where_the_user_is(copy, argv, called):
    where = f" in {copy.root.parent}, {copy.root}"
    assert copy.handed_over(*argv) == called + where


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/mine", ":/mine"),
        ("/mine:/other", ":/mine:/other"),
        ("/mine:", ":/mine"),
        ("::/mine::.:/other:./", ":/mine:/other"),
        (":", ""),
        ("", ""),
    ],
)
def test_a_pythonpath_of_the_users_is_kept_but_for_the_folder_it_is_in(
    copy, given, kept
):
    call = copy.handed_over("sweep", PYTHONPATH=given)
    assert call.endswith(f", {copy.root}{kept}")


@pytest.mark.parametrize(
    "environment",
    [
        {"CDPATH": ".:.."},
        {"BASH_FUNC_cd%%": "() { echo; builtin cd /; }"},
        {"SHELLOPTS": "xtrace:verbose", "PYTHONHOME": "/nowhere"},
    ],
    ids=["CDPATH", "cd", "SHELLOPTS"],
)
def test_what_breaks_scripts_breaks_nothing(copy, environment):
    assert copy.run("sweep").returncode == 0
    copy.calls()
    # Not by its whole path: with CDPATH, `cd` then says where it goes.
    ended = subprocess.run(
        ["bash", f"{copy.root.name}/run.sh", "--help"],
        cwd=copy.root.parent,
        env={
            "PATH": os.environ["PATH"],
            "CALLS": str(copy.calls_file),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended
    (call,) = copy.calls()
    assert call.endswith(f"[--help] in {copy.root.parent}, {copy.root}")


def test_nothing_of_the_users_folder_is_imported(copy, tmp_path):
    """By a python that only does not install: this one."""
    python = copy.root / ".venv/bin/python"
    python.write_text(f"""#!/bin/sh
case "$*" in "-P -m pip "*) exit ;; esac
exec {sys.executable} "$@"
""")
    for name in ("experiments", "jaxsparse"):
        (copy.root / name).symlink_to(ROOT / name)
    for name in ("random", "absl", "tqdm", "tokenizers", "experiments/__init__"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    argv = ("prune", "--model=m", "--sparsities=0.5")
    ended = copy.run(*argv, PYTHONPATH=":.:")
    assert (ended.returncode, ended.stdout) == (2, "")
    *_, line = ended.stderr.splitlines()
    assert line == "error: --export is missing; name the directory to write"


@pytest.mark.parametrize("argv", [["help"], ["help", "test"]])
def test_help_lists_every_job_and_installs_nothing(copy, argv):
    ended = copy.run(*argv)
    assert (ended.returncode, ended.stderr, copy.calls()) == (0, "", [])
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 88
    for job in (*JOBS, "test", "check"):
        assert [line for line in lines if line.split()[:1] == [job]], job
    assert "./run.sh --model=gpt2-small --data=cbt" in ended.stdout


def test_help_of_a_job_is_the_jobs_own(copy):
    call = copy.handed_over("help", "prune")
    assert call.startswith("[-P][-m][experiments][prune][--help]")
    ended = copy.run("help", "prun")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: unknown job prun; there are sweep,")


@pytest.mark.parametrize("job", ["sweeep", "finetuning", "Test", "./data"])
def test_an_unknown_job_is_one_line_and_status_2(copy, job):
    ended = copy.run(job, "--model=x")
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert f" {job};" in line
    assert "sweep, report, prune" in line
    assert copy.calls() == []


def test_the_package_is_installed_once_for_each_state_of_pyproject(copy):
    install = f"[--editable][{copy.root}] in "
    assert "Installing" in copy.run().stderr
    first, second = copy.calls()
    assert first.startswith("[-P][-m][pip][install]")
    assert install in first
    assert second.startswith("[-P][-m][experiments][sweep]")
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
    (call,) = copy.calls()
    assert call.startswith("[-P][-m][experiments][sweep]")


def test_all_tests_go_on_two_cores(copy):
    assert copy.run("test").returncode == 0
    _, pytest_ = copy.calls()
    assert pytest_.startswith("[-m][pytest][-n][2][--dist][loadfile] in ")


def test_building_questions_brings_the_tagger_once(copy):
    assert copy.run("build_cbt", "--books=b").returncode == 0
    install, job = copy.calls()
    assert f"[--editable][{copy.root}[books]] in " in install
    assert job.startswith("[-P][-m][experiments][build_cbt][--books=b]")
    for argv in (["build_cbt"], ["prune"]):  # what it needs holds the package
        assert copy.run(*argv).returncode == 0
        assert len(copy.calls()) == 1


def test_an_install_that_fails_is_tried_again(copy):
    ended = copy.run("prune", PIP_STATUS="1", PIP_SAYS="no such index")
    assert ended.returncode == 2
    *_, said, last = ended.stderr.splitlines()
    assert said == "no such index"
    assert "pip install failed" in last
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


def test_an_install_goes_on_without_its_log(copy, tmp_path):
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    with copy.start("prune", PIP_WAITS="1", PIP_BEGUN=str(begun)) as process:
        with begun.open() as pipe:
            assert pipe.readline() == "begun\n"
        for log in copy.root.glob(".install.*.log"):
            log.unlink()
        _, stderr = process.communicate()
    assert process.returncode == 0
    assert [line.split()[0] for line in stderr.splitlines()] == [
        "Installing",
        "Installed",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_install_and_the_next_run_begins_it_again(
    copy, tmp_path, number
):
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    waiting = {"PIP_WAITS": "60", "PIP_BEGUN": str(begun)}
    with copy.start("prune", **waiting) as process:
        with begun.open() as pipe:
            assert pipe.readline() == "begun\n"
        process.send_signal(number)
        stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (128 + number, "")
    started, *rest = stderr.splitlines()
    assert started.startswith("Installing into .venv, once")
    assert rest == ["interrupted"] * (number == signal.SIGINT)
    assert not list(copy.root.glob(".install.*.log"))
    assert len(copy.calls()) == 1
    ended = copy.run("prune")
    assert ended.returncode == 0
    assert len(copy.calls()) == 2
    started, ended = ended.stderr.splitlines()
    assert started.startswith("Installing")
    assert re.fullmatch(r"Installed in \d+ s\.", ended)
