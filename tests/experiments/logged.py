"""A sweep in a process of its own that tells what it scores; tests kill it."""

import hashlib
import os
import signal
import sys

import jax
import numpy as np

from experiments import command
from jaxsparse import evaluation
from jaxsparse.one_shot.leaves import PrunedLeaves


def run_logged(cwd: str, log: str, argv: tuple[str, ...]) -> None:
    """A sweep in this process, with a line in the log for each batch before it is
    scored: what is asked of which weights."""
    score = evaluation.Scorer.score

    def logged(self, apply, params, changed, batch, *more):
        content = hashlib.sha256(batch.protocol.encode())
        for leaf in (*changed.values(), batch.terms.tokens, batch.terms.places):
            content.update(np.asarray(leaf).tobytes())
        with open(log, "a") as file:
            file.write(f"{content.hexdigest()}\n")
        return score(self, apply, params, changed, batch, *more)

    evaluation.Scorer.score = logged
    _run(cwd, log, argv)


def run_until_block(cwd: str, log: str, argv: tuple[str, ...], blocks: int) -> None:
    """A sweep in this process, which is killed once so many blocks are pruned."""
    block_done, done = PrunedLeaves.block_done, []

    def counted(self, matrices):
        block_done(self, matrices)
        done.append(matrices)
        if len(done) == blocks:
            os.kill(os.getpid(), signal.SIGKILL)

    PrunedLeaves.block_done = counted
    _run(cwd, log, argv)


def _run(cwd: str, log: str, argv: tuple[str, ...]) -> None:
    os.chdir(cwd)
    jax.config.update("jax_compilation_cache_dir", f"{cwd}/cache")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    with open(f"{log}.out", "a") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.argv = ["sweep", *argv]
    command.run("sweep")
