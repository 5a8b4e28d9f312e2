"""Writes a checkpoint of random weights in a published shape, for trying and measuring.

    ./run.sh random_checkpoint --shape=gpt2-xl --tokenizer=DIR --to=DIR

Such a model knows nothing: its accuracy is chance, its speed and memory are the real
ones.
"""

from pathlib import Path

from absl import flags

from experiments import command, random_weights
from jaxsparse.models.shapes import SHAPES
from jaxsparse.types import InputError

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
    parameters = random_weights.write(
        values.shape, Path(values.tokenizer), Path(values.to), values.seed
    )
    print(f"{values.to}: {values.shape}, {parameters:,} random parameters, float32")


if __name__ == "__main__":
    command.run(main, __doc__ or "")
