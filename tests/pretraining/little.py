"""Little books invented here, and recipes small enough to train in a test."""

import dataclasses
import functools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from jaxsparse.pretraining import RECIPES, TrainingRecipe, vocabulary
from jaxsparse.pretraining.recipes import Stage

MODELS = {"gpt2": "tiny-gpt2", "electra": "tiny-electra", "t5": "tiny-t5"}
KINDS = {"gpt2": "byte pairs", "electra": "word pieces", "t5": "unigrams"}
SIZES = {"gpt2": 440, "electra": 300, "t5": 260}  # tokens; T5's sentinels are 100

NAMES = ("Brannoch", "Ottoline", "Pim", "Quillan", "Zoë")
THINGS = ("kettle", "lantern", "wheelbarrow", "goose", "plum", "windmill", "jug")
DEEDS = ("hid", "polished", "carried", "dropped", "borrowed", "sold", "painted")
SENTENCES = (
    "{name} {deed} the {thing}, and nobody asked why.",
    '"Where\'s my {thing}?" said {name}; "I\'d left it by the {thing}."',
    "'It is only {name}'s {thing},' they whispered.",
    "In the year {number} a {thing} cost more than a {thing}!",
    "So {name} (who {deed} every {thing}) went home -- slowly.",
)


def _sentence(rng: random.Random) -> str:
    made = rng.choice(SENTENCES)
    for field, words in ("name", NAMES), ("deed", DEEDS), ("thing", THINGS):
        while (slot := f"{{{field}}}") in made:
            made = made.replace(slot, rng.choice(words), 1)
    return made.replace("{number}", str(rng.randrange(1000, 2000)))


def text(seed: int, sentences: int = 300) -> str:
    """What a book comes to: sentences between single spaces."""
    rng = random.Random(seed)
    return " ".join(_sentence(rng) for _ in range(sentences))


TEXTS = (text(0), text(1))


@functools.cache
def tokenizer(family: str) -> tokenizers.Tokenizer:
    """Trained on TEXTS."""
    return vocabulary.train(KINDS[family], TEXTS, SIZES[family])


def write_book(path: Path, seed: int, sentences: int = 300) -> Path:
    """The same sentences as paragraphs of five."""
    rng = random.Random(seed)
    made = [_sentence(rng) for _ in range(sentences)]
    paragraphs = [" ".join(made[at : at + 5]) for at in range(0, sentences, 5)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    return path


SMALL: dict[str, Mapping[str, Any]] = {
    "gpt2": {"n_positions": 24, "n_embd": 32, "n_layer": 1, "n_head": 2},
    "electra": {
        "max_position_embeddings": 24,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "t5": {
        "n_positions": 24,
        "d_model": 32,
        "d_ff": 48,
        "num_layers": 1,
        "num_decoder_layers": 1,
        "num_heads": 2,
        "d_kv": 12,
    },
}


def recipe(
    family: str, steps: int = 4, lengths: Sequence[int] = (16, 24), **schedule: Any
) -> TrainingRecipe:
    """The family's bundled recipe, shrunk to one layer and short rows; every length
    takes as many steps, and a compilation."""
    schedule = {"steps": steps, "warmup": 1} | schedule
    bundled = RECIPES[MODELS[family]]
    size = SIZES[family]
    config = {**bundled.config, **SMALL[family], "vocab_size": size}
    if family == "gpt2":
        config |= {"bos_token_id": size - 1, "eos_token_id": size - 1}
    return dataclasses.replace(
        bundled,
        config=config,
        schedule=dataclasses.replace(bundled.schedule, **schedule),
        stages=tuple(
            Stage(number / len(lengths), length)
            for number, length in enumerate(lengths, start=1)
        ),
        batch_tokens=96,
        renamed_copies=0,
    )
