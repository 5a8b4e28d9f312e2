"""What several binaries are tried with."""

import subprocess
from contextlib import suppress

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, and what fills it to the last byte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")

    def fill():
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))

    yield disk, fill
    subprocess.run(["umount", str(disk)], check=True)
