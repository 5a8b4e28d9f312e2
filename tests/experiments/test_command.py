"""What binaries do before their work."""

import os
import subprocess
import sys

WITHOUT_TORCH = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name.split(".")[0] == "torch" else find_spec(name, *rest)
)
from experiments.command import quiet_libraries
quiet_libraries()
"""


def test_nothing_is_said_of_torch_where_it_is_not_installed():
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
