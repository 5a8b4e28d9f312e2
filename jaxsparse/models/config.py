"""Reading config.json: a value that changes the maths is honoured or refused."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxsparse.models.layers import ACTIVATIONS
from jaxsparse.types import LONGEST, InputError

# Keys of transformers' config classes that never change what our functions compute:
# training, generation, summaries for classification heads, bookkeeping.
INERT = frozenset({
    "_name_or_path", "architectures", "attention_dropout",
    "attention_probs_dropout_prob", "attn_pdrop", "bos_token_id",
    "chunk_size_feed_forward", "classifier_dropout", "decoder_start_token_id",
    "dropout", "dropout_rate", "dtype", "embd_pdrop", "eos_token_id", "hidden_dropout",
    "hidden_dropout_prob", "id2label", "init_std", "initializer_factor",
    "initializer_range", "label2id", "layerdrop", "model_type", "output_attentions",
    "output_hidden_states",
    "pad_token_id", "problem_type", "reorder_and_upcast_attn", "resid_pdrop",
    "return_dict", "summary_activation", "summary_first_dropout",
    "summary_last_dropout", "summary_proj_to_labels", "summary_type",
    "summary_use_proj", "tie_word_embeddings", "transformers_version", "use_cache",
})  # fmt: skip


MOST = 2**30  # of whole numbers; sums of some still fit into int32
# Not as float32, to which whole numbers that are larger cannot be compared.
LEAST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def brief_value(value: Any) -> str:
    """A value as a message shows it."""
    try:
        shown = repr(value)
    except ValueError:  # a number with thousands of digits
        return "a number with too many digits"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _defaults(model_type: str) -> Mapping[str, Any]:
    """What transformers' configuration class says of keys that a file leaves out."""
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type).to_dict()


class Reader:
    """The values of one config.json, each asked for by name and then accounted for.

    `finish` refuses what nobody asked for if it could change the maths. A key that
    the family's transformers class does not define is one transformers ignores, and
    a key at that class's default is what we implement; the rest is unknown.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        within: str = "",
    ):
        """
        Args:
            defaults: None: those of the model's class.
            within: the key whose values these are.
        """
        self._values = values
        self._where = f"config.json: {within}: " if within else "config.json: "
        known = _defaults(values["model_type"]) if defaults is None else defaults
        self._defaults = known
        self._asked: set[str] = set()

    @property
    def model_type(self) -> str:
        return self._values["model_type"]

    def __contains__(self, key: str) -> bool:
        """Whether the file has `key`, be it null."""
        return key in self._values

    def get(self, key: str) -> Any:
        """The value of `key`, or transformers' default where the file has none."""
        self._asked.add(key)
        return self._values.get(key, self._defaults.get(key))

    def given(self, key: str) -> Any:
        """The value of `key` in the file, or None: for keys whose default depends on
        other keys, which transformers' own default cannot tell."""
        self._asked.add(key)
        return self._values.get(key)

    def default(self, key: str) -> Any:
        """What transformers takes where the file does not have `key`."""
        return self._defaults.get(key)

    def positive(self, key: str) -> int:
        value = self.get(key)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not 0 < value < MOST
        ):
            raise InputError(
                f"{self._where}{key} must be a whole number from 1 to {MOST - 1:,}: "
                f"{brief_value(value)}"
            )
        return value

    def natural(self, key: str) -> int:
        """A number of something, or of a token: 0 or more."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(
                f"{self._where}{key} must be a whole number from 0 on: {value!r}"
            )
        return value

    def number(self, key: str) -> float:
        value = self.get(key)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not LEAST <= value <= LARGEST:
            raise InputError(
                f"{self._where}{key} must be a positive number that float32 holds: "
                f"{brief_value(value)}"
            )
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.get(key)
        if not isinstance(value, bool):
            raise InputError(f"{self._where}{key} must be true or false: {value!r}")
        return value

    def activation(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise InputError(
                f"{self._where}{key} {value!r} is not implemented; "
                f"known: {', '.join(ACTIVATIONS)}"
            )
        return value

    def finish(self) -> None:
        """Raises InputError, with names and values, for what was never asked for."""
        unknown = {
            key: value
            for key, value in self._values.items()
            if key not in self._asked | INERT
            and key in self._defaults
            and value != self._defaults[key]
        }
        if unknown:
            raise InputError(
                "config.json: not implemented: "
                + ", ".join(f"{key}={value!r}" for key, value in unknown.items())
            )


# What a config.json holds if the model is of a kind that is not implemented, whatever
# its `model_type`; transformers' own class may not know the key, and would pass it.
REFUSED = {
    "quantization_config": "quantized weights are not implemented; save the model "
    "dequantized",
    "text_config": "multimodal wrappers are not implemented; save the language model "
    "by itself",
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts"),
        "mixtures of experts are not implemented; take a model without",
    ),
}


def refuse_by_name(values: Mapping[str, Any]) -> None:
    """Raises InputError for a kind of model that is not implemented."""
    for key, what in REFUSED.items():
        if values.get(key):
            raise InputError(f"config.json: {key}: {what}")


def divides(heads: int, hidden: int, names: Iterable[str]) -> None:
    """Raises InputError unless `heads` divides `hidden`."""
    if hidden % heads:
        raise InputError(
            f"config.json: {' must divide '.join(names)}: {heads} and {hidden}"
        )


def absolute_positions(reader: Reader) -> None:
    """Raises InputError for relative ones."""
    if (kind := reader.get("position_embedding_type")) not in (None, "absolute"):
        raise InputError(
            f"config.json: position_embedding_type {kind!r} is not implemented; "
            "known: absolute"
        )


def windowed(positions: int, window: int | None) -> int:
    """The longest row that a sliding window of so many tokens leaves as it is.

    Raises:
        InputError: the window would cut rows of the length that is read at most.
    """
    if window is None:
        return positions
    if window < min(positions, LONGEST):
        raise InputError(
            f"config.json: sliding_window {window} is less than a row of "
            f"{min(positions, LONGEST)} tokens, and windows are not implemented"
        )
    return min(positions, window)
