"""Small language models trained from scratch on books: the bundled ones, and yours."""

from jaxsparse.pretraining.corpus import read_texts
from jaxsparse.pretraining.recipes import RECIPES, Recipe
from jaxsparse.pretraining.run import Run, export, prepare, pretrain

__all__ = [
    "RECIPES",
    "Recipe",
    "Run",
    "export",
    "prepare",
    "pretrain",
    "read_texts",
]
