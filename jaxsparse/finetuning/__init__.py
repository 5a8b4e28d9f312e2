"""Training back what was pruned, with every zero kept."""

from jaxsparse.finetuning.checks import check, refuse_overlap
from jaxsparse.finetuning.jobs import (
    HIGHEST_RATE,
    MOST_STEPS,
    RATES,
    STEPS,
    Job,
    schedules,
)
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.tune import Finetuning, finetune

__all__ = [
    "HIGHEST_RATE",
    "MOST_STEPS",
    "RATES",
    "STEPS",
    "Finetuning",
    "Job",
    "Settings",
    "check",
    "finetune",
    "refuse_overlap",
    "schedules",
]
