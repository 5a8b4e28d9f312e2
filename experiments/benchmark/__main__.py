"""Starts the benchmark as a module or as a directory; ./run.sh benchmark does more."""

import sys
from pathlib import Path

if not __package__:  # python experiments/benchmark
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from experiments.__main__ import main

sys.exit(main("benchmark"))
