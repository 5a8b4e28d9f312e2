"""Writes a checkpoint of random weights in a published shape, for trying and measuring.

    ./run.sh random_checkpoint --shape=gpt2-xl --tokenizer=DIR --export=DIR

Such a model knows nothing: its accuracy is chance, its speed and memory are the real
ones.
"""

if __name__ == "__main__":  # what follows takes seconds to import
    from experiments.__main__ import main_of_file

    main_of_file(__file__)

from pathlib import Path

from experiments import devices, random_weights
from experiments.jobs import flags_of
from jaxsparse.types import InputError


def main() -> None:
    values = flags_of("random_checkpoint")
    if None in (values.shape, values.export, values.tokenizer):
        raise InputError(
            "--shape, --export and --tokenizer are needed; the last two are directories"
        )
    if not Path(values.tokenizer).is_dir():
        raise InputError(f"--tokenizer={values.tokenizer}: no such directory")
    if not (Path(values.tokenizer) / "tokenizer_config.json").is_file():
        raise InputError(
            f"--tokenizer={values.tokenizer}: no tokenizer_config.json; name a "
            "directory with a tokenizer in Hugging Face format"
        )
    devices.find()
    parameters = random_weights.write(
        values.shape, Path(values.tokenizer), Path(values.export), values.seed
    )
    print(f"{values.export}: {values.shape}, {parameters:,} random parameters, float32")
