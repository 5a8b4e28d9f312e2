"""Writes a checkpoint of random weights in a published shape, for trying and measuring.

    ./run.sh random_checkpoint --shape=gpt2-xl --tokenizer=DIR --to=DIR

Such a model knows nothing: its accuracy is chance, its speed and memory are the real
ones.
"""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags

from experiments import command
from jaxsparse.models.shapes import SHAPES, published
from jaxsparse.types import InputError
from jaxsparse.weights import rules, writing

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
    if not (Path(values.tokenizer) / "tokenizer_config.json").is_file():
        raise InputError(
            f"--tokenizer={values.tokenizer}: no tokenizer_config.json; name a "
            "directory with a tokenizer in Hugging Face format"
        )
    parameters = write(
        values.shape, Path(values.tokenizer), Path(values.to), values.seed
    )
    print(f"{values.to}: {values.shape}, {parameters:,} random parameters, float32")


def write(shape: str, tokenizer: Path, directory: Path, seed: int) -> int:
    """Writes the checkpoint, tensor by tensor; returns its number of parameters."""
    family, config = published(shape)
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
    writing.write_checkpoint(directory, tokenizer, SHAPES[shape], tensors)
    return sum(tensor.nbytes // 4 for tensor in tensors.values())


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
