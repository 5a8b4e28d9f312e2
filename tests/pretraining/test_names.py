"""Books with other names: the same other one throughout a scene, and nothing else."""

import re

import numpy as np

from jaxsparse.pretraining.names import RENAMED, SCENE, rename
from tests.pretraining import little

TEXTS = (little.text(0, 1500), little.text(1, 400))
NAMES = set(little.NAMES)


def renamed(texts=TEXTS, seed=0):
    return tuple(rename(texts, np.random.default_rng(seed)))


def scenes(text):
    """The runs of words that share one renaming, each as its words and what is not."""
    words = text.split(" ")
    return [
        re.findall(r"\w+|\W+", " ".join(words[begin : begin + SCENE]))
        for begin in range(0, len(words), SCENE)
    ]


def pairs():
    """Of each scene, what it was and what it became, word for word."""
    for text, new in zip(TEXTS, renamed(), strict=True):
        for before, after in zip(scenes(text), scenes(new), strict=True):
            yield list(zip(before, after, strict=True))


def test_names_become_names_and_all_else_stays():
    changed = {pair for scene in pairs() for pair in scene if pair[0] != pair[1]}
    assert {before for before, _ in changed} == NAMES
    assert {after for _, after in changed} == NAMES


def test_a_scene_gives_each_name_one_other_of_its_own():
    for scene in pairs():
        other = dict(scene)
        assert all(other[before] == after for before, after in scene)
        assert len(set(other.values())) == len(other)


def test_scenes_are_renamed_apart_and_some_stay_as_they_are():
    mappings = [
        {before: after for before, after in scene if before in NAMES}
        for scene in pairs()
    ]
    same = sum(all(a == b for a, b in mapping.items()) for mapping in mappings)
    assert 0 < same < len(mappings) * (1.5 - RENAMED)
    assert len({tuple(sorted(mapping.items())) for mapping in mappings}) > 3


def test_it_is_a_function_of_texts_and_generator():
    assert renamed() == renamed()
    assert renamed(seed=1) != renamed()


def test_books_without_names_stay_as_they_are():
    texts = ("the jug stood by the kettle, and nobody asked why. " * 300,)
    assert renamed(texts) == texts
