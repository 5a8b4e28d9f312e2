"""How far a job is: a bar in a terminal, a line for each stage elsewhere."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from jaxsparse.evaluation import Track


def tracker(model: str) -> Track:
    """Shows stages of one model's work, with questions per second and time left."""
    bars: list[tqdm] = []

    def track(stage: str, questions: int) -> Callable[[int], Any]:
        for bar in bars:
            bar.close()
        title = f"{model} · {stage}"
        if not sys.stderr.isatty():
            print(f"{title}, {questions} questions", file=sys.stderr, flush=True)
        bars[:] = [tqdm(total=questions, desc=title, unit="q", disable=None)]
        return bars[0].update

    return track
