"""The published sizes, for random weights of the true shapes.

Sources: Radford et al. (2019), table 2; Clark et al. (2020), table 6, with the
generators as released; Raffel et al. (2020), section 3.7; Biderman et al. (2023), table
1; Zhang et al. (2022), table 1; Devlin et al. (2019) and Liu et al. (2019), section 3.
Of the others the published config.json. And a tiny one of each kind.
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


def _transformer(
    model_type: str,
    architecture: str,
    hidden: int,
    layers: int,
    heads: int,
    **values: Any,
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "architectures": [architecture],
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **values,
    }


def pythia(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return _transformer(
        "gpt_neox", "GPTNeoXForCausalLM", hidden, layers, heads,
        intermediate_size=4 * hidden,
        vocab_size=50304,
        rope_parameters={
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25
        },
    )  # fmt: skip


def opt(
    hidden: int, layers: int, heads: int, embedding: int | None = None
) -> dict[str, Any]:
    """With an embedding of another size, as the 350 M one is: norms behind sums."""
    return _transformer(
        "opt", "OPTForCausalLM", hidden, layers, heads,
        ffn_dim=4 * hidden,
        word_embed_proj_dim=embedding or hidden,
        do_layer_norm_before=embedding is None,
    )  # fmt: skip


def llama(
    hidden: int, layers: int, heads: int, ffn: int, vocab: int, positions: int,
    rope: dict[str, Any], kind: str = "Llama", **values: Any,
) -> dict[str, Any]:  # fmt: skip
    return _transformer(
        kind.lower(), f"{kind}ForCausalLM", hidden, layers, heads,
        intermediate_size=ffn,
        vocab_size=vocab,
        max_position_embeddings=positions,
        rope_parameters={"rope_type": "default", **rope},
        tie_word_embeddings=True,
        **{"rms_norm_eps": 1e-5, **values},
    )  # fmt: skip


def bert(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return _transformer(
        "bert", "BertForMaskedLM", hidden, layers, heads, intermediate_size=4 * hidden
    )


def roberta(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return _transformer(
        "roberta", "RobertaForMaskedLM", hidden, layers, heads,
        intermediate_size=4 * hidden,
        vocab_size=50265,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )  # fmt: skip


LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip

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
    "pythia-tiny": pythia(64, 2, 4),
    "pythia-70m": pythia(512, 6, 8),
    "pythia-160m": pythia(768, 12, 12),
    "pythia-410m": pythia(1024, 24, 16),
    "pythia-1b": pythia(2048, 16, 8),
    "pythia-1.4b": pythia(2048, 24, 16),
    "opt-tiny": opt(64, 2, 4),
    "opt-125m": opt(768, 12, 12),
    "opt-350m": opt(1024, 24, 16, embedding=512),
    "opt-1.3b": opt(2048, 24, 32),
    "llama-tiny": llama(
        64, 2, 4, 192, 128256, 2048, {"rope_theta": 10000.0}, num_key_value_heads=2
    ),
    "llama-3.2-1b": llama(
        2048, 16, 32, 8192, 128256, 131072, LLAMA_3, num_key_value_heads=8, head_dim=64
    ),
    "smollm2-135m": llama(
        576, 30, 9, 1536, 49152, 8192, {"rope_theta": 100000.0}, num_key_value_heads=3
    ),
    "qwen3-0.6b": llama(
        1024,
        28,
        16,
        3072,
        151936,
        40960,
        {"rope_theta": 1000000.0},
        "Qwen3",
        num_key_value_heads=8,
        head_dim=128,
        rms_norm_eps=1e-6,
    ),
    "bert-tiny": bert(64, 2, 4),
    "bert-base": bert(768, 12, 12),
    "bert-large": bert(1024, 24, 16),
    "roberta-tiny": roberta(64, 2, 4),
    "roberta-base": roberta(768, 12, 12),
    "roberta-large": roberta(1024, 24, 16),
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
