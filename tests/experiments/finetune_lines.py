"""One command line of finetune in a process of its own, which dies or fails on its way.

    python -m tests.experiments.finetune_lines WHEN MOMENT ARGUMENTS

WHEN is `killed`, at the gradient of a part, or `full`, when a checkpoint is written
(no file may have more than a few bytes from then on); MOMENT counts these, from 1.
"""

import os
import resource
import signal
import sys

from experiments import command, progress
from jaxsparse.finetuning import run
from jaxsparse.training.checkpoints import Checkpoints

FEW = 4096  # bytes
progress.SECONDS_BETWEEN_LOOKS = None


def killed_at(moment: int) -> None:
    compiled, seen = run.Trainer.compiled, []

    def watched(self, runs):
        gradient, update = compiled(self, runs)

        def counted(*args):
            seen.append(args)
            if len(seen) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return gradient(*args)

        return counted, update

    run.Trainer.compiled = watched


def full_at(moment: int) -> None:
    save, seen = Checkpoints.save, []

    def limited(self, step, state):
        seen.append(step)
        if len(seen) == moment:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (FEW, resource.RLIM_INFINITY))
        save(self, step, state)

    Checkpoints.save = limited


if __name__ == "__main__":
    when, moment, *argv = sys.argv[1:]
    {"killed": killed_at, "full": full_at}[when](int(moment))
    sys.argv = ["finetune", *argv]
    command.run("finetune")
