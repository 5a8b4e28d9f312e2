"""Writes a checkpoint of random weights in a published shape, for trying and measuring.

    ./run.sh random_checkpoint --shape=gpt2-xl --tokenizer=DIR --to=DIR

Such a model knows nothing: its accuracy is chance, its speed and memory are the real
ones. Shapes as published: Radford et al. (2019), Clark et al. (2020), Raffel et al.
(2020), and a tiny one of each kind.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments import command
from jaxsparse.models import FAMILIES, Tensors
from jaxsparse.models.config import Reader
from jaxsparse.types import InputError
from jaxsparse.weights import rules, writing


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

flags.DEFINE_enum("shape", None, SHAPES, "the model to imitate", required=True)
flags.DEFINE_string("tokenizer", None, "directory to copy its tokenizer files from")
flags.DEFINE_string("to", None, "directory to write; must not exist yet")
flags.DEFINE_integer("seed", 0, "of the random weights", lower_bound=0)


def main() -> None:
    values = flags.FLAGS
    if values.to is None or values.tokenizer is None:
        raise InputError("--to and --tokenizer are both needed; each is a directory")
    if not Path(values.tokenizer).is_dir():
        raise InputError(f"--tokenizer={values.tokenizer}: no such directory")
    parameters = write(
        values.shape, Path(values.tokenizer), Path(values.to), values.seed
    )
    print(f"{values.to}: {values.shape}, {parameters:,} random parameters, float32")


def write(shape: str, tokenizer: Path, directory: Path, seed: int) -> int:
    """Writes the checkpoint, tensor by tensor; returns its number of parameters."""
    values = SHAPES[shape]
    family = FAMILIES[values["model_type"]]
    config = family.read_config(_reader(values), _tensors(values))
    leaves = family.shapes(config)
    tensors = {
        name: writing.Tensor(
            rule.hf_shape(leaves[rule.path]),
            np.dtype(np.float32),
            _values(name, rule.path, rule.hf_shape(leaves[rule.path]), seed),
        )
        for rule in rules.active_rules(family.table, leaves)
        for name in rule.names(leaves[rule.path])
    }
    writing.write_checkpoint(directory, tokenizer, values, tensors)
    return sum(tensor.nbytes // 4 for tensor in tensors.values())


def _reader(values: dict[str, Any]) -> Reader:
    from transformers import AutoConfig

    return Reader(values, AutoConfig.for_model(values["model_type"]).to_dict())


def _tensors(values: dict[str, Any]) -> Tensors:
    """No file yet; but what kind of ELECTRA this is stands in its tensors."""
    role = "discriminator" if DISCRIMINATOR in values["architectures"] else "generator"
    return Tensors({f"{role}_predictions.dense.weight": ()}, lambda one, other: True)


def _values(
    name: str, path: str, shape: tuple[int, ...], seed: int
) -> Callable[[], np.ndarray]:
    """Norms are one, biases zero, matrices normal with deviation 0.02."""

    def make() -> np.ndarray:
        if path.endswith("scale"):
            return np.ones(shape, np.float32)
        if path.endswith("bias"):
            return np.zeros(shape, np.float32)
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        matrix = generator.standard_normal(shape, np.float32)
        matrix *= np.float32(0.02)
        return matrix

    return make


if __name__ == "__main__":
    command.run(main, __doc__ or "")
