"""Books whose names are drawn anew.

What a book calls its people and places can be learned by heart, and then a name is
predicted without a look at the story. Where the names of a scene are drawn at random,
only what stands before tells which they are, as in every story that is new.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from jaxsparse.cbt.build import WORD, find_names

SCENE = 1000  # words that share one renaming: longer than any window
RENAMED = 0.75  # of the scenes; the others stay as the book has them
_TOKEN = re.compile(r"(?:Mr|Mrs|Dr|St)\.|[^\W_]+(?:[-'][^\W_]+)*|[^\w\s]")


def rename(texts: Sequence[str], generator: np.random.Generator) -> Iterator[str]:
    """Each text with its names drawn anew, scene by scene, from all texts' names.

    Within a scene a name always becomes the same other one, and no two of those found
    become one.
    """
    names = [find_names([_TOKEN.findall(text)]) for text in texts]
    pool = np.array(sorted(frozenset().union(*names)))
    for text, known in zip(texts, names, strict=True):
        words = text.split(" ")
        scenes = []
        for begin in range(0, len(words), SCENE):
            scene = " ".join(words[begin : begin + SCENE])
            if generator.random() < RENAMED:
                scene = _rename_scene(scene, known, pool, generator)
            scenes.append(scene)
        yield " ".join(scenes)


def _rename_scene(
    scene: str, known: frozenset[str], pool: np.ndarray, generator: np.random.Generator
) -> str:
    present = sorted(known.intersection(WORD.findall(scene)))
    new = generator.choice(pool, len(present), replace=False).tolist()
    other = dict(zip(present, new, strict=True))
    return WORD.sub(lambda word: other.get(word.group(), word.group()), scene)
