"""Small language models trained from scratch on books: the bundled ones, and yours."""

from jaxsparse.cbt.texts import read_texts
from jaxsparse.pretraining.recipes import RECIPES, TrainingRecipe
from jaxsparse.pretraining.run import PretrainingRun, export, prepare, pretrain

__all__ = [
    "RECIPES",
    "TrainingRecipe",
    "PretrainingRun",
    "export",
    "prepare",
    "pretrain",
    "read_texts",
]
