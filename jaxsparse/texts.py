"""Texts that models are measured on: read whole, and cut into windows."""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int32

from jaxsparse import running_text
from jaxsparse.running_text import Examples
from jaxsparse.types import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REVISION = 1  # raised with every change of what their nats mean, beyond rounding
MOST_TOKENS = 1024  # of a window, unless asked for more


@dataclass(frozen=True)
class Text:
    name: str  # as files and tables call it
    content: str


@dataclass(frozen=True, eq=False)
class ReadText:
    """A text as one model reads it."""

    name: str
    examples: Examples  # a row a window, on the host
    tokens_left_out: int  # behind the last window
    positions: Int32[np.ndarray, "row scored"]  # of the targets, see `TokenLosses`
    conditions: Mapping[str, Any]  # all of it that decides nats: JSON
    pieces: Callable[[], tuple[str, ...]] = field(repr=False)  # the targets' tokens

    @property
    def windows(self) -> int:
        return len(self.examples.targets)


def read(
    texts: Sequence[str | Text],
    config: Any,
    tokenizer: "PreTrainedTokenizerFast",
    tokens: int = 0,
    seed: int = 0,
) -> tuple[ReadText, ...]:
    """Texts as a model of this configuration reads them.

    Args:
        texts: whole; one without a name is called by its number.
        tokens: of a window; 0: the model's limit, at most 1,024.
        seed: of what is masked, or goes into spans.

    Raises:
        InputError: a text is empty or shorter than one window, two have one name; the
            model takes no such windows, or does not predict tokens.
    """
    named = [
        text if isinstance(text, Text) else Text(f"text {number}", text)
        for number, text in enumerate(texts, 1)
    ]
    if named and config.reading == "replaced":
        raise InputError(
            "a discriminator tells replaced tokens from original ones and predicts "
            "none; leave the model or `texts` out"
        )
    names = [text.name for text in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"`texts`: {', '.join(twice)} is given twice")
    try:
        length = running_text.window_length(config, tokens, MOST_TOKENS)
    except InputError as error:
        raise InputError(f"`text_tokens={tokens}`: {error}") from None
    return tuple(_read(text, config, tokenizer, length, seed) for text in named)


def _read(
    text: Text,
    config: Any,
    tokenizer: "PreTrainedTokenizerFast",
    length: int,
    seed: int,
) -> ReadText:
    try:
        tokens = running_text.tokenized(text.content, tokenizer)
        windows, left_out = running_text.consecutive(tokens, length)
        examples = running_text.examples(windows, config, tokenizer, seed)
    except InputError as error:
        raise InputError(f"`texts={text.name}`: {error}") from None
    targets = examples.targets.ravel().tolist()
    before = {"causal": -1, "masked": 1}.get(config.reading, 0)  # of what is scored
    return ReadText(
        name=text.name,
        examples=examples,
        tokens_left_out=left_out,
        positions=examples.inputs.scored - before,
        conditions={
            "text": hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest(),
            "text_tokens": length,
            "text_seed": None if config.reading == "causal" else seed,
            "text_revision": REVISION,
        },
        pieces=functools.cache(lambda: tuple(tokenizer.convert_ids_to_tokens(targets))),
    )
