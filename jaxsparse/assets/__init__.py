"""What ships with the package: stories and questions written for it, small trained
models. docs/assets.md has the recipe of each."""

from pathlib import Path

DIRECTORY = Path(__file__).parent
MODELS = DIRECTORY / "models"
STORIES = DIRECTORY / "stories"  # one directory a split, one file a story
QUESTIONS = DIRECTORY / "questions"  # <split>.jsonl, questions by where they stand
