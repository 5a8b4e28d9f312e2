"""How the model of a card is loaded, by format."""

from collections.abc import Iterator

CLASSES = {  # of transformers, by how a configuration reads
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "replaced": "AutoModelForPreTraining",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
READER = """\
import glob, json
import numpy as np, safetensors
tensors = {}
for path in glob.glob("*.bitmask.safetensors"):
    file = safetensors.safe_open(path, "numpy")
    tensors |= {name: file.get_tensor(name) for name in file.keys()}
    for name, shape in json.loads(file.metadata()["shapes"]).items():
        bits = np.unpackbits(tensors.pop(f"{name}.bitmask"), bitorder="little")
        tensors[name] = np.zeros(shape, tensors[f"{name}.values"].dtype)
        tensors[name].flat[np.flatnonzero(bits)] = tensors.pop(f"{name}.values")"""
_PYTHON = (
    "```python",
    "import jaxsparse", "",
    'model = jaxsparse.load_model(".")',
    "```",
)  # fmt: skip
_FASTER = (
    "", 'On a CPU `jaxsparse.load_model(".", execution="auto")` multiplies only the '
    "weights that are", "not zero, where that is faster.",
)  # fmt: skip
_AS_DENSE = (
    "", "`transformers` does not read this format. This writes a directory that it "
    "reads:", "",
    "```python",
    'jaxsparse.save(model, "dense")',
    "```",
)  # fmt: skip
FORMAT = (
    "Files are safetensors. The metadata `shapes` is JSON: the shape of each tensor "
    "`NAME` that is",
    "stored in two parts. `NAME.bitmask` is a bit for each weight in row-major order, "
    "the lowest of",
    "a byte first: 1 where a value is kept. `NAME.values` are these values in order. "
    "Other tensors",
    "are stored as they are. To read all of it, in this directory:", "",
    "```python",
    *READER.split("\n"),
    "```", "",
    "Values in bfloat16 need `import ml_dtypes` as well, which tells NumPy of it.",
)  # fmt: skip


def loading(reading: str, format: str, has_zeros: bool) -> Iterator[str]:
    """The lines of that section.

    Args:
        reading: how the configuration reads.
        format: of the weights.
        has_zeros: whether weights are pruned, not removed.
    """
    faster = _FASTER if has_zeros else ()
    if format == "bitmask":
        yield from (*_PYTHON, *faster, *_AS_DENSE)
        return
    name = CLASSES[reading]
    yield from (
        "```python",
        f"from transformers import {name}, AutoTokenizer", "",
        'directory = "."  # that of this file',
        f"model = {name}.from_pretrained(directory)",
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        "```", "",
        *_PYTHON,
        *faster,
    )  # fmt: skip
