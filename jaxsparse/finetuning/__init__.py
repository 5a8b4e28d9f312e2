"""Training back what was pruned, with every zero kept."""

from jaxsparse.finetuning.checks import check, refuse_overlap
from jaxsparse.finetuning.settings import Settings
from jaxsparse.finetuning.tune import finetune

__all__ = ["Settings", "check", "finetune", "refuse_overlap"]
