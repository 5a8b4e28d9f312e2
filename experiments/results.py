"""Where the results of a run go."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl.flags import FlagValues

from jaxsparse.types import InputError

SCORE_FLAGS = (
    "model", "data", "split", "word_classes", "num_examples", "sample", "protocol",
    "context", "detokenize", "context_tokens",
    "pattern", "scope", "allocation", "statistics", "prunable",
    "calibration", "calibration_rows", "calibration_tokens", "dtype", "execution",
    "seed", "skip_malformed", "model_type", "large", "first_and_sec",
)  # fmt: skip
NEWER = {  # flags that older versions did not have, and what they did without
    "sample": ("first",),
    "context_tokens": (0,),
    "allocation": ("uniform",),
    "statistics": (None,),
    "calibration": (None, "bundled"),
    "calibration_rows": (128,),
    "calibration_tokens": (0,),
    "execution": ("dense",),
}


def directory(values: FlagValues, counting: Sequence[str], **known: Any) -> Path:
    """--out, or a name made of all that changes scores, so that the same command comes
    back to its results.

    Args:
        counting: the flags that change scores.
        known: flags whose values are not as they were given.
    """
    if values.out == "":
        raise InputError("--out is empty; name a directory")
    if values.out is not None:
        return Path(os.path.expanduser(values.out))
    kept: dict[str, Any] = {name: values[name].value for name in counting}
    kept |= {"pattern": ",".join(values.pattern), **known}
    for name, defaults in NEWER.items():  # as before the flags were there: same names
        if kept.get(name) in defaults:
            kept.pop(name, None)
    if values.text:  # likewise
        kept |= {"text": values.text, "text_tokens": values.text_tokens}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return Path("results") / f"{_joined(known['model'])}-{digest[:8]}"


def _joined(models: Sequence[str]) -> str:
    names = "+".join(_last_component(name) for name in models)
    return names[-100:].lstrip(".-+")


def _last_component(model: str) -> str:
    """What a model is called in a file name: a directory by its last component."""
    path = os.path.expanduser(model)
    if os.path.isdir(path):
        return os.path.basename(os.path.abspath(path))
    return model.replace("/", "-")
