"""Checkpoints for the tests of scoring, each made and loaded once."""

import functools
from pathlib import Path

import pytest

from jaxsparse.model import load_model
from tests import asking, tiny


@pytest.fixture(scope="session")
def load(tmp_path_factory):
    """(variant, positions, directory of another tokenizer) -> a pair of models."""

    @functools.cache
    def make(
        variant: str, positions: int | None = None, tokenizer: Path | None = None
    ) -> asking.Pair:
        directory = tmp_path_factory.mktemp(variant)
        made = tiny.save(variant, directory, tokenizer, positions=positions)
        return asking.Pair(made, load_model(str(directory)))

    return make


@pytest.fixture(scope="session")
def load_real(load):
    """variant -> a pair of tiny models with the family's real tokenizer and limit."""
    if not asking.DATA.exists():
        pytest.skip("the real tokenizers and questions are not here")

    def make(variant: str) -> asking.Pair:
        family = tiny.VARIANTS[variant].family
        positions = {"gpt2": 1024, "electra": 512, "t5": None}[family]
        return load(variant, positions, asking.DATA / "tokenizers" / family)

    return make
