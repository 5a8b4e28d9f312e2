"""The kernel without JAX: for every width of vectors, and under sanitizers."""

import os
import platform
import subprocess
from pathlib import Path

import pytest

from jaxsparse.sparse import build

HERE = Path(__file__).parent
COMMON = ("-std=c++17", "-pthread", "-w", f"-I{build.SOURCE.parent}")
SANITIZED = ("-march=native", "-O1", "-g", "-fno-sanitize-recover=all")
X86 = platform.machine() == "x86_64"
# An allocation that must fail shall give null, not end the process.
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "allocator_may_return_null=1",
    "TSAN_OPTIONS": "allocator_may_return_null=1",
}


def compiler():
    try:
        return build._compiler()
    except build.Unavailable as error:
        pytest.skip(str(error))


def compiles(source, flags, made):
    command = [*compiler(), *COMMON, *flags, str(source), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return not done.returncode, done.stderr


def runs(flags, directory):
    """Whether a program that does nothing compiles and runs so."""
    source, made = directory / "nothing.cc", directory / "nothing"
    source.write_text("int main() {}")
    compiled, _ = compiles(source, flags, made)
    return compiled and not subprocess.run([made], check=False).returncode


def lanes_of(flags, directory):
    """Compiles the tests in C++ and runs them; they print how wide vectors are."""
    made = directory / "kernel_test"
    compiled, said = compiles(HERE / "kernel_test.cc", flags, made)
    assert compiled, said
    done = subprocess.run(
        [made], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_sanitizers_find_nothing(tmp_path, sanitizers):
    flags = (*SANITIZED, f"-fsanitize={sanitizers}")
    if not runs(flags, tmp_path):
        pytest.skip("the compiler has no such sanitizer")
    assert lanes_of(flags, tmp_path) in (4, 8, 16)


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="these are vectors of x86")
@pytest.mark.parametrize(
    ("flags", "lanes"),
    [
        (("-mno-avx",), 4),
        (("-mavx2", "-mfma", "-mno-avx512f"), 8),
        (("-mavx512f",), 16),
    ],
)
def test_every_width_of_vectors_gives_the_sums_of_a_loop(tmp_path, flags, lanes):
    about = Path("/proc/cpuinfo")
    known = about.read_text().split() if about.exists() else []
    if any(flag[2:] not in known for flag in flags if not flag.startswith("-mno")):
        pytest.skip("this processor has none so wide")
    assert lanes_of(("-O2", *flags), tmp_path) == lanes
