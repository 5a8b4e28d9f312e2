"""The published sizes, for random weights of the true shapes.

Sources: Radford et al. (2019), table 2; Clark et al. (2020), table 6, with the
generators as released; Raffel et al. (2020), section 3.7. And a tiny one of each kind.
"""

from collections.abc import Mapping
from typing import Any

from jaxsparse.models import FAMILIES, Family, Tensors
from jaxsparse.models.config import Reader


def gpt2(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": hidden,
        "n_layer": layers,
        "n_head": heads,
    }


def electra(
    embedding: int,
    hidden: int,
    layers: int,
    heads: int,
    ffn: int,
    kind: str = "ElectraForMaskedLM",
) -> dict[str, Any]:
    return {
        "model_type": "electra",
        "architectures": [kind],
        "embedding_size": embedding,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": ffn,
    }


def t5(
    hidden: int, ffn: int, layers: int, heads: int, head_dim: int = 64
) -> dict[str, Any]:
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "d_model": hidden,
        "d_ff": ffn,
        "num_layers": layers,
        "num_heads": heads,
        "d_kv": head_dim,
    }


DISCRIMINATOR = "ElectraForPreTraining"

SHAPES = {
    "gpt2-tiny": gpt2(64, 2, 4),
    "gpt2-small": gpt2(768, 12, 12),
    "gpt2-medium": gpt2(1024, 24, 16),
    "gpt2-large": gpt2(1280, 36, 20),
    "gpt2-xl": gpt2(1600, 48, 25),
    "electra-tiny": electra(32, 64, 2, 4, 256),
    "electra-small": electra(128, 256, 12, 4, 1024),
    "electra-base": electra(768, 256, 12, 4, 1024),
    "electra-large": electra(1024, 256, 24, 4, 1024),
    "electra-tiny-discriminator": electra(32, 64, 2, 4, 256, DISCRIMINATOR),
    "electra-small-discriminator": electra(128, 256, 12, 4, 1024, DISCRIMINATOR),
    "electra-base-discriminator": electra(768, 768, 12, 12, 3072, DISCRIMINATOR),
    "electra-large-discriminator": electra(1024, 1024, 24, 16, 4096, DISCRIMINATOR),
    "t5-tiny": t5(64, 256, 2, 4, 16),
    "t5-small": t5(512, 2048, 6, 8),
    "t5-base": t5(768, 3072, 12, 12),
    "t5-large": t5(1024, 4096, 24, 16),
    "t5-3b": t5(1024, 16384, 24, 32, head_dim=128),
}


def published(shape: str) -> tuple[Family, Any]:
    """The family and the configuration of a published shape."""
    return from_values(SHAPES[shape])


def from_values(values: Mapping[str, Any]) -> tuple[Family, Any]:
    """The same of any config.json of which there is no file yet.

    What kind of ELECTRA it is stands in a file's tensors, here in its architectures.
    """
    family = FAMILIES[values["model_type"]]
    role = "discriminator" if DISCRIMINATOR in values["architectures"] else "generator"
    tensors = Tensors(
        {f"{role}_predictions.dense.weight": ()}, lambda first, second: True
    )
    return family, family.read_config(Reader(values), tensors)
