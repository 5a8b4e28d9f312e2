"""Runs a command and prints its peak memory: the most RssAnon that its processes held
together, sampled every 20 ms. Pages of mapped files do not count. Linux, no packages.

    python3 experiments/benchmark/peak_memory.py ./run.sh --model=DIR --data=FILE
"""

import re
import subprocess
import sys
import time
from pathlib import Path

INTERVAL = 0.02  # seconds


def rss_anon(group: int) -> int:
    """Bytes of anonymous memory in all processes of a process group."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            stat = (status.parent / "stat").read_text()
            text = status.read_text()
        except OSError:  # it ended meanwhile
            continue
        if int(stat.rpartition(")")[2].split()[2]) == group:
            found = re.search(r"RssAnon:\s+(\d+) kB", text)
            total += int(found[1]) * 1024 if found else 0
    return total


def main() -> int:
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(sys.argv[1:], start_new_session=True)
    while process.poll() is None:
        peak = max(peak, rss_anon(process.pid))
        time.sleep(INTERVAL)
    seconds = time.monotonic() - start
    print(f"peak RssAnon {peak / 1e9:.2f} GB in {seconds:.0f} s", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
