"""Meshes: how they are written, what is divided, and, where there are eight devices,
that the scores are those of one (`on_eight_devices.py`, in a process of its own)."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from jax.sharding import PartitionSpec

from jaxsparse import parallel
from jaxsparse.parallel import Axes, leaf_spec, parse
from jaxsparse.types import InputError

ROOT = Path(__file__).parents[1]
EIGHT = "--xla_force_host_platform_device_count=8"


@pytest.mark.parametrize(
    "those", ["not slow", pytest.param("slow", marks=pytest.mark.slow)]
)
def test_on_eight_devices(those):
    command = f"{sys.executable} -m pytest -q tests/on_eight_devices.py -m"
    done = subprocess.run(
        [*command.split(), those],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": EIGHT, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_mesh_is_written_axis_by_axis():
    assert parse("") is None
    assert parse("data:4,model:2") == parse("model:2, data:4") == Axes(4, 2)
    assert parse("model:8") == Axes(1, 8)
    assert parse("data:1") == Axes()


@pytest.mark.parametrize(
    "text",
    ["rows:2", "data", "data:", "data:0", "data:-1", "data:two", "data:1.5", "data:²",
     "data:2,data:2", ",", "data:2,", "data:2;model:2"],
)  # fmt: skip
def test_anything_else_is_refused_in_a_line_that_shows_the_form(text):
    with pytest.raises(InputError, match=r"^`mesh=.*data:4,model:2.*$"):
        parse(text)


def test_one_device_is_no_mesh_and_nothing_is_asked_of_it():
    assert jax.device_count() == 1
    assert parallel.mesh_for(None, 1 << 60) is None
    assert parallel.rows_multiple(None) == 1
    assert parallel.everywhere(None) is None
    batch = {"tokens": object()}
    assert parallel.place_rows(None, batch) is parallel.place_everywhere(None, batch)


COLUMNS, ROWS = PartitionSpec(None, None, "model"), PartitionSpec(None, "model")


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("h/mlp/c_fc/kernel", (48, 1600, 6400), COLUMNS),  # wider outputs
        ("h/mlp/c_proj/kernel", (48, 6400, 1600), ROWS),  # what follows them
        ("h/attn/c_proj/kernel", (48, 1600, 1600), COLUMNS),
        ("layers/self_attn/k_proj/kernel", (16, 2048, 512), COLUMNS),  # by heads
        ("layers/self_attn/v_proj/kernel", (16, 2048, 512), COLUMNS),
        ("layers/self_attn/o_proj/kernel", (16, 2048, 2048), COLUMNS),
        ("h/x/kernel", (4, 512, 514), ROWS),  # outputs do not divide by 4
        ("h/x/kernel", (4, 514, 514), PartitionSpec()),  # neither does
        ("h/x/kernel", (64, 30, 30), PartitionSpec()),  # never along layers
        ("h/x/kernel", (1, 128, 128), PartitionSpec()),  # small
        ("h/attn/c_attn/bias", (48, 4800), PartitionSpec()),
        ("h/ln_1/scale", (400, 1600), PartitionSpec()),
        ("lm_head/kernel", (1600, 50260), PartitionSpec(None, "model")),
        ("shared/embedding", (32128, 512), PartitionSpec("model")),
        ("wte/embedding", (50257, 1600), PartitionSpec(None, "model")),
    ],
)
def test_where_a_leaf_is_divided(path, shape, expected):
    assert leaf_spec(path, shape, 4) == expected
