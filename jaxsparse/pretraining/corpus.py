"""Books as one long row of tokens, and windows into it.

The text is what scoring shows a model: CBT's tokens detokenized, sentences joined by
one space, without paragraphs.

What a book calls its people and places can be learned by heart, and then a name is
predicted without a look at the story. Where the names of a scene are drawn at random,
only what stands before tells which they are, as in every story that is new.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers
from jaxtyping import Int

from jaxsparse.cbt.build import WORD, find_names
from jaxsparse.progress import NOBODY, Progress
from jaxsparse.types import InputError

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


@dataclass(frozen=True)
class Corpus:
    """Token ids of all books, one after the other."""

    tokens: Int[np.ndarray, " token"]

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        tokenizer: tokenizers.Tokenizer,
        end_of_text: int | None,
        progress: Progress = NOBODY,
    ) -> "Corpus":
        """`end_of_text` stands behind each text, where a family has such a token."""
        ends = [] if end_of_text is None else [end_of_text]
        rows = []
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append(np.array([*ids, *ends], np.int32))
            progress.done(1)
        return cls(np.concatenate(rows))

    def windows(
        self, length: int, rows: int, batch: int, seed: int
    ) -> Int[np.ndarray, "row position"]:
        """Batch number `batch` of an endless shuffled sequence of windows.

        An epoch is a random permutation of the windows that tile the corpus from a
        random start. A function of its arguments alone, so that a resumed run sees what
        an uninterrupted one would have seen.

        Raises:
            InputError: the corpus is shorter than two windows.
        """
        count = self.count(length)
        numbers = np.arange(batch * rows, (batch + 1) * rows)
        begins = []
        for number in numbers.tolist():
            start, order = _epoch(count, length, number // count, seed)
            begins.append(start + length * int(order[number % count]))
        return np.stack([self.tokens[begin : begin + length] for begin in begins])

    def count(self, length: int) -> int:
        """How many windows an epoch has. Raises InputError as `windows`."""
        count = (len(self.tokens) - length + 1) // length
        if count < 1:
            raise InputError(
                f"{len(self.tokens)} tokens are less than two rows of {length}; "
                "name more books"
            )
        return count


@functools.lru_cache(maxsize=4)
def _epoch(
    windows: int, length: int, epoch: int, seed: int
) -> tuple[int, Int[np.ndarray, " window"]]:
    """Where an epoch's first window starts, and the order of its windows."""
    generator = np.random.default_rng([seed, length, epoch])
    return int(generator.integers(length)), generator.permutation(windows)
