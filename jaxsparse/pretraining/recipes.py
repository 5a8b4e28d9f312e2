"""How the bundled models are made: shape, vocabulary, schedule. docs/assets.md says
what came of it.

Every model fits into 6 MB of float16, tokenizer included. Early batches hold short
rows, which cost less and teach the near things first; later ones are as long as the
model's limit (Devlin et al. 2019, appendix A.2, do the same).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxsparse.models.family import Family
from jaxsparse.models.shapes import from_values
from jaxsparse.training.optimizer import Schedule

VOCABULARY = 4096
POSITIONS = 512  # of GPT-2: a bundled story and its query, with room for the options
SHORTER = 256  # of the others, whose ten options cost up to ten whole rows


@dataclass(frozen=True)
class Stage:
    """Batches with rows of one length, up to a fraction of all steps."""

    until: float
    length: int  # tokens of a row, special tokens included


@dataclass(frozen=True)
class TrainingRecipe:
    config: Mapping[str, Any]  # config.json
    schedule: Schedule
    stages: tuple[Stage, ...]
    batch_tokens: int = 2048
    renamed_copies: int = 0  # of the books, each with names of its own; 0: as they are

    def __post_init__(self) -> None:
        assert self.stages[-1].until == 1.0, self.stages

    @property
    def model(self) -> tuple[Family, Any]:
        """The family and its configuration."""
        return from_values(self.config)


# Weights are float16 in the file and float32 for whoever loads them.
_COMMON = {"vocab_size": VOCABULARY, "dtype": "float32"}

RECIPES = {
    "tiny-gpt2": TrainingRecipe(
        {
            **_COMMON,
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "n_positions": POSITIONS,
            "n_embd": 192,
            "n_layer": 4,
            "n_head": 4,
            "bos_token_id": VOCABULARY - 1,
            "eos_token_id": VOCABULARY - 1,
        },
        Schedule(steps=4600, warmup=200, learning_rate=4e-3),
        (Stage(0.4, 128), Stage(1.0, POSITIONS)),
        renamed_copies=2,
    ),
    "tiny-electra": TrainingRecipe(
        {
            **_COMMON,
            "vocab_size": 8192,  # only masked positions pay for it
            "model_type": "electra",
            "architectures": ["ElectraForMaskedLM"],
            "max_position_embeddings": SHORTER,
            "embedding_size": 112,
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 768,
            "pad_token_id": 0,
        },
        Schedule(steps=11000, warmup=300, learning_rate=1.5e-3),
        (Stage(0.7, 128), Stage(1.0, SHORTER)),
        batch_tokens=1024,
        renamed_copies=2,
    ),
    "tiny-t5": TrainingRecipe(
        {
            **_COMMON,
            "model_type": "t5",
            "architectures": ["T5ForConditionalGeneration"],
            "n_positions": SHORTER,
            "d_model": 192,
            "d_ff": 384,
            "num_layers": 4,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "d_kv": 48,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
        },
        Schedule(
            steps=9000,
            warmup=200,
            learning_rate=0.03,
            weight_decay=0.01,
            relative=True,
        ),
        (Stage(0.7, 128), Stage(1.0, SHORTER)),
        batch_tokens=1024,
        renamed_copies=2,
    ),
}
