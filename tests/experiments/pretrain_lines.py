"""Command lines of pretrain, one after the other in a process of their own. Its models
are small enough to train in a test.

    python -m tests.experiments.pretrain_lines LINES ENDED

LINES is json, a list of objects: `argv`; `terminal`, whether stderr is one; `kill`, the
step whose batch is not made any more, because the process gets SIGKILL. ENDED is
written for every line: `status`, `stdout`, `stderr` and the steps `asked` for.
"""

import contextlib
import io
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax

from experiments import command, progress
from jaxsparse.pretraining import RECIPES, run
from tests.pretraining import little

jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # lines share all
# What is said must not hang on how busy this machine is.
progress.SECONDS_BETWEEN_LOOKS = None
progress.SECONDS_UNTIL_LINE, progress.SECONDS_UNTIL_LIVE = math.inf, -1.0
STEPS = 12
RECIPES["tiny-gpt2"] = little.recipe("gpt2", STEPS, [24], warmup=3)


class Stream(io.StringIO):
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def end(line: dict[str, Any]) -> dict[str, Any]:
    stdout, stderr, status = Stream(), Stream(), 0
    stderr.terminal = line.get("terminal", False)
    asked: list[int] = []
    make = run.PretrainingRun.batch

    def batch(self: run.PretrainingRun, step: int) -> Any:
        if step == line.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        asked.append(step)
        return make(self, step)

    run.PretrainingRun.batch = batch
    sys.argv = ["pretrain", *line["argv"]]
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            command.run("pretrain")
        except SystemExit as exit:
            status = exit.code
    run.PretrainingRun.batch = make
    return {
        "status": status,
        "stdout": stdout.getvalue(),
        "stderr": stderr.getvalue(),
        "asked": asked,
    }


if __name__ == "__main__":
    lines, ended = map(Path, sys.argv[1:])
    made = [end(line) for line in json.loads(lines.read_text())]
    ended.write_text(json.dumps(made))
