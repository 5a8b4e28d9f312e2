"""How a fine-tuned point was trained back: what tables and labels say of it."""

import copy
from dataclasses import dataclass

from jaxsparse.types import InputError

LEGAL = {  # the first of each is the default
    "objective": ("choice", "lm", "both"),
    "train": ("all", "norms,biases", "masklora"),
    "distill": ("none", "options", "hidden"),
    "schedule": ("oneshot", "gradual", "dense"),
}


@dataclass(frozen=True)
class Training:
    """How points of a curve were trained back, as tables have it; DESIGN section 9 says
    what the words mean.

    Raises:
        InputError: a word that is not legal, or a seed below 0.
    """

    objective: str = "choice"
    train: str = "all"
    distill: str = "none"
    schedule: str = "oneshot"
    # Of the order of what is learned, of draws, and of the pruning method where it
    # draws.
    seed: int = 0

    def __post_init__(self):
        for name, legal in LEGAL.items():
            if (value := getattr(self, name)) not in legal:
                listed = " | ".join(legal)  # one of them has a comma
                raise InputError(f"`{name}={value}`: choose one of {listed}")
        if not (type(self.seed) is int and self.seed >= 0):
            raise InputError(f"`seed={self.seed}`: not an integer from 0 on")

    def called(self, objective: str) -> "Training":
        """The same, its objective by another name: a report has one for what only
        another run means by it."""
        renamed = copy.copy(self)
        object.__setattr__(renamed, "objective", objective)
        return renamed

    @property
    def title(self) -> str:
        """The objective, and what else is not the default; nothing of the seed."""
        said = [self.objective]
        if self.train != "all":
            said.append(self.train)
        if self.distill != "none":
            said.append(f"distill={self.distill}")
        if self.schedule != "oneshot":
            said.append(self.schedule)
        return ", ".join(said)
