"""Questions and command lines that a model is trained back with in a test: few, short,
of stories that no other split has."""

from pathlib import Path

from jaxsparse.cbt import WORD_CLASSES
from tests.experiments import binary

EACH = {"train": 3, "valid_2000ex": 2, "test_2500ex": 2}
LINE = (
    "--data=data", "--context=query", "--steps=4", "--batch_questions=2",
    "--evaluate_every=2",
)  # fmt: skip


def write(directory: Path) -> Path:
    """A directory of all three splits and classes; the seeds' stories all differ."""
    for number, (split, each) in enumerate(EACH.items()):
        for place, word_class in enumerate(WORD_CLASSES):
            first = 2 + 600 * number + 30 * place
            seeds = range(first, first + 3 * each, 3)
            path = directory / f"cbtest_{word_class}_{split}.txt"
            binary.write_items(path, [binary.item(seed) for seed in seeds])
    return directory
