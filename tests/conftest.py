"""Shapes and types are checked on every call; warnings are errors; no network."""

import dataclasses
import functools
import importlib
import os
import platform
import shutil
import zlib
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import jaxtyping
import pytest
import transformers
from hypothesis import settings
from jax.tree_util import GetAttrKey

transformers.logging.disable_progress_bar()
# Without a deadline: first calls compile. The same examples every day, unless a search
# for others is asked for.
settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if os.environ.get("JAXSPARSE_SEARCH") else "fixed")

_register_dataclass = jax.tree_util.register_dataclass


def _register_unchecked(cls, *args, **kwargs):
    """JAX rebuilds a registered dataclass by calling it, also with None, axis numbers
    or placeholders for its arrays, and the checked `__init__` would refuse these. So
    here rebuilding goes round `__init__`; what our own code constructs is checked."""
    if args or kwargs or not cls.__module__.startswith("jaxsparse."):
        return _register_dataclass(cls, *args, **kwargs)
    leaves, static = [], []
    for field in dataclasses.fields(cls):
        (static if field.metadata.get("static") else leaves).append(field.name)

    def flatten(instance):
        children = [(GetAttrKey(name), getattr(instance, name)) for name in leaves]
        return children, tuple(getattr(instance, name) for name in static)

    def unflatten(values, children):
        instance = object.__new__(cls)
        vars(instance).update(zip(leaves, children, strict=True))
        vars(instance).update(zip(static, values, strict=True))
        return instance

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls


jax.tree_util.register_dataclass = _register_unchecked
jaxtyping.install_import_hook("jaxsparse", "beartype.beartype")

from jaxsparse import load_model  # noqa: E402
from jaxsparse.evaluation import Scorer  # noqa: E402
from tests import oracle, tiny  # noqa: E402

if oracle.installed:
    oracle.torch.set_num_threads(1)  # its models are tiny, and JAX wants the other core

pytest_plugins = ("tests.slices", "pytester")


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "error")
    # An entry that two workers wrote at once, or that a kill cut short, is compiled
    # again.
    config.addinivalue_line(
        "filterwarnings", "ignore:Error (read|writ)ing persistent compilation cache"
    )
    # A sweep's own journal in memory goes with it; from Python 3.13 on that is told.
    config.addinivalue_line(
        "filterwarnings", "ignore:unclosed database:ResourceWarning"
    )
    if hasattr(config, "cache") and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        keep_compiled(config.cache.mkdir(f"xla-{instructions():08x}"))


def instructions() -> int:
    """A name for what this CPU can do: code made for one may not run on another."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    flags = [line for line in lines if line.startswith(("flags", "Features"))]
    return zlib.crc32(flags[0].encode() if flags else platform.machine().encode())


def keep_compiled(directory: Path) -> None:
    """What XLA compiles is kept for the other workers, and for the next run."""
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """variant -> its checkpoint directory, written once; nobody may write there.

    Where torch is not installed, JAXSPARSE_SAVED names a directory of such."""

    @functools.cache
    def save(variant: str) -> Path:
        if not oracle.installed and (made := os.environ.get("JAXSPARSE_SAVED")):
            return Path(made) / variant
        directory = tmp_path_factory.mktemp("saved") / variant
        tiny.save(variant, directory)
        return directory

    return save


@pytest.fixture(scope="session")
def loaded(saved):
    """variant -> its Model in float32, loaded once."""
    return functools.cache(lambda variant: load_model(str(saved(variant))))


@pytest.fixture
def copied(saved, tmp_path):
    """variant -> a copy of its checkpoint directory, for the test to damage."""

    def copy(variant: str) -> Path:
        return Path(shutil.copytree(saved(variant), tmp_path / "copied" / variant))

    return copy


@pytest.fixture
def scorers(monkeypatch):
    """The scorers that sweeps make."""
    made = []

    def make(*args, **kwargs):
        made.append(Scorer(*args, **kwargs))
        return made[-1]

    sweep_module = importlib.import_module("jaxsparse.sweep")
    monkeypatch.setattr(sweep_module, "Scorer", make)
    return made
