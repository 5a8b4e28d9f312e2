"""What binaries do before their work."""

import io
import os
import subprocess
import sys

import jax
import pytest

from experiments import benchmark, command, prune, random_checkpoint, sweep
from tests.experiments import binary
from tests.experiments.test_bad_input import assert_refused

WITHOUT_TORCH = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name.split(".")[0] == "torch" else find_spec(name, *rest)
)
from experiments.command import quiet_libraries
quiet_libraries()
"""
UNQUIET = "import warnings; warnings.simplefilter('default'); "


def test_nothing_is_said_of_torch_where_it_is_not_installed():
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""


@pytest.mark.parametrize("job", [prune, random_checkpoint, benchmark, sweep])
def test_a_device_that_is_not_there_is_one_line(saved, tmp_path, monkeypatch, job):
    def devices():
        raise AssertionError  # as JAX does for a GPU where none is built in

    made = tmp_path / "made"
    argv = {
        prune: (f"--model={saved('gpt2')}", "--sparsities=0.5", f"--export={made}"),
        random_checkpoint: (
            "--shape=gpt2-tiny", f"--tokenizer={saved('gpt2')}", f"--export={made}",
        ),
        benchmark: ("--parts", f"--json={made}"),
        sweep: (f"--out={made}",),
    }  # fmt: skip
    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    ended = binary.run(job, *argv[job])
    assert_refused(ended, "JAX_PLATFORMS=cuda: JAX finds no such device", "unset JAX_P")
    assert not made.exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("JAX_PLATFORMS", "cuda"), ("JAX_ENABLE_X64", "nonsense")],
)
def test_what_jax_refuses_of_the_environment_is_one_line(tmp_path, variable, value):
    assert variable in refused(tmp_path, "sweep", **{variable: value})


def refused(place, *argv, **environment):
    """The one line of a job that fails and writes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        ended = binary.start("-m", "experiments", *argv, cwd=place)
    assert (ended.status, ended.stdout) == (2, ""), ended
    assert ended.stderr.count("\n") == 1
    assert not list(place.iterdir())
    return ended.stderr


STARTS = {
    "as a module": ["-P", "-m", "experiments.prune"],
    "as a file": [binary.ROOT / "experiments/prune.py"],
    "of the package": ["-P", "-m", "experiments", "prune"],
}


@pytest.mark.parametrize("argv", STARTS.values(), ids=STARTS)
def test_a_job_is_started_in_any_way(tmp_path, argv):
    ended = binary.start(*argv, "--model=m", "--sparsities=0.5", cwd=tmp_path)
    remedy = "error: --export is missing; name the directory to write\n"
    assert ended == binary.Ended(2, "", remedy)


def test_a_python_that_lacks_packages_says_how_to_start_it(tmp_path):
    (tmp_path / "absl").mkdir()
    (tmp_path / "absl/__init__.py").write_text(
        "raise ModuleNotFoundError('no', name='absl')"
    )
    file = binary.ROOT / "experiments/build_cbt.py"
    code = f"import runpy; runpy.run_path({str(file)!r}, run_name='__main__')"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # before PYTHONPATH
        ended = binary.start("-c", code, cwd=tmp_path)
    assert (ended.status, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"error: absl is not installed for {sys.executable}; start it by "
        "./run.sh build_cbt\n"
    )


def test_an_unknown_job_is_one_line(tmp_path):
    assert "there is no job sweeep, but sweep, report" in refused(tmp_path, "sweeep")


def test_a_terminal_that_lacks_letters_gets_others(monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="latin-1"))
    monkeypatch.setattr(sys, "argv", ["sweep"])
    monkeypatch.setattr(sweep, "main", lambda: print("a − b …"))
    command.run("sweep")
    assert out.getvalue() == b"a ? b ?\n"  # by lines: nothing is lost by a signal


def test_a_notebooks_way_of_drawing_is_not_ours(monkeypatch):
    """A Jupyter kernel hands on its own, a module that need not be installed here."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    command.quiet_libraries()
    assert os.environ["MPLBACKEND"] == "agg"


@pytest.mark.parametrize("cache", ["", "cache", "{}"])
def test_what_is_compiled_is_kept_in_the_users_cache(tmp_path, cache):
    """A relative one counts as none: nothing is written where a command is started."""
    wanted = tmp_path if cache == "{}" else tmp_path / ".cache"
    environment = {
        **os.environ,
        "PYTHONPATH": str(binary.ROOT),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": cache.format(tmp_path),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    say = "import jax; print(jax.config.jax_compilation_cache_dir)"
    ended = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT_TORCH}{say}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == str(wanted / "jaxsparse" / "xla")


def test_a_cache_that_cannot_be_written_is_nobodys_concern(tmp_path):
    (tmp_path / ".cache").write_text("a file")  # a mode stops nobody who is root
    environment = {
        **os.environ,
        "PYTHONPATH": str(binary.ROOT),
        "HOME": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for name in "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME":
        environment.pop(name, None)
    say = "import jax, jax.numpy as jnp; print(jax.jit(jnp.sin)(0.0))"
    for quiet in True, False:
        code = f"{WITHOUT_TORCH}{'' if quiet else UNQUIET}{say}"
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout.strip() == "0.0"
        assert ("persistent compilation cache" not in ended.stderr) == quiet
